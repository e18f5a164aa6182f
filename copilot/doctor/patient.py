"""What is examined: the settings that stand on this machine, and the means to look at what they name."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from pathlib import Path
from typing import Any, TypeVar, cast

from copilot.agent.config import AgentConfig
from copilot.clock import Clock
from copilot.config import Settings
from copilot.config.groups import ComponentSettings, QueuePlaceSettings
from copilot.config.manager import ManagerSettings
from copilot.errors import LoginRefused
from copilot.heartbeat.config import HeartbeatConfig
from copilot.jobmanager.config import ManagerConfig
from copilot.monitor.config import MonitorConfig
from copilot.records import dataclass
from copilot.storagemanager.config import StorageManagerConfig
from copilot.store.redis import RedisStore

T = TypeVar("T")
S = TypeVar("S", bound=Settings)


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """What became of the settings of one program: `config` is None if they have faults."""

    kind: type[Settings]
    config: Settings | None
    faults: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """`read`: by name of the program. `scratch`: a directory of our own that is removed afterwards. `nameserver`: address and
    port of the DNS server to ask instead of the system's. `files_url`: the address of the file server, where no settings
    tell it."""

    read: Mapping[str, Read]
    place: Path
    clock: Clock
    scratch: Path
    open_store: Callable[[QueuePlaceSettings], RedisStore]
    nameserver: tuple[str, int] | None = None
    files_url: str | None = None
    raises: bool = False  # what goes wrong in a check itself
    refused: dict[str, LoginRefused] = field(
        default_factory=dict
    )  # by JID: who was not let in is not tried again
    _shared: dict[str, asyncio.Future[Any]] = field(default_factory=dict)

    async def once(self, name: str, look: Callable[[], Awaitable[T]]) -> T:
        """What `look` comes back with; checks that need the same facts look once."""
        if name not in self._shared:
            self._shared[name] = asyncio.ensure_future(look())
        return cast("T", await asyncio.shield(self._shared[name]))

    async def close(self) -> None:
        """Stop whatever still looks."""
        for one in self._shared.values():
            one.cancel()
        await asyncio.gather(*self._shared.values(), return_exceptions=True)

    def all(self, kind: type[S]) -> list[S]:
        """The settings of this kind that could be read, the managers' first."""
        return [one.config for one in self.read.values() if isinstance(one.config, kind)]

    def first(self, kind: type[S]) -> S | None:
        """The first of them."""
        return next(iter(self.all(kind)), None)

    @property
    def manager(self) -> ManagerSettings | None:
        """Those of the job manager, else of the storage manager."""
        return self.first(ManagerConfig) or self.first(StorageManagerConfig)

    @property
    def agent(self) -> AgentConfig | None:
        """Those of an agent."""
        return self.first(AgentConfig)

    @property
    def accounts(self) -> list[ComponentSettings]:
        """All that log in to an XMPP server, the most important one first, each account once."""
        kinds: tuple[type[ComponentSettings], ...] = (
            ManagerConfig,
            StorageManagerConfig,
            AgentConfig,
            MonitorConfig,
            HeartbeatConfig,
            ComponentSettings,
        )
        found: dict[tuple[str, str, int], ComponentSettings] = {}
        for kind in kinds:
            for one in self.all(kind):
                found.setdefault((one.jid, one.jabber_server, one.jabber_port), one)
        return list(found.values())

    @property
    def account(self) -> ComponentSettings | None:
        """With which the XMPP server is looked at."""
        return next(iter(self.accounts), None)

    @property
    def queue(self) -> QueuePlaceSettings | None:
        """Who knows where the queue is."""
        found = [one for one in self.all(QueuePlaceSettings) if _knows_queue(one)]
        return self.manager or next(iter(found), None)


def _knows_queue(config: QueuePlaceSettings) -> bool:
    return any((config.redis_server, config.redis_socket, config.redis_sentinels))
