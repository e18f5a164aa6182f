"""The state of the queue: asked for now and then, and no trouble if nobody answers."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from copilot.job import JobSpec, State
from copilot.metrics.queue import FRESH, Queue
from copilot.store.memory import MemoryStore
from tests.unit.metrics.scraping import World


async def test_the_store_is_asked_once_a_second_however_many_want_to_know() -> None:
    world = World()
    await asyncio.gather(*(world.scrape() for _ in range(5)))
    assert world.store.asked == 1
    world.now += FRESH - 0.01
    await world.scrape()
    assert world.store.asked == 1
    world.now += 0.01
    await world.scrape()
    assert world.store.asked == 2


async def test_jobs_are_shown_by_state() -> None:
    world = World()
    await world.store.submit([JobSpec(id="j1", command="c"), JobSpec(id="j2", command="c")])
    await world.store.claim(agent="a@x", request="r", dispatch_limit=60)
    shown = await world.scrape()
    assert {
        state: shown[f'copilot_jobs{{state="{state}"}}']
        for state in State
        if state not in ("held", "blocked")
    } == {
        "waiting": 1,
        "running": 1,
        "done": 0,
        "failed": 0,
        "cancelled": 0,
    }
    assert shown["copilot_store_up"] == 1


async def test_while_the_store_is_away_its_numbers_are_missing_and_all_others_are_there() -> None:
    world = World()
    await world.scrape()
    world.store.away = True
    world.jobs.claims = 3
    world.now += FRESH
    shown = await world.scrape()
    assert shown["copilot_store_up"] == 0
    assert shown["copilot_jobs_claimed_total"] == 3
    assert not [name for name in shown if name.startswith("copilot_jobs{")]
    world.store.away = False
    world.now += FRESH
    assert (await world.scrape())["copilot_store_up"] == 1


class SilentStore(MemoryStore):
    async def counts(self) -> Mapping[State, int]:
        await asyncio.Event().wait()
        raise AssertionError


async def test_a_store_that_never_answers_counts_as_away() -> None:
    queue = Queue(SilentStore(), lambda: 100.0, answer_within=0.01)
    queue.up = True
    await queue.refresh()
    assert not queue.up
