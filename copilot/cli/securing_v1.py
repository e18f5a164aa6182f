"""Suite v1, the secure mode of 2011, wired: keys and tickets. Only for programs whose settings name it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from copilot.clock import SystemClock
from copilot.config.groups import SecureSettings
from copilot.errors import ConfigError
from copilot.protocol.crypto.keys import PublicKeys
from copilot.protocol.crypto.v1_sessions import Answering, Opening
from copilot.protocol.crypto.v2 import OpeningPublicKey
from copilot.protocol.envelope import bare
from copilot.protocol.suite_v1 import V1
from copilot.runtime.keyring import FileRing
from copilot.runtime.keys import load_public_keys
from copilot.runtime.ticket import TicketKeeper


def answering(
    config: SecureSettings, ring: FileRing, signers: Callable[[str], Sequence[str]], *, gives_tickets: bool
) -> V1:
    """The end of a service. Who has a signing key of his own (`signers`) is not heard in it. Raises `ConfigError`."""
    end = Answering(
        lambda: ring.private.opening,
        jid=config.jid,
        wall=SystemClock().wall,
        belongs=lambda jid: not signers(jid),
        ticket_keys=() if gives_tickets else _key_managers(config).opening,
        gives_tickets=gives_tickets,
    )
    return V1(end, acks=config.secure_v1_acks)


def opening(config: SecureSettings, service: str, credential: str) -> tuple[V1, TicketKeeper | None]:
    """The end of an agent, and who gets its tickets, if there is a key manager. Raises `ConfigError`."""
    known = load_public_keys(config.public_keys_file)

    def key(jid: str) -> OpeningPublicKey | None:
        found = known.get(jid.lower(), PublicKeys()).opening
        return found[0] if found else None

    if key(service) is None:
        raise ConfigError(
            f"{config.public_keys_file} has no key of {service}, without which nothing can be said to it"
        )
    end = Opening(key, key_manager=config.km_jabber_address)
    keeper = None
    if config.km_jabber_address is not None:
        clock = SystemClock()

        def give(ticket: str) -> None:
            end.ticket = ticket

        keeper = TicketKeeper(
            config.km_jabber_address,
            credential=credential,
            keys=_key_managers(config),
            give=give,
            wall=clock.wall,
            random=random.random,
        )
    return V1(end, acks=config.secure_v1_acks), keeper


def _key_managers(config: SecureSettings) -> PublicKeys:
    """Keys that sign tickets; none without a key manager. Raises `ConfigError`."""
    if config.km_jabber_address is None:
        return PublicKeys()
    keys = load_public_keys(config.public_keys_file).get(bare(config.km_jabber_address), PublicKeys())
    if not keys.opening:
        raise ConfigError(
            f"{config.public_keys_file} has no RSA key of {config.km_jabber_address}: nobody could tell its tickets from others"
        )
    return keys
