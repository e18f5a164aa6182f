"""The dashboard's board over every version of the queue: what it says is what the queue holds."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from copilot.clock import SystemClock
from copilot.errors import CopilotError
from copilot.job import Cause, EventKind, Outcome, State
from copilot.monitor.board import ComponentRow, Fleet, Now, Why
from copilot.monitor.records import Records
from copilot.monitor.storeboard import StoreBoard
from copilot.roles import Account, Standing
from copilot.store.base import Held, Parking, Store
from copilot.store.memory import MemoryStore
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures
from tests.contract.store_fixtures import RedisServer, eventually, is_fake, new_prefix, spec
from tests.patience import PATIENCE_S

shared_server, store, redis_program = (
    store_fixtures.shared_server,
    store_fixtures.store,
    store_fixtures.redis_program,
)

ANN, BOB = "ann@example.org", "bob@example.org"
GOOD = Outcome(cause=Cause.OK, exit_code=0)
BAD = Outcome(cause=Cause.USER_EXIT, exit_code=1)
LOST = Outcome(cause=Cause.INFRA_LOST, exit_code=1)


@contextlib.asynccontextmanager
async def watching(store: Store, **options: Any) -> AsyncIterator[StoreBoard]:
    board = StoreBoard(store, clock=SystemClock(), version="1.2", **options)
    task = asyncio.create_task(board.run())
    try:
        yield board
    finally:
        # More than once: what fakeredis waits with can lose a cancellation, as `wait_for` of Python 3.11 does.
        while not task.done():
            task.cancel()
            await asyncio.wait([task], timeout=1.0)


async def until(board: StoreBoard, **expected: Any) -> Now:
    """The front page as soon as it says that; a change is to be there within 2 s."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            now = await board.now()
            if all(getattr(now, name) == value for name, value in expected.items()):
                return now
            await asyncio.sleep(0.05)


async def claim(store: Store, agent: str, request: str, **options: Any) -> list[str]:
    """Ids of the jobs that it got, with a lease."""
    given = await store.claim(agent=agent, request=request, dispatch_limit=60, lease=60.0, **options)
    for one in given:
        assert await store.confirm(one.spec.id, one.attempt, max_run_time=60)
    return [one.spec.id for one in given]


@pytest.fixture
def store_with_load(store: Store) -> Store:
    """fakeredis knows no INFO."""
    if is_fake(store):
        pytest.skip("fakeredis does not say how full it is")
    return store


async def test_the_front_page_says_what_the_queue_holds(store_with_load: Store) -> None:
    store = store_with_load
    requirements = "other.Memory >= 2000"
    jobs = [spec(number, owner="ann") for number in range(5)]
    jobs += [spec(number, owner="bob", requirements=requirements) for number in range(5, 8)]
    await store.submit(jobs)
    async with watching(store) as board:
        assert await claim(store, ANN, "1", count=3) == ["job-0", "job-1", "job-2"]
        await store.finish("job-0", 1, GOOD)
        await store.finish("job-1", 1, BAD)
        park = Parking(jid=f"{BOB}/1")
        await store.claim(
            agent=BOB, request="2", dispatch_limit=60, count=2, park=park
        )  # both that are left to any
        parked = Parking(jid="idle@example.org/1")
        await store.claim(agent="idle@example.org", request="3", dispatch_limit=60, count=4, park=parked)
        await store.hold("job-7")
        states = {State.WAITING: 2, State.RUNNING: 3, State.DONE: 1, State.FAILED: 1, State.HELD: 1}
        jobs_now = dict.fromkeys(State, 0) | states
        now = await until(board, jobs=jobs_now, failures={"user-exit": 1}, unpublished=2)
    assert now.store_up
    assert now.version == "1.2"
    (group,) = now.groups
    assert (group.requirements, group.waiting, now.groups_total) == (requirements, 2, 1)
    assert group.oldest is not None
    assert 0 <= group.oldest < 10
    assert {(one.owner, one.waiting, one.running) for one in now.owners} == {("ann", 0, 3), ("bob", 2, 0)}
    assert now.owners_total == 2
    fleet = now.fleet
    assert (fleet.online, fleet.busy, fleet.idle, fleet.slots, fleet.slots_busy) == (3, 2, 1, 7, 3)
    assert now.newest[0].kind is EventKind.HELD
    assert (now.waits.claims, now.waits.longest is not None) == (5, True)


