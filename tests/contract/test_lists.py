"""Jobs that tools of 2011 push on lists in Redis: taken over at once, exactly once, whoever dies, and never lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

import pytest

from copilot.clock import SystemClock
from copilot.grid import lists as module
from copilot.grid import oldjob
from copilot.grid.base import Intake
from copilot.grid.lists import OldJobs
from copilot.grid.running import running
from copilot.job import JobSpec, State
from copilot.store.connections import Command
from copilot.store.keys import OLD_LISTS, old_description, old_rejected, old_taking
from copilot.store.lists import Adoption, OldList
from copilot.store.pools import Pools, to_server
from copilot.store.redis import TIMEOUT, RedisStore
from tests.contract import store_fixtures
from tests.contract.store_fixtures import (
    STEPS,
    RedisServer,
    assert_cancelling_ends,
    eventually,
    find_program,
    new_prefix,
    server_in_new_directory,
    spec,
)
from tests.patience import PATIENCE_S

shared_server, redis_program, server = (
    store_fixtures.shared_server,
    store_fixtures.redis_program,
    store_fixtures.server,
)

TEXT = "chirp.example.org:9094::::/data/{job}::::in.dat###run.sh::::run.sh::::-v 'a b'::::export A=1::::VO_X@Root::v6"


def parse(job: str, description: bytes) -> JobSpec:
    return oldjob.parse(job, description, server="here:9094", port=9094)


class Tool:
    """An operator's tool of 2011: nothing but redis-cli."""

    def __init__(self, server: RedisServer, program: str, name: str) -> None:
        self.name = name
        self._server = server
        self._installed = find_program(program)

    def cli(self, *words: str | bytes) -> bytes:
        socket = self._server.url.removeprefix("unix://")
        program = self._installed.program.with_name("redis-cli")
        variables = os.environ | self._installed.environment()
        argv = [program, "-s", socket, *words]
        said = subprocess.run(argv, capture_output=True, check=True, timeout=PATIENCE_S, env=variables)
        return said.stdout

    def submit(self, job: str, text: str = TEXT) -> None:
        self.cli("SET", old_description(job), text.format(job=job))
        self.cli("RPUSH", self.name, job)

    def lists(self) -> dict[str, list[str]]:
        """What lies in the list, in `:taking` and in `:rejected`; empty ones are left out."""
        with self._server.client() as client:
            names = self.name, old_taking(self.name), old_rejected(self.name)
            found = {name.removeprefix(self.name): client.lrange(name, 0, -1) for name in names}
        return {name: idents for name, idents in found.items() if idents}

    def described(self, job: str) -> bool:
        with self._server.client() as client:
            return bool(client.exists(old_description(job)))


@pytest.fixture
def tool(server: RedisServer, redis_program: str) -> Tool:
    """With a list that no other test uses."""
    return Tool(server, redis_program, f"list-{uuid.uuid4().hex}")


@pytest.fixture
def own_server(redis_program: str) -> Iterator[RedisServer]:
    """Each real server in turn, to do with as you like."""
    with server_in_new_directory(redis_program) as server:
        yield server


@pytest.fixture
async def store(server: RedisServer) -> AsyncIterator[RedisStore]:
    """An empty queue."""
    store = RedisStore.from_url(server.url, prefix=new_prefix())
    yield store
    await store.close()


async def aside(tool: Tool) -> bool:
    """Whether something was rejected."""
    return ":rejected" in tool.lists()


class Inputs:
    """What the generic source needs of an intake: where inputs lie, it does all else inside Redis."""

    def __init__(self, *jobs: str) -> None:
        """`jobs` have a directory of their own name."""
        self._jobs = jobs

    async def submit(self, *_: Any) -> JobSpec:
        raise AssertionError("the generic source stages nothing")

    async def adopt(self, job: str) -> bool:
        return job in self._jobs


NOTHING_TO_MOVE = Inputs()


