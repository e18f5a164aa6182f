"""Settings of who submits jobs from afar, by XMPP."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from copilot.config.groups import SecureSettings
from copilot.config.kinds import CERTIFICATE, JID, NAME, READABLE_FILE, TEXT
from copilot.config.setting import Program, setting, settings


@settings
class SubmitterConfig(SecureSettings):
    """What `copilot-job-submit --remote` reads. No queue and no file area: it reaches neither."""

    program: ClassVar[Program] = Program(name="submitter", prefixes=("SUBMIT",))

    jm_jabber_address: str = setting("JM_JABBER_ADDRESS", "Jabber ID of the job manager", JID)
    jabber_ca: str | None = setting(
        "SUBMIT_JABBER_CA",
        "that certificate itself, as base64 of its DER form in one line; goes before SUBMIT_JABBER_CA_FILE",
        CERTIFICATE,
        default=None,
        unset="none",
    )
    own_key: str | None = setting(
        "SUBMIT_OWN_KEY",
        "private key of this account, as base64 of its PEM form in one line",
        TEXT,
        default=None,
        unset="none",
        secret=True,
    )
    service_keys: str | None = setting(
        "SUBMIT_SERVICE_KEYS",
        "public keys of the services, as base64 of a file of public keys in one line; goes before SUBMIT_PUBLIC_KEYS_FILE",
        TEXT,
        default=None,
        unset="none",
    )
    files_ca_file: Path | None = setting(
        "SUBMIT_FILES_CA_FILE",
        "certificates (PEM) that alone may vouch for file servers",
        READABLE_FILE,
        default=None,
        unset="SUBMIT_JABBER_CA or SUBMIT_JABBER_CA_FILE",
        derive=lambda config: config.jabber_ca_file,
    )
    project: str | None = setting(
        "SUBMIT_PROJECT",
        "project for which jobs are, unless --project says otherwise",
        NAME,
        default=None,
        unset="the only one of the account, if it has one",
    )

    @property
    def own_directory(self) -> Path:
        """Where a person keeps keys."""
        return Path.home() / ".copilot"
