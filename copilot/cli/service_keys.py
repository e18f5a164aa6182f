"""The public keys of the services, as those get them who speak sealed with them."""

from __future__ import annotations

import os

from copilot.config.manager import ManagerSettings
from copilot.errors import ConfigError
from copilot.protocol.crypto.keys import PublicKeys, public_text, read_public, service_keys
from copilot.protocol.envelope import bare
from copilot.runtime.keys import load_keys, load_public_keys


def service_keys_text(config: ManagerSettings) -> str:
    """A file of public keys: the manager's, and those of the services beside it that it knows.

    The manager's key file is made if there is none, as in its first start in secure mode. Raises `ConfigError`.
    """
    made = not config.key_file.exists()
    keys = load_keys(config.key_file, service_keys)
    if made:
        _give_to_the_service(config)
    if not keys.opening:
        raise ConfigError(
            f"the key file {config.key_file} has no key that opens; see copilot keys generate service"
        )
    known: dict[str, PublicKeys] = {}
    if config.public_keys_file.exists():
        known = load_public_keys(config.public_keys_file)
    others = {
        bare(jid): known[bare(jid)]
        for jid in (config.sm_jabber_address, config.mon_jabber_address)
        if jid is not None and bare(jid) in known
    }
    return public_text({**others, bare(config.jid): keys.public})


def without_keys(config: ManagerSettings, public_keys: str) -> str | None:
    """What is wrong if `public_keys` (see `service_keys_text`) have none of the monitor: agents would report nothing to it."""
    monitor = config.mon_jabber_address
    if monitor is None or read_public(public_keys).get(bare(monitor), PublicKeys()).opening:
        return None
    return (
        f"{config.public_keys_file} has no key of the monitor {bare(monitor)}, so agents that come in by this bundle cannot report to "
        "it: see 'Secure mode' in docs/operating.md"
    )


def _give_to_the_service(config: ManagerSettings) -> None:
    """Whoever is root makes a file for the user as whom the manager runs: the one that has its directory."""
    if os.geteuid() != 0:
        return
    place = config.key_file.parent.stat()
    # That user may have put a link in its place meanwhile, to a file that he must not have.
    os.chown(config.key_file, place.st_uid, place.st_gid, follow_symlinks=False)
