"""xmpp-offline: does the server keep messages for who is away?

They must bounce or vanish: acknowledgements repeat them, and what comes hours late is wrong by then. The server may say that it
does (XEP-0160). If nobody of the account is online, a message shows it: it comes with the next log-in, and is gone with that.
"""

from __future__ import annotations

import secrets
from xml.etree.ElementTree import Element as Xml

from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import MINE, session
from copilot.errors import RoomRefused, TransportError
from copilot.protocol.envelope import bare
from copilot.transport.probe import Probe

INFO = "{http://jabber.org/protocol/disco#info}query"
FEATURE = "msgoffline"
PATIENCE = 1.0  # s
_DELAY = "{urn:xmpp:delay}delay"


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    try:
        async with session(patient) as first:
            said = await _says(first)
            mark = "" if said or await _others(first) else await _leave(first)
        if not mark:
            return judge(said=said, came=False)
        async with session(patient, priority=0) as second:
            came = await second.hear(lambda one: _is(one, mark), PATIENCE)
    except TransportError:
        return skipped("there is no session, see xmpp-login")
    return judge(said=said, came=came is not None)


async def _says(probe: Probe) -> bool:
    """Whether the domain, or our account, says that messages are kept."""
    account = bare(probe.jid)
    for whom in (account.partition("@")[2], account):
        try:
            answer = await probe.ask("get", whom, Xml(INFO))
        except RoomRefused:
            continue
        if any(one.get("var") == FEATURE for one in answer.iter()):
            return True
    return False


async def _others(probe: Probe) -> bool:
    """Whether the account has other sessions that messages to it would reach."""
    await probe.ping(PATIENCE)
    return any(
        one.get("from") != probe.jid
        and one.get("type") is None
        and bare(one.get("from", "")) == bare(probe.jid)
        for one in probe.presences()
    )


async def _leave(probe: Probe) -> str:
    """Say a message to the account, of which nobody is there to hear it; its mark, or none if it bounced."""
    mark = secrets.token_hex(8)
    probe.say(f"<message to='{bare(probe.jid)}' id='{mark}'><body>doctor</body><x xmlns='{MINE}'/></message>")
    bounced = await probe.hear(lambda one: one.get("type") == "error" and one.get("id") == mark, PATIENCE / 2)
    return "" if bounced is not None else mark


def _is(stanza: Xml, mark: str) -> bool:
    return stanza.tag.endswith("}message") and stanza.get("id") == mark and stanza.get("type") != "error"


def judge(*, said: bool, came: bool) -> list[Finding]:
    """`said`: the server says that it keeps messages; `came`: it has kept one."""
    if not said and not came:
        return ok("messages to who is away are not kept")
    return [
        fault(
            "the server keeps messages for who is away" + (": one came with the next log-in" if came else ""),
            expected="they bounce or vanish, for whoever says them says them again",
            cure='Prosody: modules_disabled = { "offline" }; ejabberd: remove mod_offline from modules',
        )
    ]


CHECK = Check(name="xmpp-offline", about="messages to who is away are not kept", run=run, chain="xmpp")
