"""Section 4.6 of the report word for word, with chirp_server, Redis and an XMPP server as sections 4.1 to 4.3 set them up.

What the report leaves to its reader's machine is all that is added: ports, certificates, passwords, directories.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import socket
import subprocess
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from copilot.files.area import SEALED
from copilot.local.chirp import Chirp
from copilot.local.ejabberd import Ejabberd
from copilot.local.process import give, unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from copilot.local.system import command_path
from tests.acceptance.running import LIMIT_S, service, started, stop, until

pytestmark = pytest.mark.server("chirp")

LOGGERS = Path(__file__).parents[2] / "etc" / "copilot" / "loggerConf"
HOST = "127.0.0.1"

CALCULATOR = """\
#!/bin/bash

echo "2+2" | bc
"""  # listing 4.21

BC = """\
#!/bin/sh
read -r line
echo "$((line))"
"""  # for machines that have none


class ChirpOfTheReport(Chirp):
    """Started by listing 4.1, but for `-i`, which only root may say: whoever starts it is that user."""

    rights_by_hand = False

    def _arguments(self) -> list[str]:
        ours = ["-p", str(self.port), "-I", HOST, "-y", str(self.directory / "transient"), "--parent-death"]
        return ["-u", "-", "-d", "all", "-r", str(self.root), *ours]

    def _make_root(self) -> None:
        if self.rights_by_hand:
            super()._make_root()
        else:
            own_directory(self.root, self._user)  # mkdir -p JM_CHIRP_WORK_DIR


def own_directory(path: Path, user: str | None) -> None:
    """Make a directory of the user as whom services run."""
    path.mkdir(mode=0o755)
    give(path, user)


class Site:
    """One manager, one agent, and whoever submits, around an XMPP server."""

    def __init__(self, place: Path, xmpp: Prosody | Ejabberd, redis: Redis, chirp: Chirp) -> None:
        self.place, self.chirp = place, chirp
        self._xmpp, self._redis = xmpp, redis
        self._accounts = {kind: f"{kind}-{uuid.uuid4().hex}" for kind in ("jm", "agent")}
        self._password = uuid.uuid4().hex
        self._user = unprivileged_user()
        self.etc = place / "etc"
        self.etc.mkdir()
        for name in ("done", "state", "work"):
            own_directory(place / name, self._user)
        self.calculator = place / "calculator.sh"
        self.calculator.write_text(CALCULATOR)

    async def register(self) -> None:
        for account in self._accounts.values():
            await self._xmpp.register(account, self._password)

    def configure(self, *, chirp_is_here: bool) -> None:
        """Sections 4.2.2 and 4.3.2."""
        manager = {
            **self._jabber("JM", "jm"),
            "JM_JABBER_RESOURCE": "firstcopilotjm",
            "JM_LOGGER_CONFIG_FILE": self._logger("jobmanager"),
            "JM_CHIRP_SERVER": HOST,
            "JM_DONE_JOB_DIR": self.place / "done",
            "JM_REDIS_SERVER": HOST,
            "JM_WAITING_JOBS_LIST": "waiting-jobs",
            "JM_JOB_REQUIRE_FILE": "/bin/sh",
            # of this machine
            "JM_CHIRP_PORT": self.chirp.port,
            "JM_REDIS_PORT": self._redis.port,
            "JM_REDIS_PASSWORD": self._redis.password,
            "JM_STATE_DIR": self.place / "state",
        }
        if chirp_is_here:
            manager["JM_CHIRP_WORK_DIR"] = self.chirp.root
        agent = {
            "JM_JABBER_ADDRESS": f"{self._accounts['jm']}@{self._xmpp.domain}",
            **self._jabber("AGENT", "agent"),
            "AGENT_LOGGER_CONFIG_FILE": self._logger("agent"),
            "AGENT_WORK_DIR": self.place / "work",
            "AGENT_REQUEST_INTERVAL": "1s",
        }
        for name, settings in (("jobmanager-generic", manager), ("agent", agent)):
            text = "".join(f"{key} {value}\n" for key, value in settings.items())
            (self.etc / f"copilot-{name}.conf").write_text(text)

    def _jabber(self, prefix: str, kind: str) -> dict[str, object]:
        settings = {
            "SERVER": HOST,
            "DOMAIN": self._xmpp.domain,
            "ID": self._accounts[kind],
            "PASSWORD": self._password,
            "PORT": self._xmpp.port,
            "CA_FILE": self._readable(self._xmpp.ca_file),
        }
        return {f"{prefix}_JABBER_{name}": value for name, value in settings.items()}

    def _logger(self, name: str) -> Path:
        return self._readable(LOGGERS / name)

    def _readable(self, path: Path) -> Path:
        """A copy that services can read wherever the original is."""
        return Path(shutil.copyfile(path, self.place / path.name))

    @contextmanager
    def component(self, name: str, ready: str = "Ready as") -> Iterator[Path]:
        """A running program; its output."""
        output = self.place / f"{name}.out"
        with started(name, "--config", self.etc, output=output, **service(), PATH=self._path()) as process:
            until(lambda: ready in output.read_text() or process.poll() is not None, name)
            assert process.poll() is None, output.read_text()
            yield output
            assert stop(process) == 0

    def _path(self) -> str:
        if shutil.which("bc"):
            return os.environ["PATH"]
        tools = self.place / "bin"
        tools.mkdir(exist_ok=True)
        (tools / "bc").write_text(BC)
        (tools / "bc").chmod(0o755)
        return f"{tools}:{os.environ['PATH']}"

    def submit(self, *options: str) -> str:
        """Listing 4.22; the id of the job."""
        ran = self._run(
            [str(command_path("copilot-job-submit")), "--command=calculator.sh", *options], self.place
        )
        return ran.strip()

    def inspect(self, job: str) -> str:
        """Listing 4.23."""
        self._run(["tar", "xvf", f"{job}.tgz"], self.place / "done" / job)
        return self._run(["cat", f"{job}/stdout"], self.place / "done" / job)

    def _run(self, argv: Sequence[str], directory: Path) -> str:
        ran = subprocess.run(
            argv,
            cwd=directory,
            env={**os.environ, "COPILOT_CONFIG": str(self.etc)},
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def finished(self, job: str) -> bool:
        """Whether its result is published and its attempt is gone."""
        return (self.place / "done" / job / f"{job}.tgz").is_file() and not (self.chirp.root / job).exists()

    def is_clean(self) -> bool:
        """Whether nothing is left on the Chirp server but inputs, and no agent may write anywhere."""
        lists = [path.read_text() for path in self.chirp.root.rglob(".__acl")]
        agents = [line.split() for text in lists for line in text.splitlines() if "*" in line]
        left = {path.name.partition(".")[2] for path in self.chirp.root.iterdir() if path.name[0] != "."}
        return (
            left <= {"a0"}
            and [path.name for path in (self.chirp.root / SEALED).iterdir()] == [".__acl"]
            and all(rights in ("rl", "n") for _, rights in agents)
        )


@asynccontextmanager
async def chirp_for(site: Path, *, submit_by_chirp: bool) -> AsyncIterator[ChirpOfTheReport]:
    """A server of the test's own. Who submits from afar needs rights there, which its operator has given."""
    users = {unprivileged_user() or pwd.getpwuid(os.geteuid()).pw_name, pwd.getpwuid(os.geteuid()).pw_name}
    chirp = ChirpOfTheReport(site / "chirp", rights={f"unix:{user}": "rwlda" for user in users})
    chirp.rights_by_hand = submit_by_chirp
    await chirp.start()
    try:
        yield chirp
    finally:
        await chirp.stop()


