"""What the event stream tells: rates, waits, failures, over the life of a store that goes away."""

from __future__ import annotations

import asyncio

import pytest

from copilot.errors import StoreUnavailable
from copilot.job import Cause, Event, EventKind, JobSpec, Outcome, State
from copilot.monitor import watch as watching
from copilot.monitor.board import SHOWN
from copilot.monitor.history import Series
from copilot.monitor.storeboard import StoreBoard
from copilot.monitor.watch import Watch
from copilot.store.memory import MemoryStore
from tests.patience import PATIENCE_S

T = 1_700_000_000.0


class FixedClock:
    """A clock that is set by hand."""

    def __init__(self, now: float = T) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now


class Away(MemoryStore):
    """A store that may be away."""

    away = False

    async def events(self, *, after: str = "0", block: float = 0.0, count: int = 100) -> tuple[Event, ...]:
        if self.away:
            raise StoreUnavailable("away")
        return await super().events(after=after, block=block, count=count)

    async def counts(self) -> dict[State, int]:
        if self.away:
            raise StoreUnavailable("away")
        return dict(await super().counts())


async def told(store: MemoryStore) -> Watch:
    """A watch that has read all."""
    watch = Watch(store, FixedClock(), Series())
    watch.feed(await store.events(count=1000))
    return watch


async def test_rates_are_of_the_last_ten_whole_seconds() -> None:
    store = MemoryStore()
    for second in range(20):
        await store.submit([JobSpec(id=f"j{second}-{n}", command="c") for n in range(3)], now=T + second)
    watch = await told(store)
    assert watch.rates(T + 19.9).submitted == 3.0
    assert watch.rates(T + 20).submitted == 3.0
    assert watch.rates(T + 25).submitted == 1.5
    assert watch.rates(T + 60).submitted == 0.0


async def test_waits_are_those_of_first_claims() -> None:
    store = MemoryStore()
    await store.submit([JobSpec(id=f"j{n}", command="c") for n in range(10)], now=T)
    for number in range(10):
        await store.claim(agent="a", request=f"{number}", dispatch_limit=9, now=T + number)
    await store.hand_back("j0", 1, cause=Cause.INFRA_UNDELIVERED, now=T + 20)
    await store.claim(agent="a", request="x", dispatch_limit=9, now=T + 500)
    waits = (await told(store)).waits(T + 500, 3.0)
    assert (waits.claims, waits.longest, waits.oldest) == (10, 9.0, 3.0)
    assert waits.p50 == pytest.approx(4.0, rel=0.03)
    assert waits.p99 == pytest.approx(9.0, rel=0.03)


async def test_failures_are_counted_by_cause_for_an_hour() -> None:
    store = MemoryStore()
    await store.submit([JobSpec(id=f"j{n}", command="c") for n in range(4)], now=T)
    given = await store.claim(agent="a", request="1", dispatch_limit=9, count=4, now=T)
    causes = (Cause.USER_EXIT, Cause.USER_EXIT, Cause.INFRA_LOST, Cause.OK)
    for one, cause in zip(given, causes, strict=True):
        await store.finish(one.spec.id, 1, Outcome(cause=cause, exit_code=1), now=T + 1)
    watch = await told(store)
    assert watch.failures(T + 60) == {"user-exit": 2, "infra-lost": 1}
    assert watch.failures(T + 3700) == {}
    assert [event.kind for event in watch.newest][:1] == [EventKind.DONE]
    assert len(watch.newest) <= SHOWN


async def test_the_board_keeps_what_it_knew_while_the_store_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "BLOCK", 0.01)
    store, clock = Away(), FixedClock()
    await store.submit([JobSpec(id="j1", command="c")])
    board = StoreBoard(store, clock=clock, version="1")
    task = asyncio.create_task(board._watch.run())
    try:
        assert (await board.now()).store_up
        store.away = True
        clock.now += 5
        now = await board.now()
        assert (now.store_up, now.jobs[State.WAITING]) == (False, 1)
        await until(lambda: not board._watch.caught_up)
        store.away = False
        await store.submit([JobSpec(id="j2", command="c")])
        clock.now += 5
        now = await board.now()
        assert (now.store_up, now.jobs[State.WAITING]) == (True, 2)
        await until(lambda: board._watch.newest[0].job == "j2")
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_a_store_that_is_away_is_told_of_once_an_outage_also_at_the_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, clock = Away(), FixedClock()
    board = StoreBoard(store, clock=clock, version="1")
    for away in (True, True, False, True, True):
        store.away = away
        clock.now += 5
        assert (await board.now()).store_up is not away
    warned = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warned == ["the dashboard shows old figures: away"] * 2


async def test_however_many_ask_the_store_is_asked_once_a_second() -> None:
    store, clock = MemoryStore(), FixedClock()
    board = StoreBoard(store, clock=clock, version="1")
    await asyncio.gather(*(board.now() for _ in range(50)))
    asked = store.round_trips
    assert asked < 12
    clock.now += 0.9
    await board.now()
    assert store.round_trips == asked
    clock.now += 0.1
    await asyncio.gather(*(board.now() for _ in range(50)))
    assert asked < store.round_trips <= 2 * asked


async def until(condition: object) -> None:
    """Return as soon as it holds."""
    assert callable(condition)
    async with asyncio.timeout(PATIENCE_S):
        while not condition():
            await asyncio.sleep(0.005)
