"""The embedded system: private servers and all components on this machine, kept running, stopped in order.

DIR/
  prosody/  redis/            the servers, each with its data and log
  etc/                        the components' configuration: COPILOT_CONFIG=DIR/etc for the commands
  agents/agent-N.conf         one file an agent, ready to copy to another machine
  files/  done/  state/       file area, finished jobs, claim secret and keys
  work/agent-N/               where the agents of this machine work
  log/                        one log a component
  lock                        held by the one system that runs here
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import sys
import sysconfig
from collections.abc import AsyncIterator, Iterable, Sequence
from pathlib import Path

from copilot.config.kinds import Address
from copilot.errors import ConfigError
from copilot.local import configuration, provision
from copilot.local.component import Component
from copilot.local.configuration import Places
from copilot.local.keeper import keep
from copilot.local.lock import alone_in
from copilot.local.ports import remembered_port
from copilot.local.process import give, make_directory, unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from copilot.local.server import LOOPBACK
from copilot.local.service import Service
from copilot.local.service_keys import make_keys
from copilot.local.writing import write_file

READY = "Ready as "
SERVING = "Serving "
# What programs of the system get of our environment; the last two are settings of agents that depend on the machine.
_PASSED_ON = ("PATH", "LANG", "TZ", "AGENT_SANDBOX", "AGENT_IMAGES", "AGENT_SLOTS")
RUN_AS = "COPILOT_RUN_AS"  # read by copilot.cli.identity


class LocalSystem:
    """Servers and components below one directory. One object runs one system; `running` is the way in."""

    def __init__(
        self,
        directory: Path,
        *,
        listen: str = LOOPBACK,
        agents: int = 1,
        monitor: bool = True,
        carbon: Address | None = None,
    ) -> None:
        """`listen`: where the XMPP and file ports are opened; everything else stays on loopback. `carbon`: where the
        `monitor` sends what it hears.

        Raises `ConfigError` for what is not one address.
        """
        _check_address(listen)
        self.places = Places(directory.absolute())
        self._listen = listen
        self._agents = agents
        self.monitored = monitor
        self._carbon = carbon
        self._user = unprivileged_user()
        self._prosody = Prosody(
            self.places.root / "prosody",
            domain=configuration.DOMAIN,
            listen=listen,
            admins=[f"{configuration.MANAGER}@{configuration.DOMAIN}"],
        )
        self._redis = Redis(self.places.root / "redis")
        self._services: list[Service] = []  # in the order of their start
        self._keepers: list[asyncio.Task[None]] = []

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything; start again what ends by itself while inside; stop everything in order on the way out.

        Raises `ServerMissing` (the text names the command that installs it), `ConfigError`, or `CopilotError` with
        the last words of what ended again and again; that also ends what runs inside.
        """
        _make_root(self.places.root, self._user)
        with alone_in(self.places.root):
            try:
                async with asyncio.TaskGroup() as group:
                    await self._start(group)
                    yield
                    for keeper in self._keepers:
                        keeper.cancel()
            except ExceptionGroup as errors:  # the first one is why all others were ended
                raise errors.exceptions[0] from errors
            finally:
                await self._stop()

    @property
    def spare_agent(self) -> Path:
        """The configuration of an agent that is not started here: for another machine, where no bundle is wanted."""
        return self.places.agent(self._agents + 1)

    @property
    def dashboard(self) -> str:
        """Where a browser of this machine sees how the system fares."""
        return f"http://{LOOPBACK}:{self.dashboard_port}/"

    def log_of(self, program: str) -> Path:
        """The log of a component."""
        return self.places.log / f"{program}.log"

    async def _start(self, group: asyncio.TaskGroup) -> None:
        """Those who answer before those who ask, or these ask in vain."""
        await asyncio.to_thread(provision.ensure, "prosody", "redis-server")
        self._make_directories()
        await self._keep([self._prosody, self._redis], group)
        await self._configure()
        await self._keep([self._file_server()], group)
        await self._keep(self._managers(), group)
        await self._keep([*self._monitors(), *self._agents_here()], group)

    async def _keep(self, services: Iterable[Service], group: asyncio.TaskGroup) -> None:
        """Have these run from now on; return when all are ready."""
        ready = []
        for service in services:
            ready.append(asyncio.Event())
            self._services.append(service)
            self._keepers.append(group.create_task(keep(service, ready[-1])))
        for event in ready:
            await event.wait()

    def _make_directories(self) -> None:
        for directory in (self.places.etc, self.places.agents):
            make_directory(directory, self._user)
        for directory in self.places.of_the_components:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            give(directory, self._user)
        self.places.log.mkdir(mode=0o700, exist_ok=True)

    async def _configure(self) -> None:
        """Accounts and configuration files; passwords are made once and kept."""
        files_port = remembered_port(self.places.root / "files-port", self._listen, 0)
        passwords = configuration.Passwords(self.places.root / "passwords")
        services = (configuration.MANAGER, configuration.MONITOR, configuration.HEARTBEAT)
        for name in (*services, *(f"agent-{number}" for number in range(1, self._agents + 2))):
            await self._prosody.register(name, passwords.of(name))
        facts = configuration.Facts(
            places=self.places,
            listen=self._listen,
            xmpp_port=self._prosody.port,
            files_port=files_port,
            redis_port=self._redis.port,
            redis_password=self._redis.password,
            tls=self._prosody.directory / "tls",
            agents=self._agents + 1,
            dashboard_port=self.dashboard_port,
            carbon=self._carbon,
        )
        for path, text in configuration.files(facts, passwords).items():
            write_file(path, text, mode=0o600)
            give(path, self._user)
        if self.monitored:  # else `copilot bundle create` makes the one that is needed
            await asyncio.to_thread(make_keys, self.places.state, self._user)

    def _file_server(self) -> Component:
        return self._component("fileserver", "copilot-fileserver", self.places.etc, ready=SERVING)

    def _managers(self) -> list[Component]:
        etc = self.places.etc
        return [
            self._component(
                "jobmanager",
                "copilot-jobmanager-generic",
                etc,
                variables=(("JM_JABBER_RESOURCE", "jobmanager"),),
            ),
            self._component(
                "storagemanager",
                "copilot-storagemanager",
                etc,
                variables=(("SM_JABBER_RESOURCE", "storagemanager"),),
            ),
        ]

    @property
    def dashboard_port(self) -> int:
        """The port of the dashboard, on loopback alone."""
        return remembered_port(self.places.root / "dashboard-port", LOOPBACK, 0)

    def _monitors(self) -> list[Component]:
        if not self.monitored:
            return []
        named = (("MON_JABBER_RESOURCE", "monitor"),)
        return [
            self._component("monitor", "copilot-monitor", self.places.etc, variables=named, dispensable=True)
        ]

    def _agents_here(self) -> list[Component]:
        each = max(1, len(os.sched_getaffinity(0)) // max(1, self._agents))  # jobs: they share the machine
        return [
            self._component(
                f"agent-{number}",
                "copilot-agent",
                self.places.agent(number),
                variables=(
                    ("AGENT_WORK_DIR", str(self.places.work / f"agent-{number}")),
                    ("AGENT_DRAIN_GRACE", "0"),  # Ctrl-C means now
                    ("AGENT_SLOTS", os.environ.get("AGENT_SLOTS", str(each))),
                    ("AGENT_JABBER_RESOURCE", f"agent-{number}"),  # not in the file: copies of it need others
                ),
                may_leave=True,
            )
            for number in range(1, self._agents + 1)
        ]

    def _component(
        self,
        name: str,
        command: str,
        config: Path,
        *,
        ready: str = READY,
        variables: Sequence[tuple[str, str]] = (),
        may_leave: bool = False,
        dispensable: bool = False,
    ) -> Component:
        return Component(
            name,
            [command_path(command), "--config", config],
            log=self.log_of(name),
            environment=self._environment(variables),
            ready=ready,
            may_leave=may_leave,
            dispensable=dispensable,
        )

    def _environment(self, variables: Sequence[tuple[str, str]]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        user = {} if self._user is None else {RUN_AS: self._user}
        return {**kept, "HOME": str(self.places.state), **user, **dict(variables)}

    async def _stop(self) -> None:
        """Agents first, then those whom they talk to, then the servers."""
        while self._services:
            await self._services.pop().stop()


def _make_root(path: Path, user: str | None) -> None:
    try:
        make_directory(path, user)
    except OSError as error:
        raise ConfigError(
            f"the directory {path} cannot be made, or belongs to another user ({error.strerror}): choose another "
            "one with --dir"
        ) from error


def _check_address(listen: str) -> None:
    """Clients are told this address, and the certificate names it: so it is one address, and not "all of them"."""
    try:
        usable = not ipaddress.ip_address(listen).is_unspecified
    except ValueError:
        usable = False
    if not usable:
        raise ConfigError(
            f"--listen {listen}: expected the one IP address of this machine under which others reach it, "
            "such as 192.0.2.10"
        )


def command_path(name: str) -> Path:
    """Where a command of this installation lies. Raises `ConfigError` if it is not installed."""
    path = Path(sysconfig.get_path("scripts")) / name
    beside = Path(sys.argv[0]).absolute().with_name(name)  # Debian's Python has its scripts elsewhere
    if not path.exists() and beside.exists():
        return beside
    if not path.exists():
        raise ConfigError(
            f"the command {name} is not at {path}: install the package first (make demo does it)"
        )
    return path