@pytest.mark.usefixtures("redis_url")  # an empty queue
@pytest.mark.parametrize("hosts", ["one host", "two hosts"])
async def test_the_calculator_prints_4(
    place: Path, prosody: Prosody, redis_server: Redis, hosts: str
) -> None:
    await calculate(place, prosody, redis_server, one_host=hosts == "one host")


@pytest.mark.usefixtures("redis_url")
async def test_through_ejabberd_it_is_the_same(place: Path, ejabberd: Ejabberd, redis_server: Redis) -> None:
    agent_said = await calculate(place, ejabberd, redis_server, one_host=True)
    assert "only the element carriage is used" in agent_said


async def test_the_manager_waits_for_chirp_and_ends_if_it_has_no_rights_there(
    place: Path, prosody: Prosody, redis_server: Redis
) -> None:
    chirp = ChirpOfTheReport(place / "chirp", rights={"unix:somebody-else": "rwlda"})
    chirp.rights_by_hand = True
    site = Site(place, prosody, redis_server, chirp)
    await site.register()
    site.configure(chirp_is_here=False)
    try:
        await asyncio.to_thread(_wait_for_rights, site, asyncio.get_running_loop())
    finally:
        await chirp.stop()


def _wait_for_rights(site: Site, loop: asyncio.AbstractEventLoop) -> None:
    output = site.place / "manager.out"
    with (
        socket.socket() as held,
        started("copilot-jobmanager-generic", "--config", site.etc, output=output, **service()) as process,
    ):
        held.bind((HOST, site.chirp.port))  # so that no other server takes it before ours
        until(lambda: "no connection" in output.read_text(), "the manager has tried")
        held.close()
        asyncio.run_coroutine_threadsafe(site.chirp.start(), loop).result(LIMIT_S)
        assert process.wait(LIMIT_S) == 2
    assert "knows us as unix:" in output.read_text()
    assert "rwlda' into the file .__acl" in output.read_text()


async def calculate(place: Path, xmpp: Prosody | Ejabberd, redis: Redis, *, one_host: bool) -> str:
    """Section 4.6; returns what the agent has said."""
    async with chirp_for(place, submit_by_chirp=not one_host) as chirp:
        site = Site(place, xmpp, redis, chirp)
        await site.register()
        site.configure(chirp_is_here=one_host)
        return await asyncio.to_thread(_calculate, site, one_host)


def _calculate(site: Site, one_host: bool) -> str:
    with site.component("copilot-jobmanager-generic"), site.component("copilot-agent") as said:
        directory = (f"--chirp-dir={site.chirp.root}",) if one_host else ()
        job = site.submit(f"--chirp-server={HOST}", *directory)
        until(lambda: site.finished(job), f"the result of {job}\n{said.read_text()}")
        until(site.is_clean, "nothing left")
        assert site.inspect(job) == "4\n"
        return said.read_text()
