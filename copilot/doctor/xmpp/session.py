"""Sessions of the doctor: under the account of a component, with a resource of their own.

They say nothing to anybody but themselves and the server. Their priority is below 0, so that no message for the account comes to
them, but in the one check that is about these messages.
"""

from __future__ import annotations

import secrets
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from copilot.config.groups import ComponentSettings
from copilot.doctor.check import NotHere
from copilot.doctor.patient import Patient
from copilot.transport.probe import Probe, probing
from copilot.transport.settings import XmppSettings

LOGIN_LIMIT = 4.0  # s; below that of a check
RESOURCE = "copilot-doctor-"
MINE = "urn:copilot:doctor"  # name space of what is said here; no component takes notice of it


class NoAccount(NotHere):
    """No settings here have an XMPP account."""


def session(
    patient: Patient, *, account: ComponentSettings | None = None, priority: int = -1, gently: bool = True
) -> AbstractAsyncContextManager[Probe]:
    """A session that is up while inside. Raises `TransportError`, `NoAccount`."""
    config = account or patient.account
    if config is None:
        raise NoAccount("no settings here have an XMPP account")
    return probing(
        XmppSettings(
            jid=config.jid,
            password=config.jabber_password,
            resource=f"{RESOURCE}{secrets.token_hex(6)}",
            host=config.jabber_server,
            port=config.jabber_port,
            tls=config.jabber_tls.value,
            ca_file=authority(patient, config),
            login_timeout=LOGIN_LIMIT,
            priority=priority,
            name="Co-Pilot doctor",
        ),
        gently=gently,
    )


def authority(patient: Patient, config: ComponentSettings) -> Path | None:
    """The file with the certificates that alone may vouch for the server."""
    text: str | None = getattr(
        config, "jabber_ca", None
    )  # agents and submitters may have it in their settings
    if text is None:
        return config.jabber_ca_file
    path = patient.scratch / f"{config.program.name}-ca.pem"
    if not path.exists():
        path.write_text(text)
    return path
