"""Whose account the XMPP server is looked at with, and whom that one trusts."""

from __future__ import annotations

from pathlib import Path

from copilot.config.groups import ComponentSettings
from copilot.doctor.check import NotHere
from copilot.doctor.patient import Patient


class NoAccount(NotHere):
    """No settings here have an XMPP account."""


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
