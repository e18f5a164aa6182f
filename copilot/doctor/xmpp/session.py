"""Sessions of the doctor: under the account of a component, with a resource of their own.

They say nothing to anybody but themselves and the server. Their priority is below 0, so that no message for the account comes to
them, but in the one check that is about these messages.
"""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncIterator

from copilot.config.groups import ComponentSettings
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.account import NoAccount, authority
from copilot.doctor.xmpp.greeting import greeting
from copilot.errors import LoginRefused
from copilot.heartbeat.asking import RESOURCE as ASKING
from copilot.transport.probe import Probe, probing
from copilot.transport.settings import XmppSettings

LOGIN_LIMIT = 4.0  # s; below that of a check
RESOURCE = f"{ASKING}doctor-"  # nobody who asks how components fare takes it for one
MINE = "urn:copilot:doctor"  # name space of what is said here; no component takes notice of it


@contextlib.asynccontextmanager
async def session(
    patient: Patient, *, account: ComponentSettings | None = None, priority: int = -1, gently: bool = True
) -> AsyncIterator[Probe]:
    """A session that is up while inside. Raises `TransportError`, `NoAccount`.

    Who was refused once is not tried again: servers count such attempts. Nor is a server that does not answer.
    """
    config = account or patient.account
    if config is None:
        raise NoAccount("no settings here have an XMPP account")
    if (refused := patient.refused.get(config.jid)) is not None:
        raise refused
    settings = XmppSettings(
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
    )
    await greeting(patient, config)
    try:
        async with probing(settings, gently=gently) as probe:
            yield probe
    except LoginRefused as error:
        patient.refused[config.jid] = error
        raise