@contextlib.asynccontextmanager
async def taking(
    store: RedisStore, *names: str, intake: Intake = NOTHING_TO_MOVE
) -> AsyncIterator[asyncio.Task[None]]:
    """The generic source of a manager, at work on these lists."""
    source = OldJobs([OldList(store, name) for name in names], parse, SystemClock())
    task = asyncio.create_task(source.run(intake))
    try:
        yield task
    finally:
        task.cancel()
        ended, _ = await asyncio.wait([task], timeout=PATIENCE_S)
        assert ended, "a source ends when it is cancelled"


async def until(condition: Callable[[], Any], limit: float = PATIENCE_S) -> None:
    """Wait for an awaitable condition."""
    async with asyncio.timeout(limit):
        while not await condition():
            await asyncio.sleep(0.002)


async def known(store: RedisStore, job: str) -> bool:
    return await store.get(job) is not None


async def submissions(store: RedisStore) -> Counter[str]:
    """How often each job appeared on the queue."""
    found: Counter[str] = Counter()
    after = "0"
    while events := await store.events(after=after, count=1000):
        after = events[-1].id
        found.update(event.job for event in events if event.kind.value == "submitted")
    return found


# ---------------------------------------------------------------- the usual way


async def test_a_pushed_job_becomes_a_job_like_any_other(store: RedisStore, tool: Tool) -> None:
    async with taking(store, tool.name):
        tool.submit("j-1")
        await until(lambda: known(store, "j-1"))
    record = await store.get("j-1")
    assert record is not None
    assert record.state is State.WAITING
    assert record.spec == parse("j-1", TEXT.format(job="j-1").encode())
    await store.submit([spec("of-today")])
    claimed = await store.claim(agent="a@b", request="r", dispatch_limit=60, count=2)
    assert [one.spec.id for one in claimed] == ["j-1", "job-of-today"]
    assert tool.lists() == {}
    assert not tool.described("j-1")


@pytest.mark.parametrize(
    ("lay", "lie"),
    [("{job}", None), ("/{job}/", None), ("/{job}/in/put", "/{job}.a0/in/put")],
)
async def test_inputs_that_lie_where_the_first_attempt_writes_are_moved(
    store: RedisStore, tool: Tool, lay: str, lie: str | None
) -> None:
    async with taking(store, tool.name, intake=Inputs("moved")):
        for job in ("moved", "elsewhere"):
            tool.submit(job, TEXT.replace("/data/{job}", lay))
        await until(lambda: has(store, 2))
    moved, elsewhere = await store.get("moved"), await store.get("elsewhere")
    assert moved is not None
    assert elsewhere is not None
    assert moved.spec.input_dir == (None if lie is None else lie.format(job="moved"))
    assert moved.spec.chirp_server is None
    assert elsewhere.spec.chirp_server == "chirp.example.org:9094"
    assert (elsewhere.spec.input_dir or "").strip("/") == lay.format(job="elsewhere").strip("/")


async def test_inputs_that_lie_where_a_later_attempt_writes_are_refused(
    store: RedisStore, tool: Tool
) -> None:
    async with taking(store, tool.name):
        tool.submit("j", TEXT.replace("/data/{job}", "/{job}.a2"))
        await until(lambda: aside(tool))
    assert await store.get("j") is None


async def test_both_names_of_the_list_are_served_when_none_is_configured(
    own_server: RedisServer, redis_program: str
) -> None:
    store = RedisStore.from_url(own_server.url)
    async with taking(store, *OLD_LISTS):
        for name in ("waiting-jobs", "waiting_jobs"):
            Tool(own_server, redis_program, name).submit(f"by-{name}")
            await until(lambda name=name: known(store, f"by-{name}"))
    await store.close()


