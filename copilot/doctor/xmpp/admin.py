"""xmpp-admin: may the job manager make and remove accounts (XEP-0133)? Bundles and `copilot agents revoke` need it."""

from __future__ import annotations

from xml.etree.ElementTree import Element as Xml

from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import session
from copilot.errors import RoomRefused, TransportError
from copilot.jobmanager.config import ManagerConfig
from copilot.transport.accounts import ADMIN
from copilot.transport.probe import Probe

ITEMS = "{http://jabber.org/protocol/disco#items}query"
COMMANDS = "http://jabber.org/protocol/commands"
NEEDED = ("add-user", "change-user-password", "delete-user")


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.first(ManagerConfig)
    if config is None:
        return skipped("only the job manager needs it")
    try:
        async with session(patient, account=config) as probe:
            return judge(await look(probe, config.jabber_domain), config.jid)
    except TransportError:
        return skipped("there is no session, see xmpp-login")


async def look(probe: Probe, domain: str) -> set[str]:
    """Names of the commands for admins that are offered to us."""
    try:
        answer = await probe.ask("get", domain, Xml(ITEMS, node=COMMANDS))
    except RoomRefused:
        return set()
    nodes = {one.get("node", "") for one in answer.iter()}
    return {node.partition("#")[2] for node in nodes if node.startswith(f"{ADMIN}#")}


def judge(offered: set[str], jid: str) -> list[Finding]:
    """All that are needed, or a warning."""
    missing = [name for name in NEEDED if name not in offered]
    if not missing:
        return ok(f"{jid} may make and remove accounts")
    return [
        warning(
            f"{jid} may not make and remove accounts: the server does not offer it {', '.join(missing)}",
            expected="an admin of the server; without it agents cannot come in by bundles, nor be revoked",
            cure=f'Prosody: admins = {{ "{jid}" }} and the module "admin_adhoc"; ejabberd: acl: admin: user: {jid}, '
            "access_rules: configure: allow: admin, mod_adhoc and mod_configure",
        )
    ]


CHECK = Check(name="xmpp-admin", about="the job manager may make and remove accounts", run=run, chain="xmpp")
