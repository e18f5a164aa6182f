"""xmpp-carriage: does the server pass on XML within <body>, as programs of 2011 write it?"""

from __future__ import annotations

import secrets
from xml.etree.ElementTree import Element as Xml

from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import MINE, session
from copilot.errors import TransportError
from copilot.transport.probe import Probe, with_id

PATIENCE = 2.0  # s


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    try:
        async with session(patient) as probe:
            return judge(await look(probe))
    except TransportError:
        return skipped("there is no session, see xmpp-login")


async def look(probe: Probe) -> Xml | None:
    """What comes of a message with both carriages, said to oneself."""
    mark = secrets.token_hex(8)
    probe.say(
        f"<message to='{probe.jid}' id='{mark}' type='normal'><body><info doctor='1'/></body>"
        f"<x xmlns='{MINE}'><info doctor='1'/></x></message>"
    )
    return await probe.hear(with_id(mark), PATIENCE)


def judge(came: Xml | None) -> list[Finding]:
    """From the message as it came back."""
    if came is None:
        return [
            fault(
                "a message to oneself did not come back",
                expected="it comes back",
                cure="look for modules of the server that filter messages",
            )
        ]
    body = any(one.get("doctor") for part in came if part.tag.endswith("}body") for one in part)
    if not any(one.get("doctor") for part in came if part.tag == f"{{{MINE}}}x" for one in part):
        return [
            fault(
                "the server takes elements out of messages",
                expected="unknown elements are passed on (RFC 6120, 8.4)",
                cure="look for modules of the server that filter messages",
            )
        ]
    return ok(
        "both ways of writing a message pass"
        if body
        else "what stands in <body> is taken out: Co-Pilot uses its element alone here; programs of 2011 need Prosody"
    )


CHECK = Check(name="xmpp-carriage", about="messages are passed on as they are", run=run, chain="xmpp")
