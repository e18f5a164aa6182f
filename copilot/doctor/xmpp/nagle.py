"""xmpp-nagle: does the server send small messages at once?

With Nagle's algorithm it holds back a small one until we have acknowledged the one before, which our kernel does after 40 ms. Every hop of every message to a busy agent or manager would take as long.
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
from copilot.records import dataclass
from copilot.transport.probe import Probe, with_id

ROUNDS = 12
TALK = 3  # questions and answers before
PAUSE = 0.004  # s between two messages: each is written by itself
HELD = 0.030  # s; below the 40 ms of the kernel
PATIENCE = 1.0  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """Seconds that the server took for an answer, at best, and the slower one of two small messages."""

    answer: float
    message: float


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    try:
        async with session(patient) as speaker, session(patient) as hearer:
            return judge(await look(speaker, hearer))
    except TransportError:
        return skipped("there are no two sessions, see xmpp-login")


async def look(speaker: Probe, hearer: Probe) -> list[Round]:
    """The one who hears has talked with the server before, as programs do: so our kernel waits for something that carries the
    acknowledgement with it. And then he says nothing."""
    loop, rounds = asyncio.get_running_loop(), list[Round]()
    for _ in range(ROUNDS):
        answer = min([await hearer.ping(PATIENCE) for _ in range(TALK)])
        said = []
        for mark in (marks := [secrets.token_hex(6) for _ in range(2)]):
            said.append(loop.time())
            speaker.say(f"<message to='{hearer.jid}' id='{mark}'><x xmlns='{MINE}'/></message>")
            await asyncio.sleep(PAUSE)
        came = [await hearer.hear_at(with_id(mark), PATIENCE) for mark in marks]
        took = [heard[0] - began for heard, began in zip(came, said, strict=True) if heard is not None]
        if len(took) < len(marks):
            break
        rounds.append(Round(answer=answer, message=max(took)))
    return rounds


def judge(rounds: Sequence[Round]) -> list[Finding]:
    """By how much longer messages take than answers of the server."""
    if not rounds:
        return skipped("messages to another session of the account did not come")
    answer = statistics.median(one.answer for one in rounds)
    message = statistics.median(one.message for one in rounds)
    held = sum(one.message - one.answer > HELD for one in rounds)
    if held * 2 >= len(rounds):
        return [
            warning(
                f"small messages take {1000 * message:.0f} ms, and an answer of the server {1000 * answer:.1f} ms ({held} of "
                f"{len(rounds)} times): it holds them back (Nagle's algorithm)",
                expected="about the same for both",
                cure="Prosody: network_settings = { nagle = false }; ejabberd has it off; else look for a proxy in front of it",
            )
        ]
    return ok(f"small messages take {1000 * message:.1f} ms, an answer of the server {1000 * answer:.1f} ms")


CHECK = Check(name="xmpp-nagle", about="small messages are sent at once", run=run, chain="xmpp")
