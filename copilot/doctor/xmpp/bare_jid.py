"""xmpp-bare: does a message to the account reach all its sessions?

All instances of a manager are sessions of one account with the same priority. A client of a person under that account with a
higher one would get everything, and the managers nothing.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from xml.etree.ElementTree import Element as Xml

from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, or_ok, skipped
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import session
from copilot.errors import TransportError
from copilot.protocol.envelope import bare
from copilot.records import dataclass
from copilot.transport.probe import Probe, with_id
from copilot.transport.stanza import NAMESPACE

PATIENCE = 2.0  # s


@dataclass(frozen=True, slots=True, kw_only=True)
class Reached:
    """How many of two sessions got it; `above`: resources of the account with a priority above 0."""

    sessions: int
    above: Sequence[str] = ()


async def run(patient: Patient) -> list[Finding]:
    """Look and judge. For the time of this check, messages to the account come here as well; nobody answers them."""
    if patient.account is None:
        return skipped("no settings here have an XMPP account")
    try:
        async with session(patient, priority=0) as first, session(patient, priority=0) as second:
            return judge(await look(first, second), patient.account.jid)
    except TransportError:
        return skipped("there are no two sessions, see xmpp-login")


async def look(first: Probe, second: Probe) -> Reached:
    """Say a message to the account: an acknowledgement of what nobody has said, of which nobody takes notice."""
    mark = secrets.token_hex(8)
    second.say(
        f"<message to='{bare(second.jid)}' id='{mark}'><copilot xmlns='{NAMESPACE}' ack='{mark}'/></message>"
    )
    came = await asyncio.gather(*(one.hear(with_id(mark), PATIENCE) for one in (first, second)))
    return Reached(
        sessions=sum(one is not None for one in came),
        above=[name for one in second.presences() if (name := _above(one, second.jid))],
    )


def _above(presence: Xml, own: str) -> str:
    """The resource that came with this presence, if it is before ours."""
    sender = presence.get("from", "")
    priority = next((one.text or "0" for one in presence if one.tag.endswith("}priority")), "0")
    if bare(sender) != bare(own) or presence.get("type") is not None or not priority.strip().isdigit():
        return ""
    return sender.partition("/")[2] if int(priority) > 0 else ""


def judge(reached: Reached, jid: str) -> list[Finding]:
    """Both have to get it, and nobody may be before them."""
    if reached.above:
        return [
            fault(
                f"{', '.join(reached.above)} is logged in as {jid} with a priority above 0: all that is said to {jid} goes "
                "there, and not to the managers",
                expected="priority 0 for all sessions of the account",
                cure="log that client out, or give it an account of its own",
            )
        ]
    found = [
        fault(
            f"a message to {jid} reached {reached.sessions} of two sessions with priority 0",
            expected="each of them",
            cure="take a server that delivers to all resources of the highest priority (RFC 6121, 8.5.2.1.1), as Prosody and "
            "ejabberd do; look for modules that change routing",
        )
    ]
    return or_ok([] if reached.sessions == 2 else found, "a message to the account reaches all its sessions")


CHECK = Check(
    name="xmpp-bare", about="a message to the account reaches all its sessions", run=run, chain="xmpp"
)
