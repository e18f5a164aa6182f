"""The embedded system: private servers and all components on this machine, kept running, stopped in order.

DIR/
  prosody/  redis/            the servers, each with its data and log
  etc/                        the components' configuration: COPILOT_CONFIG=DIR/etc for the commands
  agents/agent-N.conf         one file an agent, ready to copy to another machine
  files/  done/  state/       file area, finished jobs, claim secret
  work/agent-N/               where the agents of this machine work
  log/                        one log a component
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sysconfig
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from copilot.errors import ConfigError, CopilotError
from copilot.local import configuration, provision
from copilot.local.configuration import Places
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
        """`listen`: where the XMPP and file ports are opened; everything else stays on loopback."""
        self.places = Places(directory.absolute())
        self._listen = listen
        self._agents = agents
        self._user = unprivileged_user()
        self._prosody = Prosody(self.places.root / "prosody", domain=configuration.DOMAIN, listen=listen)
        self._redis = Redis(self.places.root / "redis")
        self._children: dict[str, Child] = {}
        self._stopping = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Start everything; restart what dies while inside; stop everything in order on the way out.

        Raises `ServerMissing` (the text names the command that installs it), `ConfigError`, or `CopilotError` with
        the end of the log of what did not start.
        """
        keepers: list[asyncio.Task[None]] = []
        try:
            await self._start()
            keepers = [asyncio.create_task(self._keep(program)) for program in self._programs()]
            keepers += [
                asyncio.create_task(self._keep_server(server)) for server in (self._prosody, self._redis)
            ]
            yield
        finally:
            self._stopping = True
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
        await asyncio.gather(self._prosody.start(), self._redis.start())
        await self._configure()
        first, *rest = self._programs()
        await self._start_program(first)
        await asyncio.gather(*(self._start_program(program) for program in rest))

    def _make_directories(self) -> None:
        for directory in (self.places.root, self.places.etc, self.places.agents):
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

    def _programs(self) -> list[Program]:
        """In the order of starting."""
        etc = self.places.etc
        programs = [
            Program(name="fileserver", command="copilot-fileserver", config=etc, ready=SERVING),
            Program(name="jobmanager", command="copilot-jobmanager-generic", config=etc),
            Program(name="storagemanager", command="copilot-storagemanager", config=etc),
        ]
        for number in range(1, self._agents + 1):
            work_dir = ("AGENT_WORK_DIR", str(self.places.work / f"agent-{number}"))
            programs.append(
                Program(
                    name=f"agent-{number}",
                    command="copilot-agent",
                    config=self.places.agent(number),
                    variables=(work_dir,),
                )
            )
        return programs

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

    async def _keep(self, program: Program) -> None:
        """Start it again whenever it ends, later and later."""
        wait = FIRST_RESTART_S
        while True:
            status = await self._children[program.name].wait()
            log.error("%s ended (status %d); starting it again in %.0f s", program.name, status, wait)
            await asyncio.sleep(wait)
            wait = min(2 * wait, LONGEST_RESTART_S)
            try:
                await self._start_program(program)
            except CopilotError as error:
                log.error("%s", error)
            else:
                log.info("%s runs again", program.name)

    async def _keep_server(self, server: Prosody | Redis) -> None:
        name, wait = type(server).__name__, FIRST_RESTART_S
        while True:
            status = await server.wait()
            log.error("%s ended (status %d); starting it again in %.0f s", name, status, wait)
            while True:
                await asyncio.sleep(wait)
                wait = min(2 * wait, LONGEST_RESTART_S)
                with contextlib.suppress(CopilotError):
                    await server.start()
                    break
            log.info("%s runs again", name)

    async def _stop(self) -> None:
        """Agents first, then those whom they talk to, then the servers."""
        for program in reversed(self._programs()):
            child = self._children.pop(program.name, None)
            if child is not None:
                await child.stop()
        await self._redis.stop()
        await self._prosody.stop()


def command_path(name: str) -> Path:
    """Where a command of this installation lies. Raises `ConfigError` if it is not installed."""
    path = Path(sysconfig.get_path("scripts")) / name
    if not path.exists():
        raise ConfigError(
            f"the command {name} is not at {path}: install the package first (make demo does it)"
        )
    return path
