"""The embedded system for benchmarks with simulated agents: either XMPP server, any number of managers, no agents.

All is as `make demo` runs it, but for what is named here. Agents are told from one another by accounts of their own.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import psutil

from bench.simulated.stream import Account, Server
from copilot.local.chirp import Chirp
from copilot.local.component import Component
from copilot.local.configuration import DOMAIN, MANAGER
from copilot.local.ejabberd import Ejabberd
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from copilot.local.system import LocalSystem
from copilot.store.redis import RedisStore
from copilot.transport.settings import tls_context

PASSWORD = "simulated"
ACCOUNTS_AT_ONCE = 4  # ejabberd lets no more than 5 wait at its door
LOOK_S = 0.05
# What stands in the command line of what; the first that fits.
_SIGNS = (
    ("copilot-jobmanager", "managers"),
    ("redis-server", "redis"),
    ("chirp_server", "chirp"),
    ("prosody.cfg.lua", "server"),
    ("-s ejabberd", "server"),
)


class BenchSystem(LocalSystem):
    """Servers, file server and job managers that take outputs, too. `server` is `prosody` or `ejabberd`.

    With `chirp` files lie on a Chirp server, too, as agents of 2011 need it; with `monitor` there is a dashboard."""

    def __init__(
        self, directory: Path, *, server: str, managers: int, chirp: bool = False, monitor: bool = False
    ) -> None:
        super().__init__(directory, agents=0, monitor=monitor)
        host = socket.gethostbyaddr("127.0.0.1")[0]  # as whom the Chirp server knows the managers
        rights = {f"hostname:{host}": "rwlda"}
        self.chirp = Chirp(self.places.root / "chirp", rights=rights) if chirp else None
        self._count = managers
        self.xmpp: Prosody | Ejabberd = self._prosody
        if server == "ejabberd":
            self.xmpp = Ejabberd(self.places.root / "ejabberd", domain=DOMAIN)
            self._prosody = self.xmpp  # type: ignore[assignment]  # what is asked of it is the same

    def store(self) -> RedisStore:
        """The queue."""
        return RedisStore.from_url(Redis(self.places.root / "redis").url)

    def server(self) -> Server:
        """Where simulated agents log in."""
        return Server(
            host="127.0.0.1",
            port=self.xmpp.port,
            domain=DOMAIN,
            manager=f"{MANAGER}@{DOMAIN}",
            tls=tls_context(str(self.xmpp.ca_file)),
        )

    async def accounts(self, count: int) -> list[Account]:
        """So many accounts of agents."""
        at_once = asyncio.Semaphore(ACCOUNTS_AT_ONCE)

        async def make(number: int) -> Account:
            async with at_once:
                await self.xmpp.register(f"sim-{number}", PASSWORD)
            return Account(name=f"sim-{number}", password=PASSWORD)

        return list(await asyncio.gather(*(make(number) for number in range(count))))

    def processes(self) -> dict[str, list[psutil.Process]]:
        """What runs, by what it is: `managers`, `server`, `redis`."""
        found: dict[str, list[psutil.Process]] = {}
        for process in psutil.Process().children():
            with contextlib.suppress(
                psutil.NoSuchProcess
            ):  # it has just ended, and may wait to be looked after
                line = " ".join(process.cmdline())
                part = next((part for sign, part in _SIGNS if sign in line), None)
                if part is not None:
                    found.setdefault(part, []).append(process)
        return found

    async def _start(self, group: asyncio.TaskGroup) -> None:
        if self.chirp is not None:
            await self._keep([self.chirp], group)
        await super()._start(group)

    def _environment(self, variables: Sequence[tuple[str, str]]) -> dict[str, str]:
        more: dict[str, str] = {}
        if self.chirp is not None:
            more["JM_CHIRP_SERVER"], more["JM_CHIRP_PORT"] = "127.0.0.1", str(self.chirp.port)
            more["JM_FILES_DIR"] = str(self.chirp.root)
            more["JM_CHIRP_AGENTS"] = "address:*"  # one subject, as whom the simulated agents come
        return super()._environment(variables) | more

    def _managers(self) -> list[Component]:
        return [
            self._component(f"jobmanager-{number}", "copilot-jobmanager-generic", self.places.etc)
            for number in range(1, self._count + 1)
        ]


def cpu_seconds(process: psutil.Process) -> float:
    """What a process and its children have used up: a Chirp server has one for each connection."""
    return sum(sum(one.cpu_times()[:2]) for one in (process, *process.children(recursive=True)))


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A directory that the servers' user can enter; gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="copilot-bench-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


async def until(over: Callable[[], Awaitable[bool]], limit_s: float) -> None:
    """Return when it is over. Raises TimeoutError."""
    async with asyncio.timeout(limit_s):
        async for _ in _looks():
            if await over():
                return


async def _looks() -> AsyncIterator[None]:
    while True:
        yield
        await asyncio.sleep(LOOK_S)
