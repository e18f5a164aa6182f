"""Looking at what running jobs print, and where agents are, in every version of the queue."""

from __future__ import annotations

import asyncio

import pytest

from copilot.errors import TooManyWatches
from copilot.job import Cause, Outcome, State
from copilot.store.base import Store
from copilot.store.memory import MemoryStore
from copilot.store.reach import Reach
from copilot.store.redis import RedisStore
from copilot.store.watched import (
    ASK_EVERY,
    BACKLOG,
    CHUNKS_KEPT,
    LONGEST_CHUNK,
    WATCH_KEPT,
    Chunk,
    Stream,
    Wanted,
)
from tests.contract import store_fixtures
from tests.contract.store_fixtures import client_of, is_fake, spec
from tests.patience import PATIENCE_S

shared_server, store = store_fixtures.shared_server, store_fixtures.store

AGENT = "agent@example.org"
T = 1_700_000_000.5
OUT, ERR = Stream.STDOUT, Stream.STDERR


async def run(store: Store, number: int = 1, *, attempt: int = 1, now: float = T) -> None:
    """A job that runs."""
    if attempt == 1:
        await store.submit([spec(number, max_attempts=3)], now=now)
    request = f"{number}/{attempt}"
    await store.claim(agent=AGENT, request=request, dispatch_limit=10, lease=60, now=now)
    assert await store.confirm(f"job-{number}", attempt, max_run_time=60, now=now)


def want(offset: int, attempt: int = 1, stream: Stream = OUT) -> Wanted:
    return Wanted(job="job-1", stream=stream, attempt=attempt, agent=AGENT, offset=offset, leased=True)


async def asked(store: Store, now: float) -> list[Wanted]:
    return list((await store.wanted(now=now)).wanted)


async def test_what_somebody_wants_to_see_is_asked_for_by_one_at_a_time_and_shown_once(store: Store) -> None:
    await run(store)
    assert (await store.wanted(now=T)).next is None
    seen = await store.watch("job-1", OUT, now=T)
    assert (seen.state, seen.attempt, seen.heard_attempt, seen.chunks) == (State.RUNNING, 1, 0, ())
    wishes = await store.wanted(now=T)
    assert list(wishes.wanted) == [want(-BACKLOG)]
    assert wishes.next == pytest.approx(T + ASK_EVERY)
    assert await asked(store, T) == []  # another instance
    for _ in range(2):
        assert not await store.shown("job-1", OUT, 1, offset=0, data=b"one\n", size=4, now=T)
    seen = await store.watch("job-1", OUT, now=T)
    assert (seen.heard_attempt, seen.size) == (1, 4)
    assert seen.chunks == (Chunk(attempt=1, offset=0, data=b"one\n"),)
    assert await asked(store, T + ASK_EVERY) == [want(4)]
    assert await store.shown("job-1", OUT, 1, offset=4, data=b"\x00\xff", size=9, now=T + 1)
    assert await asked(store, T + 1) == [want(6)]  # at once, for there is more
    seen = await store.watch("job-1", OUT, attempt=1, offset=4, now=T + 1)
    assert seen.chunks == (Chunk(attempt=1, offset=4, data=b"\x00\xff"),)


async def test_readers_share_a_wish_and_each_output_has_its_own(store: Store) -> None:
    await run(store)
    for _ in range(2):
        await store.watch("job-1", OUT, now=T)
    await store.watch("job-1", ERR, now=T)
    assert await asked(store, T) == [want(-BACKLOG, stream=ERR), want(-BACKLOG)]


async def test_nothing_is_asked_for_once_nobody_reads(store: MemoryStore | RedisStore) -> None:
    await run(store)
    await store.watch("job-1", OUT, now=T)
    if isinstance(store, RedisStore):  # it goes by Redis' own clock
        async with client_of(store) as client:
            await client.delete(f"{store._keys.all[0].removesuffix('job:')}watch:stdout:job-1")
    later = T + WATCH_KEPT
    assert await asked(store, later) == []
    assert (await store.wanted(now=later)).next is None
    assert not await store.shown("job-1", OUT, 1, offset=0, data=b"x", size=1, now=later)