async def test_while_nothing_is_pushed_nothing_is_sent_and_a_push_is_noticed_at_once(
    own_server: RedisServer, redis_program: str
) -> None:
    store = RedisStore.from_url(own_server.url)
    tool = Tool(own_server, redis_program, OLD_LISTS[0])
    async with taking(store, *OLD_LISTS):
        with own_server.client() as client:

            def idle() -> bool:
                """Both wait inside Redis, and have done so for over a second."""
                blocked = [one for one in client.client_list() if one["cmd"] == "blmove"]
                return len(blocked) == len(OLD_LISTS) and all(int(one["idle"]) >= 1 for one in blocked)

            await eventually(idle)
        assert store.round_trips == 2 * len(OLD_LISTS)  # one sweep and one BLMOVE each
        tool.submit("j")
        began = time.monotonic()
        await until(lambda: known(store, "j"))
        assert time.monotonic() - began < module.SWEEP_EVERY / 3  # by the push, not by a sweep
    await store.close()


async def test_a_thousand_ids_pushed_at_once_become_a_thousand_jobs_in_their_order(
    store: RedisStore, server: RedisServer, tool: Tool
) -> None:
    names = [f"j-{number:04}" for number in range(1000)]
    with server.client() as client:
        client.mset({old_description(name): TEXT.format(job=name) for name in names})
    async with taking(store, tool.name):
        tool.cli("RPUSH", tool.name, *names)
        await until(lambda: has(store, 1000))
    assert await submissions(store) == Counter(names)
    claimed = await store.claim(agent="a@b", request="r", dispatch_limit=60, count=1000)
    assert [one.spec.id for one in claimed] == names
    assert tool.lists() == {}


async def has(store: RedisStore, count: int) -> bool:
    return await store.waiting() == count


async def test_two_managers_share_the_work_and_do_nothing_twice(
    store: RedisStore, server: RedisServer, tool: Tool
) -> None:
    names = [f"j-{number:03}" for number in range(200)]
    with server.client() as client:
        client.mset({old_description(name): TEXT.format(job=name) for name in names})
        client.rpush(old_taking(tool.name), *names[:100])  # what a dead manager has left: both sweep it
    other = RedisStore.from_url(server.url, prefix=store._keys._prefix)
    async with taking(store, tool.name), taking(other, tool.name):
        tool.cli("RPUSH", tool.name, *names[100:])
        await until(lambda: has(store, 200))
        await eventually(lambda: tool.lists() == {})
    assert await submissions(store) == Counter(names)
    assert other.round_trips > 50 < store.round_trips
    await other.close()


# ---------------------------------------------------------------- deaths


class Mortal(Pools):
    """Connections of one who dies at a command: before it is sent, or after, when the answer never comes."""

    def __init__(self, url: str, *, left: int, sends: bool) -> None:
        pools = to_server(url, timeout=TIMEOUT)
        super().__init__(workers=pools.workers, listeners=pools.listeners)
        self.left = left
        self.sends = sends
        self.dead = asyncio.Event()

    async def ask(self, commands: Sequence[Command], **options: bool) -> list[Any]:
        self.left -= 1
        if self.left == -1:
            if self.sends:
                await super().ask(commands, **options)
            self.dead.set()
            await asyncio.Event().wait()
        return await super().ask(commands, **options)


