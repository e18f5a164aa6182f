"""Waiting for any number of jobs with one reader of the event stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from copilot.client import watch as module
from copilot.client.watch import Watch
from copilot.errors import ConfigError, StoreUnavailable
from copilot.job import Cause, Event, JobSpec, Outcome, State
from copilot.store.memory import MemoryStore
from tests.patience import PATIENCE_S

DONE = Outcome(cause=Cause.OK, exit_code=0)


class Observed(MemoryStore):
    """Counts who reads, loses what it is told to lose, and is away when it is told to be."""

    def __init__(self) -> None:
        super().__init__()
        self.readers = self.most_readers = self.reads = 0
        self.lost: set[str] = set()
        self.away: Exception | None = None
        self.cut = False  # the stream has no old entries any more

    async def events(self, *, after: str = "0", block: float = 0.0, count: int = 100) -> tuple[Event, ...]:
        if self.away is not None:
            raise self.away
        self.reads += 1
        self.readers += 1
        self.most_readers = max(self.readers, self.most_readers)
        try:
            found = await super().events(after=after, block=block, count=count)
        finally:
            self.readers -= 1
        if self.cut and after == "0":
            return (await super().events(after="0", count=1000))[-1:]
        return tuple(event for event in found if event.job not in self.lost)


async def submitted(*jobs: str) -> Observed:
    store = Observed()
    await store.submit([JobSpec(id=job, command="c") for job in jobs])
    return store


async def run(store: MemoryStore, count: int = 1) -> None:
    for one in await store.claim(agent="a@x", request="r", dispatch_limit=60, count=count):
        await store.confirm(one.spec.id, one.attempt, max_run_time=60)
        await store.finish(one.spec.id, one.attempt, DONE)


@pytest.fixture
async def tasks() -> AsyncIterator[list[asyncio.Task[Any]]]:
    started: list[asyncio.Task[Any]] = []
    yield started
    for task in started:
        task.cancel()
    await asyncio.gather(*started, return_exceptions=True)


async def waiting(watch: Watch, jobs: list[str], tasks: list[asyncio.Task[Any]], **more: Any) -> None:
    tasks += [asyncio.create_task(watch.ended(job, **more)) for job in jobs]
    while watch._reader is None:
        await asyncio.sleep(0)


async def test_many_wait_and_one_reads(tasks: list[asyncio.Task[Any]]) -> None:
    jobs = [f"job-{number}" for number in range(50)]
    store = await submitted(*jobs)
    watch = Watch(store)
    await waiting(watch, jobs, tasks)
    await run(store, 50)
    records = await asyncio.gather(*tasks)
    assert {record.state for record in records} == {State.DONE}
    assert store.most_readers == 1
    assert watch._reader is None  # nobody waits, so nobody reads
    await watch.close()


async def test_who_has_begun_is_told() -> None:
    store, begun = await submitted("job"), asyncio.Event()
    watch = Watch(store)
    task = asyncio.create_task(watch.ended("job", begun=begun.set))
    (claimed,) = await store.claim(agent="a@x", request="r", dispatch_limit=60)
    await asyncio.wait_for(begun.wait(), PATIENCE_S)
    await store.finish("job", claimed.attempt, DONE)
    assert (await task).state is State.DONE


async def test_a_job_that_is_over_needs_no_reader() -> None:
    store = await submitted("job")
    await run(store)
    assert (await Watch(store).ended("job")).state is State.DONE
    assert store.reads == 0
    assert await Watch(store).ended("nobody") is None


async def test_its_publication_can_be_waited_for(tasks: list[asyncio.Task[Any]]) -> None:
    store = await submitted("job")
    watch = Watch(store)
    await waiting(watch, ["job"], tasks, published=True)
    await run(store)
    assert not tasks[0].done()
    await store.publish("job")
    assert (await tasks[0]).published


async def test_a_lost_event_is_made_up_for_by_a_look_now_and_then(tasks: list[asyncio.Task[Any]]) -> None:
    store = await submitted("job", "other")
    store.lost = {"job"}
    watch = Watch(store, block=0.01)
    await waiting(watch, ["job"], tasks)
    await run(store, 2)
    assert (await tasks[0]).state is State.DONE


async def test_a_stream_that_has_gone_on_without_us_has_all_jobs_looked_at(
    monkeypatch: pytest.MonkeyPatch, tasks: list[asyncio.Task[Any]]
) -> None:
    monkeypatch.setattr(module, "GAP", 0.0)
    monkeypatch.setattr(module, "LOOKED_AT", 0)
    store = await submitted("job", "other")
    store.lost, store.cut = {"job"}, True
    watch = Watch(store, block=0.01)
    await waiting(watch, ["job"], tasks)
    await run(store, 2)
    assert (await tasks[0]).state is State.DONE


async def test_an_outage_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tasks: list[asyncio.Task[Any]]
) -> None:
    monkeypatch.setattr(module, "RETRY", 0.01)
    store = await submitted("job")
    watch = Watch(store, block=0.01)
    await waiting(watch, ["job"], tasks)
    store.away = StoreUnavailable("away")
    await run(store)
    await asyncio.sleep(0)
    store.away = None
    assert (await tasks[0]).state is State.DONE


async def test_a_store_that_refuses_us_ends_the_wait(tasks: list[asyncio.Task[Any]]) -> None:
    store = await submitted("job")
    store.away = ConfigError("wrong password")
    watch = Watch(store)
    tasks.append(asyncio.create_task(watch.ended("job")))
    with pytest.raises(ConfigError, match="wrong password"):
        await tasks[0]
