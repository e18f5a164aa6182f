"""Keys and sessions for tests of secure mode: made once, for an RSA key takes some tenths of a second."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from copilot.protocol.crypto import v2
from copilot.protocol.crypto.keys import PrivateKeys, PublicKeys, agent_keys, kid, service_keys
from copilot.protocol.security import Security
from copilot.protocol.session import V2, Pinned

_SERVICES = functools.cache(lambda _: service_keys())
_AGENTS = functools.cache(lambda _: agent_keys())


def service(number: int = 0) -> PrivateKeys:
    """Keys of a service; another number, other keys."""
    return _SERVICES(number)


def agent(number: int = 0) -> PrivateKeys:
    """The key of an agent."""
    return _AGENTS(number)


def public(keys: PrivateKeys) -> str:
    """The newest signing key as an account record has it."""
    return v2.public_form(keys.signing[0])


@dataclass(slots=True)
class Ring:
    """A key ring that is only what it holds."""

    keys: PrivateKeys = field(default_factory=PrivateKeys)
    services: Mapping[str, PublicKeys] = field(default_factory=dict)

    def signing(self) -> v2.SigningKey | None:
        return self.keys.signing[0] if self.keys.signing else None

    def opening(self, name: str) -> v2.OpeningKey | None:
        return next((key for key in self.keys.opening if kid(key.public_key()) == name), None)

    def pinned(self, jid: str) -> Sequence[Pinned]:
        keys = self.services.get(jid, PublicKeys()).opening
        return [Pinned(kid(key), key) for key in keys]


def agent_side(
    jid: str = "agent@x", manager: str = "jm@x", *, wall: Callable[[], float] = lambda: 1e9, number: int = 0
) -> V2:
    """The sessions of an agent that knows the keys of one service."""
    return V2(jid, Ring(agent(number), {manager: service().public}), wall=wall)


def service_side(
    jid: str = "jm@x",
    agents: Mapping[str, Sequence[str]] | None = None,
    *,
    wall: Callable[[], float] = lambda: 1e9,
    keys: PrivateKeys | None = None,
) -> V2:
    """The sessions of a service; by default one agent is registered."""
    known = {"agent@x": (public(agent()),)} if agents is None else agents
    return V2(jid, Ring(keys or service()), signers=lambda one: known.get(one, ()), wall=wall)


def strict(suite: V2) -> Security:
    """Secure mode with this suite alone."""
    return Security([suite], strict=True)