async def test_jobs_at_hand_take_no_slots(store: Store) -> None:
    """An agent of two slots that asks for five jobs has two slots, whether it waits or works."""
    park, host = Parking(jid=f"{BOB}/1"), "[\n  Slots = 2\n]"
    async with watching(store) as board:
        await store.claim(agent=BOB, request="1", dispatch_limit=60, count=5, park=park, host=host)
        await until(board, fleet=Fleet(online=1, idle=1, slots=2))
        await store.submit([spec(number) for number in range(5)])
        assert len(await claim(store, BOB, "2", count=5, park=park)) == 5
        await until(board, fleet=Fleet(online=1, busy=1, slots=2, slots_busy=2))


async def test_agents_come_by_name_with_what_they_do(store: Store) -> None:
    await store.submit([spec(number) for number in range(4)])
    assert await claim(store, ANN, "1", count=2) == ["job-0", "job-1"]
    await store.renew(ANN, [Held(job="job-0", attempt=1, phase="upload")])
    parked = Parking(jid=f"{BOB}/1")
    await store.claim(agent=BOB, request="2", dispatch_limit=60, count=5, lease=60.0, park=parked)
    board = StoreBoard(store, clock=SystemClock(), version="1")
    page = await board.agents()
    assert [(row.agent, row.slots, row.jobs) for row in page.rows] == [(ANN, 2, 2), (BOB, 5, 2)]
    assert [(row.job, row.attempt, row.phase) for row in page.rows[0].held] == [
        ("job-0", 1, "upload"),
        ("job-1", 1, ""),
    ]
    assert (page.total, page.next) == (2, "")
    first = await board.agents(limit=1)
    assert ([row.agent for row in first.rows], first.next, first.total) == ([ANN], ANN, 2)
    second = await board.agents(after=first.next, limit=1)
    assert ([row.agent for row in second.rows], second.next) == ([BOB], "")
    found = await board.agents(search="bob")
    assert ([row.agent for row in found.rows], found.total) == ([BOB], 1)
    with pytest.raises(ValueError, match="limit 0"):
        await board.agents(limit=0)


async def test_an_agent_in_quarantine_is_shown_as_such(store: Store) -> None:
    await store.submit([spec(number, max_attempts=9) for number in range(4)])
    for job in await claim(store, ANN, "1", count=3):
        await store.finish(job, 1, LOST)
    (job,) = await claim(store, BOB, "b")
    parked = Parking(jid=f"{ANN}/1")
    assert await store.claim(agent=ANN, request="4", dispatch_limit=60, park=parked) == ()
    board = StoreBoard(store, clock=SystemClock(), version="1")
    ann, bob = (await board.agents()).rows
    assert 0 < ann.quarantine <= 60
    assert (bob.quarantine, bob.idle_since) == (0.0, None)
    assert ann.idle_since is not None


async def test_a_job_is_shown_with_its_attempts_and_its_events(store: Store) -> None:
    await store.submit([spec(owner="ann", max_attempts=2), spec(2)])
    await claim(store, ANN, "1")
    await store.finish("job-1", 1, LOST)
    await claim(store, BOB, "2")
    await store.cancel("job-1", reason="enough")
    board = StoreBoard(store, clock=SystemClock(), version="1")
    view = await board.job("job-1")
    assert view is not None
    assert view.cancelling
    assert view.record == await store.get("job-1")
    assert [(one.attempt, one.cause) for one in view.attempts] == [(1, Cause.INFRA_LOST)]
    assert [event.kind.value for event in view.events] == [
        "submitted", "claimed", "running", "requeued", "claimed", "running", "cancelling",
    ]  # fmt: skip
    assert [event.wait is not None for event in view.events] == [False, True, *[False] * 5]
    assert await board.job("job-3") is None
    assert await board.job("../job") is None


async def test_a_job_is_shown_with_why_it_is_where_it_is_one_at_a_time(store: Store) -> None:
    await store.submit([spec(1)])
    asked, go_on = list[str](), asyncio.Event()

    async def explain(job: str) -> Why:
        asked.append(job)
        await go_on.wait()
        return Why(code="no-agent-online", text="no agent is online", next="start one")

    board = StoreBoard(store, clock=SystemClock(), version="1", explain=explain)
    first = asyncio.create_task(board.job("job-1"))
    await eventually(lambda: bool(asked))
    second = await board.job("job-1")
    assert second is not None
    assert second.why is None
    go_on.set()
    view = await first
    assert view is not None
    assert view.why is not None
    assert (view.why.code, asked) == ("no-agent-online", ["job-1"])


