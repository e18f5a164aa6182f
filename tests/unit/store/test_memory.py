"""The queue in memory: any sequence of steps keeps its promises. What it answers is in the contract suite."""

from __future__ import annotations

import pytest
from hypothesis import settings

from copilot.job import EventKind, JobSpec, State
from copilot.store import rules
from copilot.store.base import Store
from copilot.store.memory import MemoryStore
from tests.unit.store.machine import QueueMachine


class FixedClock:
    """A clock that stands."""

    def monotonic(self) -> float:
        return 5.0

    def wall(self) -> float:
        return 1_700_000_000.5


class MemoryMachine(QueueMachine):
    def make_stores(self) -> list[Store]:
        return [MemoryStore()]


class TestAnySequenceOfSteps(MemoryMachine.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=60, stateful_step_count=30, deadline=None)


def specs(count: int, start: int = 0) -> list[JobSpec]:
    return [JobSpec(id=f"j{number}", command="c") for number in range(start, start + count)]


async def test_its_clock_is_the_one_it_was_given() -> None:
    store = MemoryStore(clock=FixedClock())
    await store.submit(specs(1))
    record = await store.get("j0")
    assert record is not None
    assert record.submitted == 1_700_000_000.5


async def test_it_says_that_it_forgets() -> None:
    facts = await MemoryStore().check()
    assert facts.server == "memory"
    assert "gone" in facts.warnings[0]


async def test_the_event_stream_is_bounded_and_can_be_read_from_before_its_begin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rules, "EVENTS_KEPT", 100)
    store = MemoryStore()
    await store.submit(specs(150))
    (first,) = await store.events(after="0", count=1)
    assert (first.job, first.kind) == ("j50", EventKind.SUBMITTED)
    assert [event.job for event in await store.events(after="148-0")] == ["j148", "j149"]
    assert (await store.counts())[State.WAITING] == 150


async def test_requests_are_forgotten_in_the_end() -> None:
    store = MemoryStore()
    await store.submit(specs(40))
    for number in range(40):
        await store.claim(agent="a", request=str(number), dispatch_limit=1, now=number * 100.0)
    assert len(store._requests) < 10
