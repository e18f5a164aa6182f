"""xmpp-reach: does an XMPP server answer where the settings say, and does it offer TLS?"""

from __future__ import annotations

from copilot.config.kinds import Tls
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, or_ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.greeting import Greeting, greeting
from copilot.errors import TransportError


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.account
    if config is None:
        return skipped("no settings here have an XMPP account")
    where = f"{config.jabber_server}:{config.jabber_port}"
    try:
        said = await greeting(patient)
    except TransportError as error:
        return [
            fault(
                str(error),
                expected=f"an XMPP server at {where} that serves {config.jabber_domain}",
                cure=f"start it, open port {config.jabber_port} in the firewall, or correct {config.key('jabber_server')} "
                f"and {config.key('jabber_port')}",
            )
        ]
    return judge(said, where, secure=config.jabber_tls is Tls.REQUIRED)


def judge(said: Greeting, where: str, *, secure: bool) -> list[Finding]:
    """`secure`: our settings insist on TLS."""
    if secure and not said.starttls:
        return [
            fault(
                f"{where} offers no STARTTLS",
                expected="TLS",
                cure='give the server a certificate (Prosody: ssl = {…} and the module "tls"; ejabberd: certfiles, '
                "starttls: true)",
            )
        ]
    if not secure:
        return ok(f"{where} answers; without TLS, as set")
    passwords = [name for name in said.in_clear if not name.startswith("X-")]
    found = [
        warning(
            f"{where} lets clients log in without TLS ({', '.join(passwords)})",
            expected="no log-in before TLS",
            cure="Prosody: c2s_require_encryption = true; ejabberd: starttls_required: true",
        )
    ]
    return or_ok(found if passwords else [], f"{where} answers, and offers TLS")


CHECK = Check(name="xmpp-reach", about="an XMPP server answers at its address, and offers TLS", run=run)
