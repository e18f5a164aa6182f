"""xmpp-stanza: does the largest message that we send come through?

A stanza over the server's limit ends the stream with `policy-violation`, so this has a session of its own.
"""

from __future__ import annotations

import asyncio
import secrets

from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import MINE, session
from copilot.errors import TransportError
from copilot.records import dataclass
from copilot.transport.probe import Probe, with_id
from copilot.transport.stanza import MAX_STANZA_BYTES

SIZES = (8 * 1024, 16 * 1024, 32 * 1024, MAX_STANZA_BYTES)
PATIENCE = 3.0  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Largest:
    """`came` bytes came back, the next size did not: why, if the server said."""

    came: int
    why: str = ""


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    try:
        async with session(patient, gently=False) as probe:
            largest = await look(probe)
    except TransportError:
        return skipped("there is no session, see xmpp-login")
    return judge(largest)


async def look(probe: Probe) -> Largest:
    """Say messages to oneself, larger and larger ones."""
    came = 0
    deadline = asyncio.get_running_loop().time() + PATIENCE
    for size in SIZES:
        mark = secrets.token_hex(6)
        head, tail = f"<message to='{probe.jid}' id='{mark}'><x xmlns='{MINE}'>", "</x></message>"
        probe.say(head + "z" * (size - len(head) - len(tail)) + tail)
        left = deadline - asyncio.get_running_loop().time()
        back = await probe.hear(with_id(mark), max(left, 0.1))
        if back is None or back.get("type") == "error":
            return Largest(came=came, why="" if probe.end is None else probe.end.reason)
        came = size
    return Largest(came=came)


def judge(largest: Largest) -> list[Finding]:
    """All sizes came back, or they did not."""
    if largest.came >= MAX_STANZA_BYTES:
        return ok(f"{largest.came // 1024} kB come through")
    tried = next(size for size in SIZES if size > largest.came)
    why = f": {largest.why}" if largest.why else "; the server said nothing: is it too slow? see xmpp-rate"
    return [
        fault(
            f"a message of {tried // 1024} kB did not come through{why}",
            expected=f"{MAX_STANZA_BYTES // 1024} kB on the wire",
            cure="Prosody: c2s_stanza_size_limit = 1024 * 1024; ejabberd: max_stanza_size: 1048576 of the c2s listener",
        )
    ]


CHECK = Check(
    name="xmpp-stanza", about="the largest message that we send comes through", run=run, chain="xmpp"
)
