"""Following a job to its end, whatever of the stream was missed."""

from __future__ import annotations

import asyncio

import pytest

from copilot.client import follow as module
from copilot.client.follow import at_rest, follow
from copilot.job import Cause, Event, EventKind, JobSpec, Outcome, Output
from copilot.store import rules
from copilot.store.memory import MemoryStore
from tests.patience import PATIENCE_S

OUTPUT = Output(size=1, sha256="0" * 64)
DONE = Outcome(cause=Cause.OK, exit_code=0, output=OUTPUT)
FAILED = Outcome(cause=Cause.USER_EXIT, exit_code=3)
LOST = Outcome(cause=Cause.INFRA_LOST, exit_code=1)
TO_THE_END = [EventKind.SUBMITTED, EventKind.CLAIMED, EventKind.RUNNING, EventKind.DONE, EventKind.PUBLISHED]


@pytest.fixture(autouse=True)
def _looks_again_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_AGAIN", 0.01)


async def submitted(*jobs: str) -> MemoryStore:
    store = MemoryStore()
    await store.submit([JobSpec(id=job, command="c") for job in jobs])
    return store


async def run(store: MemoryStore, outcome: Outcome) -> None:
    """One attempt of the job that is next, up to the word of the storage manager."""
    (claimed,) = await store.claim(agent="a", request=str(store.round_trips), dispatch_limit=60)
    await store.confirm(claimed.spec.id, claimed.attempt, max_run_time=60)
    await store.finish(claimed.spec.id, claimed.attempt, outcome)


async def heard(store: MemoryStore, job: str = "j", after: str | None = None) -> list[EventKind]:
    return [event.kind async for event in follow(store, job, after=after)]


async def test_it_tells_every_step_until_the_output_is_in_its_place() -> None:
    store = await submitted("j")
    following = asyncio.create_task(heard(store))
    await run(store, DONE)
    assert not following.done()
    await store.publish("j")
    assert await following == TO_THE_END


async def test_after_done_it_waits_for_the_output() -> None:
    store = await submitted("j")
    await run(store, DONE)
    events = follow(store, "j")
    assert [(await anext(events)).kind for _ in range(4)] == TO_THE_END[:4]
    next_one = asyncio.ensure_future(anext(events))
    looks = store.round_trips
    while store.round_trips < looks + 6:  # it has looked again and again, and did not end
        await asyncio.sleep(0)
        assert not next_one.done()
    await store.publish("j")
    assert (await next_one).kind is EventKind.PUBLISHED
    assert [event async for event in events] == []


async def test_a_job_without_output_ends_with_its_last_word() -> None:
    store = await submitted("j")
    await run(store, FAILED)
    assert (await heard(store))[-1] is EventKind.FAILED


async def test_an_attempt_that_failed_is_not_the_end() -> None:
    store = await submitted("j")
    await run(store, LOST)
    await run(store, FAILED)
    assert [kind for kind in await heard(store) if kind not in TO_THE_END] == [
        EventKind.REQUEUED,
        EventKind.FAILED,
    ]


async def test_events_of_other_jobs_are_not_told() -> None:
    store = await submitted("other", "j")
    await run(store, FAILED)
    await run(store, FAILED)
    assert (await heard(store)).count(EventKind.FAILED) == 1


async def test_it_goes_on_where_it_stopped() -> None:
    store = await submitted("j")
    await run(store, FAILED)
    first = await anext(follow(store, "j"))
    assert await heard(store, after=first.id) == [EventKind.CLAIMED, EventKind.RUNNING, EventKind.FAILED]


@pytest.mark.parametrize("after", ["$", "9999-0"])
async def test_a_job_that_had_ended_before_we_looked_has_nothing_to_tell(after: str) -> None:
    store = await submitted("j")
    await run(store, FAILED)
    assert await heard(store, after=after) == []


async def test_a_job_that_nobody_knows_is_not_waited_for() -> None:
    assert await heard(await submitted("other")) == []


async def test_the_end_is_seen_though_the_stream_has_forgotten_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "EVENTS_KEPT", 3)
    store = await submitted("j")
    await run(store, FAILED)
    await store.submit([JobSpec(id=f"other{n}", command="c") for n in range(3)])
    assert await heard(store) == []


class BusyStore(MemoryStore):
    """A queue in which something always happens, never to our job; its stream forgets at once what does."""

    async def events(self, *, after: str = "0", block: float = 0.0, count: int = 100) -> tuple[Event, ...]:
        number = int(after.partition("-")[0]) + 1
        return (Event(id=f"{number}-0", time=0.0, job="other", kind=EventKind.RUNNING),)


async def test_the_end_is_seen_though_the_stream_never_rests() -> None:
    store = BusyStore()
    await store.submit([JobSpec(id="j", command="c")])
    await run(store, FAILED)
    assert await asyncio.wait_for(heard(store), PATIENCE_S) == []


async def test_a_long_stream_is_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    store = await submitted("other1", "other2", "other3", "j")
    for _ in range(4):
        await run(store, FAILED)
    assert await heard(store) == [
        EventKind.SUBMITTED,
        EventKind.CLAIMED,
        EventKind.RUNNING,
        EventKind.FAILED,
    ]


class LateStore(MemoryStore):
    """The job ends after the events were read and before the record is."""

    async def get(self, job: str):  # type: ignore[no-untyped-def]
        record = await super().get(job)
        if record is not None and not record.state.final:
            await run(self, FAILED)
        return await super().get(job)


async def test_what_happens_between_two_looks_is_told_too() -> None:
    store = LateStore()
    await store.submit([JobSpec(id="j", command="c")])
    assert (await heard(store))[-1] is EventKind.FAILED


async def test_a_job_rests_when_it_has_ended_and_its_output_lies_in_its_place() -> None:
    store = await submitted("j")
    rests = []
    for step in (run(store, DONE), store.publish("j")):
        record = await store.get("j")
        assert record is not None
        rests.append(at_rest(record))
        await step
    record = await store.get("j")
    assert record is not None
    assert [*rests, at_rest(record)] == [False, False, True]
