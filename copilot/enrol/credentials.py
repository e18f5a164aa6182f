"""What an agent keeps of a bundle: its key, and a configuration of its own, in its work directory and for it alone.

The key is there before anybody is asked, and all else follows from it (`copilot.protocol.crypto.identity`). So whenever an
agent is interrupted, the next try goes on with the same key, and ends with the same account.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from copilot.enrol.bundle import BundleFile
from copilot.errors import ConfigError

CONFIGURATION, KEY, SERVICE_KEYS = "agent.conf", "agent.key", "services.pub"


def configuration_text(
    bundle: BundleFile, directory: Path, jid: str, password: str, settings: Mapping[str, str]
) -> str:
    """The agent's own configuration. What `settings` say comes first, so they cannot say who the agent is."""
    name, _, domain = jid.partition("@")
    own = {
        "AGENT_JABBER_DOMAIN": domain,
        "AGENT_JABBER_ID": name,
        "AGENT_JABBER_PASSWORD": password,
        "AGENT_WORK_DIR": str(directory),
    }
    lines = [f"{key} {value}" for key, value in {**settings, **own}.items()]
    head = f"# Came in by bundle {bundle.id}. Holds the password of this agent: for it alone."
    return "\n".join([head, *lines]) + "\n"


def write_private(path: Path, text: str) -> None:
    """Write a file that its owner alone may read, in one step, and durably. Raises `ConfigError`."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.unlink(missing_ok=True)
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written: {error.strerror}") from error


def belongs_elsewhere(configuration: Path, bundle: BundleFile) -> str | None:
    """The manager of an agent that is in already, if it is not that of the bundle."""
    for line in configuration.read_text().splitlines():
        key, _, value = line.partition(" ")
        if key == "JM_JABBER_ADDRESS":
            return None if value.strip().lower() == bundle.manager else value.strip()
    return None
