"""Real servers for the tests: started once for a whole run, when the first test asks, and gone after it.

The process that leads the run owns them, for a worker of pytest-xdist may end before the others. A worker asks it
over a Unix socket, then uses the server by its directory. All share one Prosody and one ejabberd, each worker has its
own Redis. Without the programs, tests that need them are skipped on a laptop and fail where `CI` is set.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import tempfile
import threading
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import redis as redis_client
from hypothesis import HealthCheck, settings

from copilot.errors import CopilotError, ServerMissing
from copilot.local.chirp import Chirp
from copilot.local.ejabberd import Ejabberd
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from tests.carbon.servers import Graphite
from tests.missing import missing

WORKERS = ("alone", *(f"gw{number}" for number in range(16)))
ADMINS = [f"boss-{worker}@copilot.internal" for worker in WORKERS]  # may make and remove accounts
Server = Chirp | Prosody | Ejabberd | Redis
STARTERS: dict[str, Callable[[Path], Server]] = {
    "chirp": Chirp,
    "prosody": partial(Prosody, admins=ADMINS),
    "ejabberd": partial(Ejabberd, admins=ADMINS),
    "redis": Redis,
}
FIXTURES = {
    "chirp_server": "chirp",
    "prosody": "prosody",
    "account": "prosody",
    "ejabberd": "ejabberd",
    "redis_server": "redis",
    "redis_url": "redis",
    "graphite": "graphite",
}
# Payloads of tests tell by files anywhere what they are at. What is about the sandbox asks for it.
os.environ.setdefault("AGENT_SANDBOX", "none")
# Whatever cores there are: what several of them do is for tests of that.
os.environ.setdefault("AGENT_SLOTS", "1")
os.environ.setdefault("AGENT_IMAGES", "none")  # to try podman takes each agent a second
# No example of hypothesis has to end within 200 ms, nor ten of them to be made within a second, whatever else this machine does.
settings.register_profile("patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")
ANSWER_LIMIT_S = 100.0  # below the limit of a test


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """An XMPP account of one test alone."""

    jid: str
    password: str


class Keeper(threading.Thread):
    """Owns the servers of a run. The thread lives as long as the run, for children die with their thread."""

    def __init__(self) -> None:
        super().__init__(name="servers-of-the-run", daemon=True)
        # Not pytest's own directory: as root that one is closed to the user as whom servers run.
        self.directory = Path(tempfile.mkdtemp(prefix="copilot-tests-"))
        self.directory.chmod(0o711)
        self._listening = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._end = asyncio.Event()
        self._servers: dict[str, Server] = {}
        self._lock = asyncio.Lock()
        self.start()
        self._listening.wait()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self.join()
        shutil.rmtree(self.directory)

    def run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        async with await asyncio.start_unix_server(self._answer, self.directory / "ask"):
            self._listening.set()
            await self._end.wait()
        for server in self._servers.values():
            await server.stop()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        name = (await reader.readline()).decode().strip()
        async with self._lock:
            answer = await self._ensure(name)
        writer.write(json.dumps(answer).encode())
        await writer.drain()
        writer.close()

    async def _ensure(self, name: str) -> dict[str, str]:
        if name not in self._servers:
            server = STARTERS[name.partition("-")[0]](self.directory / name)
            try:
                await server.start()
            except ServerMissing as error:
                return {"missing": str(error)}
            except CopilotError as error:
                return {"failed": str(error)}
            self._servers[name] = server
        return {}


DIRECTORY = pytest.StashKey[Path]()
KEEPER = pytest.StashKey[Keeper]()


def pytest_configure(config: pytest.Config) -> None:
    worker: dict[str, Any] | None = getattr(config, "workerinput", None)
    if worker is None:
        config.stash[KEEPER] = Keeper()
        config.stash[DIRECTORY] = config.stash[KEEPER].directory
    else:
        config.stash[DIRECTORY] = Path(worker["server_directory"])
        # This process is traced, programs that tests start are not: what has a limit is covered without them.
        os.environ.pop("COVERAGE_PROCESS_START", None)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["server_directory"] = str(node.config.stash[DIRECTORY])


def pytest_unconfigure(config: pytest.Config) -> None:
    if keeper := config.stash.get(KEEPER, None):
        keeper.close()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server: `pytest -m "not server"` runs the rest."""
    for item in items:
        for name in {FIXTURES[one] for one in getattr(item, "fixturenames", ()) if one in FIXTURES}:
            item.add_marker(pytest.mark.server(name))


def _running(config: pytest.Config, name: str) -> Path:
    """The directory of the server, which runs when this returns."""
    directory = config.stash[DIRECTORY]
    with socket.socket(socket.AF_UNIX) as line:
        line.settimeout(ANSWER_LIMIT_S)
        line.connect(str(directory / "ask"))
        line.sendall(name.encode() + b"\n")
        with line.makefile("rb") as answers:
            answer = json.loads(answers.read())
    if "missing" in answer:
        missing(answer["missing"])
    if answer:
        pytest.fail(next(iter(answer.values())), pytrace=False)
    return directory / name


@pytest.fixture(scope="session")
def prosody(request: pytest.FixtureRequest) -> Prosody:
    """The Prosody of this run: `.domain`, `.port`, `.ca_file`. To stop or kill one, start your own."""
    return Prosody(_running(request.config, "prosody"))


@pytest.fixture(scope="session")
def ejabberd(request: pytest.FixtureRequest) -> Ejabberd:
    """The ejabberd of this run: as `prosody`; `register` makes accounts."""
    return Ejabberd(_running(request.config, "ejabberd"))


@pytest.fixture(scope="session")
def chirp_server(request: pytest.FixtureRequest) -> Chirp:
    """The Chirp server of this run: `.url`, `.port`, `.root`, `.challenges`. To stop or kill one, start your own."""
    return Chirp(_running(request.config, "chirp"))


@pytest.fixture
def account(prosody: Prosody) -> Callable[..., Awaitable[Account]]:
    """Makes accounts that no other test has: `await account()` or `await account("agent")`."""

    async def make(kind: str = "user") -> Account:
        password = uuid.uuid4().hex
        return Account(jid=await prosody.register(f"{kind}-{uuid.uuid4().hex}", password), password=password)

    return make


@pytest.fixture(scope="session")
def redis_server(request: pytest.FixtureRequest) -> Redis:
    """The Redis of this run and worker: `.port`, `.password`, `.url`. To stop or kill one, start your own."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
    return Redis(_running(request.config, f"redis-{worker}"))


@pytest.fixture
def redis_url(redis_server: Redis) -> str:
    """URL of an empty Redis that no other test uses at the same time."""
    with redis_client.Redis.from_url(redis_server.url) as connection:
        connection.flushall()
    return redis_server.url


@pytest.fixture
def open_directory(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A directory for servers of one test, which the user as whom they run can reach (tmp_path is closed to it)."""
    path = Path(tempfile.mkdtemp(prefix="test-", dir=request.config.stash[DIRECTORY]))
    path.chmod(0o711)
    yield path
    shutil.rmtree(path)


@pytest.fixture
async def graphite(tmp_path: Path) -> AsyncIterator[Graphite]:
    """A Graphite of this test alone, nothing of which has been started; it is stopped after the test."""
    try:
        one = Graphite(tmp_path)
    except ServerMissing as error:
        missing(str(error))
    yield one
    await one.stop()