async def test_a_job_that_waits_is_asked_about_when_it_runs_from_the_beginning(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    assert (await store.watch("job-1", OUT, now=T)).state is State.WAITING
    assert await asked(store, T) == []
    await store.claim(agent=AGENT, request="r", dispatch_limit=10, lease=60, now=T)
    await store.confirm("job-1", 1, max_run_time=60, now=T)
    assert await asked(store, T + ASK_EVERY) == [want(0)]


async def test_the_next_attempt_is_read_from_its_beginning(store: Store) -> None:
    await run(store)
    await store.watch("job-1", OUT, now=T)
    await asked(store, T)
    await store.shown("job-1", OUT, 1, offset=7, data=b"old", size=10, now=T)
    await store.finish("job-1", 1, Outcome(cause=Cause.INFRA_LOST, exit_code=1), now=T)
    await run(store, attempt=2)
    assert await asked(store, T + 1) == [want(0, attempt=2)]
    assert not await store.shown("job-1", OUT, 1, offset=10, data=b"late", size=14, now=T)
    await store.shown("job-1", OUT, 2, offset=0, data=b"new", size=3, now=T)
    seen = await store.watch("job-1", OUT, attempt=1, offset=10, now=T + 1)
    assert seen.chunks == (Chunk(attempt=2, offset=0, data=b"new"),)


async def test_of_a_job_that_is_over_what_was_shown_is_there_and_nothing_is_asked(store: Store) -> None:
    await run(store)
    await store.watch("job-1", OUT, now=T)
    await asked(store, T)
    await store.shown("job-1", OUT, 1, offset=0, data=b"end", size=3, now=T)
    await store.finish("job-1", 1, Outcome(cause=Cause.OK, exit_code=0), now=T)
    assert await asked(store, T + 2) == []
    seen = await store.watch("job-1", OUT, now=T + 2)
    assert seen.state is State.DONE
    assert [chunk.data for chunk in seen.chunks] == [b"end"]
    assert (await store.wanted(now=T + 9)).next is None


async def test_why_there_is_nothing_to_see_is_told(store: Store) -> None:
    await run(store)
    await store.watch("job-1", OUT, now=T)
    await asked(store, T)
    assert not await store.shown("job-1", OUT, 1, note="too old", now=T)
    assert (await store.watch("job-1", OUT, now=T)).note == "too old"
    assert await asked(store, T + 1) == [want(-BACKLOG)]


async def test_no_more_is_kept_than_some_chunks(store: Store) -> None:
    await run(store)
    await store.watch("job-1", OUT, now=T)
    await asked(store, T)
    for number in range(CHUNKS_KEPT + 2):
        await store.shown("job-1", OUT, 1, offset=number, data=b"x", size=number + 1, now=T)
    assert (await store.watch("job-1", OUT, attempt=1, offset=0, now=T)).chunks[0].offset == 2
    with pytest.raises(ValueError, match="bytes"):
        await store.shown("job-1", OUT, 1, offset=99, data=b"x" * (LONGEST_CHUNK + 1), size=10**6)


async def test_no_more_outputs_are_looked_at_than_may_be(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("memory_watched", "redis_watched"):
        monkeypatch.setattr(f"copilot.store.{module}.MOST_WATCHES", 1)
    await run(store)
    await store.watch("job-1", OUT, now=T)
    await store.watch("job-1", OUT, now=T)
    with pytest.raises(TooManyWatches, match="1 outputs"):
        await store.watch("job-1", ERR, now=T)


async def test_nothing_is_to_be_seen_of_a_job_that_is_not_known(store: Store) -> None:
    assert (await store.watch("nobody", OUT)).state is None
    assert not await store.shown("nobody", OUT, 1, offset=0, data=b"x", size=1)


async def test_where_an_agent_has_spoken_last_is_known(store: Store) -> None:
    first = Reach(jid="a@x/one", features=("lease", "output"))
    second = Reach(jid="a@x/two", features=("lease",), session="v2:key:session:…")
    await store.heard("a@x", first)
    assert await store.reach(["a@x", "b@x"]) == {"a@x": first}
    await store.heard("a@x", second)
    assert await store.reach(["a@x"]) == {"a@x": second}
    assert await store.reach([]) == {}
    with pytest.raises(ValueError, match="one word"):
        await store.heard("a@x", Reach(jid="a@x/one", session="two words"))


@pytest.mark.parametrize("wish", ["cancel", "drain", "watch"])
async def test_managers_hear_at_once_of_what_agents_are_to_be_told(store: Store, wish: str) -> None:
    if is_fake(store):
        pytest.skip("fakeredis does not publish from scripts")
    hint, number = asyncio.create_task(anext(aiter(store.hints()))), 0
    async with asyncio.timeout(PATIENCE_S):
        while not hint.done():  # nobody can see from here whether it listens already
            number += 1
            await run(store, number)
            if wish == "cancel":
                await store.cancel(f"job-{number}")
            elif wish == "drain":
                await store.drain([AGENT])
            else:
                await store.watch(f"job-{number}", OUT)
            await asyncio.sleep(0.001)
    assert hint.result() == "orders"
