"""xmpp-login: does each account of these settings log in, and what ways does the server offer?"""

from __future__ import annotations

from copilot.config.groups import ComponentSettings
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.session import session
from copilot.errors import CertificateRefused, LoginRefused, TransportError

MOST = 8  # accounts that are tried


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    accounts = patient.accounts[:MOST]
    if not accounts:
        return skipped("no settings here have an XMPP account")
    tried = [(config, await _look(patient, config)) for config in accounts]
    return judge(accounts, {config.jid: (config, error) for config, error in tried if error is not None})


async def _look(patient: Patient, config: ComponentSettings) -> TransportError | None:
    try:
        async with session(patient, account=config):
            return None
    except TransportError as error:
        return error


def judge(
    accounts: list[ComponentSettings], refused: dict[str, tuple[ComponentSettings, TransportError]]
) -> list[Finding]:
    """`refused`: by JID, what came instead of a session."""
    if not refused:
        return ok(", ".join(dict.fromkeys(config.jid for config in accounts)))
    return [
        fault(f"{jid}: {error}", expected="a session", cure=_cure(config, error))
        for jid, (config, error) in refused.items()
    ]


def _cure(config: ComponentSettings, error: TransportError) -> str:
    if isinstance(error, CertificateRefused):
        return "see xmpp-certificate"
    if isinstance(error, LoginRefused):
        account, domain = config.jabber_id, config.jabber_domain
        return (
            f"make the account or give it the password of {config.key('jabber_password')} (Prosody: prosodyctl passwd "
            f"{config.jid}; ejabberd: ejabberdctl change_password {account} {domain} …, or register); it must offer SCRAM "
            '(Prosody: authentication = "internal_hashed"; ejabberd: auth_password_format: scram)'
        )
    return "see xmpp-reach, and the log of the XMPP server"


CHECK = Check(
    name="xmpp-login", about="the accounts of these settings log in", run=run, chain="xmpp", limit=15.0
)