async def test_pages_of_jobs_lead_to_each_other(store: Store) -> None:
    await store.submit([spec(number, owner="ann") for number in range(5)])
    board = StoreBoard(store, clock=SystemClock(), version="1")
    found, place = list[str](), ""
    while True:
        page = await board.jobs(State.WAITING, after=place, limit=2)
        assert page.total == 5
        found += [row.job for row in page.rows]
        if not (place := page.next):
            break
    assert found == [f"job-{number}" for number in range(5)]
    with pytest.raises(ValueError, match="place 'x'"):
        await board.jobs(State.WAITING, after="x")
    with pytest.raises(ValueError, match="limit 201"):
        await board.jobs(State.WAITING, limit=201)


async def test_rates_and_history_come_from_the_events(store: Store) -> None:
    await store.submit([spec(number) for number in range(20)])
    for job in await claim(store, ANN, "1", count=10):
        await store.finish(job, 1, GOOD)
    async with watching(store) as board:  # it was not there when that happened
        history = board.history(60)
        async with asyncio.timeout(PATIENCE_S):
            while not (
                sum(map(float, filter(None, history.series["done"]))) and any(history.series["waiting"])
            ):
                await asyncio.sleep(0.02)
                history = board.history(60)
    assert sum(filter(None, history.series["submitted"])) * history.step == pytest.approx(20)
    assert sum(filter(None, history.series["done"])) * history.step == pytest.approx(10)
    assert {len(values) for values in history.series.values()} == {len(history.times)} == {60}
    assert [value for value in history.series["waiting"] if value is not None][-1] == 10
    assert board.history(86400).step == 300
    with pytest.raises(ValueError, match="span 5"):
        board.history(5)


async def test_disks_of_components_are_volumes() -> None:
    values = {"system.disk.used.sda1": 30.0, "system.disk.available.sda1": 10.0, "system.disk.used.sdb": 1.0}
    row = ComponentRow(name="jobmanager.generic.a", heard=1.0, silent=False, values=values)
    board = StoreBoard(MemoryStore(), components=lambda _: [row], clock=SystemClock(), version="1")
    now = await board.now()
    assert now.components == (row,)
    (volume,) = now.storage
    assert (volume.name, volume.of) == ("sda1", "jobmanager.generic.a")
    assert (volume.used, volume.available) == (30 * 2**20, 10 * 2**20)


READER = (
    "on >secret ~{prefix}* resetchannels -@all +@read +@connection -@dangerous +info +eval +evalsha +time"
)


async def test_a_user_of_redis_that_may_only_read_is_enough(
    redis_program: str, shared_server: Callable[[str], RedisServer]
) -> None:
    server, prefix = shared_server(redis_program), new_prefix()
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "monitor", *READER.format(prefix=prefix).split())
    writer = RedisStore.from_url(server.url, prefix=prefix)
    reader = RedisStore.from_url(f"{server.url}?username=monitor&password=secret", prefix=prefix)
    try:
        await writer.submit(
            [spec(number, owner="ann", requirements="other.Memory > 1") for number in range(3)]
        )
        await writer.submit([spec(4)])
        assert await claim(writer, ANN, "1") == ["job-4"]
        await writer.put_account(Account(jid="agent@x", standing=Standing.AGENT))
        known = await writer.account("agent@x")
        await reader.check()
        async with watching(reader) as board:
            now = await until(board, owners_total=2)
            assert now.store_up
            assert (now.fleet.slots_busy, now.groups_total, now.jobs[State.WAITING]) == (1, 1, 3)
            assert [row.agent for row in (await board.agents()).rows] == [ANN]
            for state in State:
                assert (await board.jobs(state)).total == now.jobs[state]
            view = await board.job("job-4")
            assert view is not None
            assert len(view.events) == 3
            records = Records(reader)
            await records.cache.refresh()
            await records.look_up("agent@x")
            assert (records.cache.account("agent@x"), records.knows("agent@x")) == (known, True)
            await records.look_up("stranger@x")
            assert records.knows("stranger@x")
            async with asyncio.timeout(PATIENCE_S):
                while not (await board.now()).newest:
                    await asyncio.sleep(0.05)
        with pytest.raises(CopilotError, match="refuse"):
            await reader.submit([spec(5)])
        with pytest.raises(CopilotError, match="refuse"):
            await reader.put_account(Account(jid="agent@x", standing=Standing.ADMIN))
        with pytest.raises(CopilotError, match="refuse"):
            await reader.raw("DEL", f"{prefix}events")
    finally:
        await writer.close()
        await reader.close()
        with server.client() as client:
            client.execute_command("ACL", "DELUSER", "monitor")
