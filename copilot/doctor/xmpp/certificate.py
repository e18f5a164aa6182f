"""xmpp-certificate: is the server's certificate taken, and for how long?"""

from __future__ import annotations

from copilot.config.kinds import Tls
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.greeting import Greeting, greeting
from copilot.errors import TransportError

DAY = 86400.0
SOON = 14 * DAY  # s
OLD_TLS = ("TLSv1", "TLSv1.1", "SSLv3")


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.account
    if config is None:
        return skipped("no settings here have an XMPP account")
    if config.jabber_tls is Tls.OFF:
        return skipped(f"{config.key('jabber_tls')} is off")
    try:
        said = await greeting(patient)
    except TransportError:
        return skipped("the XMPP server is not reached")
    if not said.starttls:
        return skipped("the XMPP server offers no TLS")
    trusted = (
        "the authorities of this system" if config.jabber_ca_file is None else str(config.jabber_ca_file)
    )
    return judge(said, patient.clock.wall(), config.jabber_domain, trusted, config.key("jabber_ca_file"))


def judge(said: Greeting, now: float, domain: str, trusted: str, key: str) -> list[Finding]:
    """`key` is the setting that names what is `trusted`."""
    if said.refused:
        return [
            fault(
                f"the certificate is refused: {said.refused}",
                expected=f"one for {domain} that is good today, signed by {trusted}",
                cure=_cure(said.refused, domain, key),
            )
        ]
    left = None if said.expires is None else said.expires - now
    if left is not None and left < 0:
        return [
            fault(
                f"the certificate has expired {-left / DAY:.1f} days ago by the clock of this machine",
                expected="one that is good today",
                cure="renew it, and have the server read it again",
            )
        ]
    if left is not None and left < SOON:
        return [
            warning(
                f"the certificate expires in {left / DAY:.1f} days; then no program can log in",
                expected=f"more than {SOON / DAY:.0f} days",
                cure="renew it now (with an authority of your own: sign a new one), and have the server read it again",
            )
        ]
    days = "" if left is None else f", good for {left / DAY:.0f} days"
    return ok(f"it is for {domain}{days}; {said.protocol}")


def _cure(refused: str, domain: str, key: str) -> str:
    if "expired" in refused or "not yet valid" in refused:
        return "renew the certificate and have the server read it again; if it is good, set the clock of this machine"
    if "match" in refused:
        return f"give the server a certificate for {domain} (the domain, not the name of the machine), or correct *_JABBER_DOMAIN"
    return f"set {key} to the file (PEM) of the authority that signed it, or have it signed by one that is trusted here"


CHECK = Check(
    name="xmpp-certificate",
    about="the certificate is for the domain, trusted here, and good for weeks",
    run=run,
)
