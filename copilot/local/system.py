"""The embedded system: private servers and all components on this machine, kept running, stopped in order.

DIR/
  prosody/  redis/            the servers, each with its data and log
  etc/                        the components' configuration: COPILOT_CONFIG=DIR/etc for the commands
  agents/agent-N.conf         one file an agent, ready to copy to another machine
  files/  done/  state/       file area, finished jobs, claim secret
  work/agent-N/               where the agents of this machine work
  log/                        one log a component
  lock                        held by the one system that runs here
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import os
import sysconfig
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path

from copilot.errors import ConfigError, CopilotError
from copilot.local import configuration, provision
from copilot.local.configuration import Places
from copilot.local.lock import alone_in
from copilot.local.ports import remembered_port
from copilot.local.process import Child, give, make_directory, unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from copilot.local.writing import write_file

log = logging.getLogger("copilot.local")

START_LIMIT_S = 30.0
FIRST_RESTART_S = 1.0
LONGEST_RESTART_S = 30.0
READY = "Ready as "
SERVING = "Serving "
RUN_AS = "COPILOT_RUN_AS"  # read by copilot.cli.identity


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One component as a process: its command, its log's name, and the line that says it is ready."""

    name: str
    command: str
    config: Path
    ready: str = READY
    variables: tuple[tuple[str, str], ...] = ()


class LocalSystem:
    """Servers and components below one directory. One object runs one system; `running` is the way in."""

    def __init__(self, directory: Path, *, listen: str = "127.0.0.1", agents: int = 1) -> None:
        """`listen`: where the XMPP and file ports are opened; everything else stays on loopback.

        Raises `ConfigError` for what is not one address.
        """
        _check_address(listen)
        self.places = Places(directory.absolute())
        self._listen = listen
        self._agents = agents
        self._user = unprivileged_user()
        self._prosody = Prosody(self.places.root / "prosody", domain=configuration.DOMAIN, listen=listen)
        self._redis = Redis(self.places.root / "redis")
        self._children: dict[str, Child] = {}

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything; restart what dies while inside; stop everything in order on the way out.

        Raises `ServerMissing` (the text names the command that installs it), `ConfigError`, or `CopilotError` with
        the end of the log of what did not start.
        """
        _make_root(self.places.root, self._user)
        with alone_in(self.places.root):
            keepers: list[asyncio.Task[None]] = []
            try:
                await self._start()
                keepers = [asyncio.create_task(keeping) for keeping in self._keepers()]
                yield
            finally:
                for keeper in keepers:
                    keeper.cancel()
                await asyncio.gather(*keepers, return_exceptions=True)
                await self._stop()

    @property
    def spare_agent(self) -> Path:
        """The configuration of an agent that is not started here: for another machine."""
        return self.places.agent(self._agents + 1)

    def log_of(self, program: str) -> Path:
        """The log of a component."""
        return self.places.log / f"{program}.log"

    async def _start(self) -> None:
        await asyncio.to_thread(provision.ensure, "prosody", "redis-server")
        self._make_directories()
        await _all(self._prosody.start(), self._redis.start())
        await self._configure()
        for group in self._programs():
            await _all(*(self._start_program(program) for program in group))

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
        for name in ("jm", *(f"agent-{number}" for number in range(1, self._agents + 2))):
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
        )
        for path, text in configuration.files(facts, passwords).items():
            write_file(path, text, mode=0o600)
            give(path, self._user)

    def _programs(self) -> tuple[list[Program], ...]:
        """In groups that start together: those who answer before those who ask, or these ask in vain."""
        etc = self.places.etc
        managers = [
            Program(name="jobmanager", command="copilot-jobmanager-generic", config=etc),
            Program(name="storagemanager", command="copilot-storagemanager", config=etc),
        ]
        agents = [
            Program(
                name=f"agent-{number}",
                command="copilot-agent",
                config=self.places.agent(number),
                variables=(
                    ("AGENT_WORK_DIR", str(self.places.work / f"agent-{number}")),
                    ("AGENT_DRAIN_GRACE", "0"),  # Ctrl-C means now
                ),
            )
            for number in range(1, self._agents + 1)
        ]
        files = Program(name="fileserver", command="copilot-fileserver", config=etc, ready=SERVING)
        return [files], managers, agents

    async def _start_program(self, program: Program) -> None:
        child = await Child.start(
            [command_path(program.command), "--config", program.config],
            log=self.log_of(program.name),
            user=None,  # it gives root up by itself: its code may lie where only root can read
            env=self._environment(program.variables),
            cwd=Path("/"),
        )
        self._children[program.name] = child
        path = self.log_of(program.name)
        await child.wait_until(
            lambda: program.ready in path.read_text(errors="replace"), limit_s=START_LIMIT_S
        )

    def _environment(self, variables: Sequence[tuple[str, str]]) -> dict[str, str]:
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
        user = {} if self._user is None else {RUN_AS: self._user}
        return {**kept, "HOME": str(self.places.state), **user, **dict(variables)}

    def _keepers(self) -> list[Coroutine[None, None, None]]:
        keepers = [
            _keep(type(server).__name__, server.wait, server.start) for server in (self._prosody, self._redis)
        ]
        for program in chain(*self._programs()):
            ended, start = partial(self._ended, program), partial(self._start_program, program)
            keepers.append(_keep(program.name, ended, start))
        return keepers

    async def _ended(self, program: Program) -> int:
        return await self._children[program.name].wait()

    async def _stop(self) -> None:
        """Agents first, then those whom they talk to, then the servers."""
        for program in reversed([*chain(*self._programs())]):
            child = self._children.pop(program.name, None)
            if child is not None:
                await child.stop()
        await self._redis.stop()
        await self._prosody.stop()


async def _keep(name: str, ended: Callable[[], Awaitable[int]], start: Callable[[], Awaitable[None]]) -> None:
    """Start something again whenever it ends; later and later if it does not last."""
    now, wait = asyncio.get_running_loop().time, FIRST_RESTART_S
    while True:
        since = now()
        status = await ended()
        if now() - since > LONGEST_RESTART_S:
            wait = FIRST_RESTART_S
        log.error("%s ended (status %d); starting it again in %.0f s", name, status, wait)
        await asyncio.sleep(wait)
        wait = min(2 * wait, LONGEST_RESTART_S)
        try:
            await start()
        except (CopilotError, OSError) as error:
            log.error("%s", error)
        else:
            log.info("%s runs again", name)


async def _all(*starts: Awaitable[None]) -> None:
    """All of them to their end, then the first error: what still starts would be missed by `_stop`."""
    for result in await asyncio.gather(*starts, return_exceptions=True):
        if result is not None:
            raise result


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
    if not path.exists():
        raise ConfigError(
            f"the command {name} is not at {path}: install the package first (make demo does it)"
        )
    return path
