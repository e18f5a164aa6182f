"""The keys of the embedded system's services, so that agents which join speak sealed with all of them (decision 18)."""

from __future__ import annotations

from pathlib import Path

from copilot.local.configuration import DOMAIN, MANAGER, MONITOR
from copilot.local.process import give
from copilot.local.writing import write_file
from copilot.protocol.crypto.keys import PublicKeys, public_text, service_keys
from copilot.runtime.keys import load_keys

PUBLIC_KEYS = "services.pub"  # where components look by default


def make_keys(state: Path, user: str | None) -> None:
    """The key files of managers and monitor, each made once, and their public keys, written anew: where these programs look for
    them by default in the state directory. Raises `ConfigError`."""
    known: dict[str, PublicKeys] = {}
    for account in (MANAGER, MONITOR):
        path = state / f"{account}.key"
        known[f"{account}@{DOMAIN}"] = load_keys(path, service_keys).public
        give(path, user)
    write_file(state / PUBLIC_KEYS, public_text(known), mode=0o644)
    give(state / PUBLIC_KEYS, user)
