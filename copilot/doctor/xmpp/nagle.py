"""xmpp-nagle: does the server send small messages at once?

With Nagle's algorithm it holds back the second of two small ones until we have acknowledged the first, which our kernel does after
40 ms. Every hop of every message to a busy agent or manager would take as long.
"""

from __future__ import annotations

import asyncio
import secrets
import statistics
from collections.abc import Sequence

from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import MINE, session
from copilot.errors import TransportError
from copilot.transport.probe import Probe, with_id

ROUNDS = 12
PAUSE = 0.004  # s between the two: both are written, one after the other
HELD = 0.030  # s; below the 40 ms of the kernel
PATIENCE = 1.0  # s


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    try:
        async with session(patient) as speaker, session(patient) as hearer:
            return judge(await look(speaker, hearer))
    except TransportError:
        return skipped("there are no two sessions, see xmpp-login")


async def look(speaker: Probe, hearer: Probe) -> list[tuple[float, float]]:
    """Seconds that the first and the second of two small messages took, some times. The one who hears says nothing: an answer
    would carry the acknowledgement with it."""
    loop, took = asyncio.get_running_loop(), list[tuple[float, float]]()
    for _ in range(ROUNDS):
        marks = [secrets.token_hex(6) for _ in range(2)]
        said, heard = [], []
        for mark in marks:
            said.append(loop.time())
            speaker.say(f"<message to='{hearer.jid}' id='{mark}'><x xmlns='{MINE}'/></message>")
            await asyncio.sleep(PAUSE)
        for mark in marks:
            if (came := await hearer.hear_at(with_id(mark), PATIENCE)) is None:
                return took
            heard.append(came[0])
        took.append((heard[0] - said[0], heard[1] - said[1]))
    return took


def judge(took: Sequence[tuple[float, float]]) -> list[Finding]:
    """By the second of two messages, compared with the first."""
    if not took:
        return skipped("messages to another session of the account did not come")
    first = statistics.median(one for one, _ in took)
    second = statistics.median(one for _, one in took)
    held = sum(later - sooner > HELD for sooner, later in took)
    if held * 3 >= len(took):
        return [
            warning(
                f"the second of two small messages takes {1000 * max(later for _, later in took):.0f} ms, the first "
                f"{1000 * first:.1f} ms ({held} of {len(took)} times)",
                expected="the same for both",
                cure="Prosody: network_settings = { nagle = false }; ejabberd has it off; else look for a proxy in front of it",
            )
        ]
    return ok(f"small messages take {1000 * first:.1f} and {1000 * second:.1f} ms")


CHECK = Check(name="xmpp-nagle", about="small messages are sent at once", run=run, chain="xmpp")