@pytest.mark.parametrize("sends", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("command", range(5), ids=["LRANGE", "BLMOVE", "GET", "adopt", "BLMOVE-again"])
async def test_a_manager_that_dies_at_any_command_loses_nothing_and_doubles_nothing(
    store: RedisStore, server: RedisServer, tool: Tool, command: int, sends: bool
) -> None:
    assert await OldList(store, tool.name).forget("no-job") is Adoption.MISSING  # Redis knows the script now
    tool.submit("j-1")
    tool.submit("j-2")
    for again in (False, True):  # the second time the first job is there already
        mortal = Mortal(server.url, left=command, sends=sends)
        dying = RedisStore(mortal, prefix=store._keys._prefix)
        async with taking(dying, tool.name):
            await asyncio.wait_for(mortal.dead.wait(), PATIENCE_S)
        await dying.close()
        if not again:
            tool.submit("j-3")
            tool.submit("j-4")
    async with taking(store, tool.name):
        await until(lambda: has(store, 4))
        await eventually(lambda: tool.lists() == {})
    assert await submissions(store) == Counter([f"j-{number}" for number in (1, 2, 3, 4)])
    assert not any(tool.described(f"j-{number}") for number in (1, 2, 3, 4))


async def test_a_source_ends_when_it_is_cancelled_whatever_it_is_doing(
    store: RedisStore, server: RedisServer, tool: Tool
) -> None:
    """At shutdown a manager waits for that."""
    names = [f"j-{number}" for number in range(STEPS)]
    with server.client() as client:
        client.mset({old_description(name): TEXT.format(job=name) for name in names})
        client.rpush(tool.name, *names)
    source = OldJobs([OldList(store, tool.name)], parse, SystemClock())
    await assert_cancelling_ends(lambda: source.run(NOTHING_TO_MOVE))


async def test_redis_may_go_away_and_come_back(
    own_server: RedisServer, redis_program: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = RedisStore.from_url(own_server.url)
    tool = Tool(own_server, redis_program, OLD_LISTS[0])
    source = OldJobs([OldList(store, name) for name in OLD_LISTS], parse, SystemClock())
    async with running({"generic": source}, Inputs(), clock=SystemClock(), random=lambda: 0.005):
        for number in range(3):
            tool.submit(f"j-{number}")
            await until(lambda number=number: known_by_now(store, f"j-{number}"))
            own_server.kill()
            own_server.start()
        tool.submit("last")
        await until(lambda: known_by_now(store, "last"))
        assert await submissions(store) == Counter(["j-0", "j-1", "j-2", "last"])
    assert "does not end" not in caplog.text
    await store.close()


async def known_by_now(store: RedisStore, job: str) -> bool:
    with contextlib.suppress(Exception):
        return await known(store, job)
    return False


# ---------------------------------------------------------------- refusals


BAD = {
    "an id with a slash": ("a/b", TEXT),
    "an alias": ("j.a2", TEXT),
    "an id that is too long": ("j" * 129, TEXT),
    "an id with a blank": ("j 1", TEXT),
    "a command outside": ("j", TEXT.replace("::::run.sh", "::::../run.sh")),
    "an input outside": ("j", TEXT.replace("in.dat", "../in.dat")),
    "a directory outside": ("j", TEXT.replace("/data/{job}", "/data/../..")),
    "no command": ("j", "chirp:9094::::/data::::in.dat"),
    "an empty description": ("j", ""),
    "too many fields": ("j", TEXT + "::::more"),
    "a bad server": ("j", TEXT.replace("chirp.example.org", "chirp_example org")),
    "too much text": ("j", TEXT.replace("export A=1", "x" * 20_000)),
    "too many inputs": ("j", TEXT.replace("in.dat", "###".join(map(str, range(40))))),
}


@pytest.mark.parametrize("case", BAD)
async def test_what_cannot_become_a_job_is_put_aside_with_a_word(
    store: RedisStore, tool: Tool, caplog: pytest.LogCaptureFixture, case: str
) -> None:
    job, text = BAD[case]
    async with taking(store, tool.name):
        tool.submit(job, text)
        tool.submit("good")
        await until(lambda: known(store, "good"))
    assert tool.lists() == {":rejected": [job]}
    assert tool.described(job), "nothing is thrown away"
    assert f"its id is in {tool.name}:rejected now: " in caplog.text
    assert await store.waiting() == 1
    with contextlib.suppress(Exception):
        tool.cli("DEL", old_description(job), old_description("good"))


async def test_bytes_that_are_no_text_do_no_harm(store: RedisStore, tool: Tool) -> None:
    tool.cli("SET", old_description("latin"), b"chirp:9094::::/d::::::::r\xfcn.sh")
    tool.cli("RPUSH", tool.name, b"j\xff", "latin")
    async with taking(store, tool.name):
        tool.submit("good")
        await until(lambda: known(store, "good"))
    assert tool.cli("LRANGE", old_rejected(tool.name), "0", "-1").count(b"\n") == 2
    assert tool.cli("DEL", old_description("latin")) == b"1\n"


async def test_an_id_of_another_job_is_put_aside_and_that_job_stays_as_it_is(
    store: RedisStore, tool: Tool
) -> None:
    await store.submit([spec()])
    async with taking(store, tool.name):
        tool.submit("job-1")
        await eventually(lambda: tool.lists() == {":rejected": ["job-1"]})
    record = await store.get("job-1")
    assert record is not None
    assert record.spec == spec()
    assert tool.described("job-1")


async def test_the_same_job_pushed_again_changes_nothing(store: RedisStore, tool: Tool) -> None:
    async with taking(store, tool.name):
        for _ in range(3):
            tool.submit("j-1")
        tool.cli("RPUSH", tool.name, "j-1", "j-1")
        await until(lambda: known(store, "j-1"))
        await eventually(lambda: tool.lists() == {})
    assert await submissions(store) == {"j-1": 1}


async def test_a_tool_may_push_the_id_before_it_writes_the_description(
    store: RedisStore, tool: Tool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "DESCRIPTION_GRACE", 4.0)
    async with taking(store, tool.name):
        tool.cli("RPUSH", tool.name, "late")
        await eventually(lambda: tool.lists() == {":taking": ["late"]})
        tool.cli("SET", old_description("late"), TEXT.format(job="late"))
        await until(lambda: known(store, "late"))


async def test_an_id_without_a_description_is_put_aside_after_a_while(
    store: RedisStore, tool: Tool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "DESCRIPTION_GRACE", 0.05)
    async with taking(store, tool.name):
        tool.cli("RPUSH", tool.name, "nothing")
        await eventually(lambda: tool.lists() == {":rejected": ["nothing"]})
        await eventually(lambda: "there is no job:nothing:description" in caplog.text)


@pytest.mark.parametrize("wait", [0.0, 1e-9, 0.001, 0.0019])
async def test_even_the_shortest_wait_for_an_id_ends(store: RedisStore, tool: Tool, wait: float) -> None:
    assert await OldList(store, tool.name).take(wait) is None


async def test_an_id_is_put_aside_once_though_two_managers_try(store: RedisStore, tool: Tool) -> None:
    tool.cli("RPUSH", old_taking(tool.name), "j")
    one = OldList(store, tool.name)
    assert sorted(await asyncio.gather(one.reject(b"j"), one.reject(b"j"))) == [False, True]
    assert tool.lists() == {":rejected": ["j"]}


async def test_a_description_that_changes_while_it_is_read_is_read_again(
    store: RedisStore, tool: Tool
) -> None:
    one = OldList(store, tool.name)
    tool.submit("j")
    assert await one.take(1) == b"j"
    old, new = (TEXT.format(job=job).encode() for job in ("old", "j"))
    assert await one.adopt("j", old, parse("j", old)) is Adoption.CHANGED
    assert await one.forget("j") is Adoption.CHANGED
    assert tool.lists() == {":taking": ["j"]}
    assert await one.adopt("j", new, parse("j", new)) is Adoption.ADOPTED


async def test_a_key_that_is_no_list_is_named_and_tried_again(
    store: RedisStore, tool: Tool, caplog: pytest.LogCaptureFixture
) -> None:
    tool.cli("SET", tool.name, "x")
    source = OldJobs([OldList(store, tool.name)], parse, SystemClock())
    async with running({"generic": source}, Inputs(), clock=SystemClock(), random=lambda: 0.005):
        await eventually(lambda: "WRONGTYPE" in caplog.text)
        tool.cli("DEL", tool.name)
        tool.submit("j")
        await until(lambda: known(store, "j"))
