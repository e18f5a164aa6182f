"""xmpp-registration: can anybody make an account for himself (XEP-0077)?

With `*_AGENTS` unset, every account of the domain gets jobs: whoever can make one would.
"""

from __future__ import annotations

from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.greeting import Greeting, greeting
from copilot.errors import TransportError


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    try:
        said = await greeting(patient)
    except TransportError:
        return skipped("the XMPP server is not reached")
    if said.refused:
        return skipped("its certificate is refused")
    return judge(said)


def judge(said: Greeting) -> list[Finding]:
    """From the features that are offered to a stranger."""
    if not said.registration:
        return ok("nobody makes an account for himself")
    return [
        warning(
            "everybody who can connect can make an account, and accounts of the domain get jobs unless *_AGENTS says otherwise",
            expected="accounts that an operator or a bundle makes",
            cure="Prosody: allow_registration = false; ejabberd: remove mod_register, or access: none for it",
        )
    ]


CHECK = Check(name="xmpp-registration", about="strangers cannot make accounts", run=run)
