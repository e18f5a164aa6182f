"""Small outputs that come with their reports: kept by the store, and brought to the finisher after the acknowledgement."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from base64 import b64encode
from collections.abc import Awaitable
from dataclasses import replace
from typing import Any

import pytest

from copilot.errors import StoreUnavailable
from copilot.job import JobSpec, State
from copilot.protocol.commands import JobDone
from copilot.protocol.events import Received
from copilot.runtime.component import Action, Actions, Leave, Online, Refuse, Stopping, Tick
from copilot.storagemanager import logic
from copilot.storagemanager.logic import MOST_SETTLED, PUBLISHED_AT_ONCE, REPAIRED_AT_ONCE
from copilot.store.base import Held
from copilot.store.memory import MemoryStore
from tests.unit.storagemanager.test_logic import AGENT, OURS, World, claim

PACKED = b"what the job has made"
HELD = Held(job="j1", attempt=1)


def report(job: str = "j1", attempt: int = 1, **fields: object) -> JobDone:
    done = JobDone(
        job_id=job,
        exit_code=0,
        state="done",
        agent_host="host",
        cause="ok",
        jm_job_data=claim(attempt, job=job),
        output_size=len(PACKED),
        output_sha256=hashlib.sha256(PACKED).hexdigest(),
        package=b64encode(PACKED).decode(),
    )
    return replace(done, **fields)  # type: ignore[arg-type]


@pytest.fixture
async def world() -> World:
    world = World()
    await world.begin()
    return world


async def settle(world: World, done: JobDone) -> list[Action]:
    """As far as the acknowledgement, and no further."""
    heard = Received(command=done, sender=AGENT, id="m", features=OURS, element=True, wants_ack=True)
    return list(await awaitable(world.manager.handle(heard, 100.0)))


def awaitable(result: Actions | Awaitable[Actions]) -> Awaitable[Actions]:
    assert isinstance(result, Awaitable)
    return result


async def reported(world: World, count: int) -> None:
    """So many jobs more are settled, with outputs that nobody has taken yet."""
    names = [f"k{number}" for number in range(count)]
    for start in range(0, count, 1000):
        part = names[start : start + 1000]
        await world.store.submit([JobSpec(id=name, command="run.sh") for name in part])
        await world.store.claim(agent="agent@x", request=f"{start}", count=len(part), dispatch_limit=60.0)
    for name in names:
        assert await settle(world, report(name)) == []


async def test_the_output_that_came_with_the_report_gets_to_the_finisher(world: World) -> None:
    assert await world.hear(report()) == []
    record = await world.record()
    assert (record.state, record.published) == (State.DONE, True)
    assert record.outcome is not None
    assert record.outcome.output is not None
    assert record.outcome.output.size == len(PACKED)
    assert world.outputs.packages == {("j1", 1): PACKED}
    assert await world.store.package("j1") is None


async def test_the_report_is_acknowledged_before_its_output_is_published(world: World) -> None:
    assert await settle(world, report()) == []
    assert await world.store.package("j1") == report().package
    assert world.outputs.published == []
    assert world.manager.wakeup() == 0.0


@pytest.mark.parametrize(
    "fields",
    [
        {"output_sha256": "0" * 64},
        {"output_size": len(PACKED) + 1},
        {"output_size": None, "output_sha256": None},
        {"package": "no base64!"},
        {"package": "é"},
    ],
)
async def test_an_output_that_is_not_what_was_announced_is_refused(
    world: World, fields: dict[str, Any]
) -> None:
    (action,) = await world.hear(report(**fields))
    assert isinstance(action, Refuse)
    assert action.code == "output-mismatch"
    assert (await world.record()).state is State.RUNNING
    assert await world.store.package("j1") is None


async def test_a_copy_of_the_report_changes_nothing(world: World) -> None:
    for _ in range(2):
        assert await world.hear(report()) == []
    assert world.outputs.published == [("j1", 1)]
    assert await world.store.package("j1") is None


async def test_a_stale_attempt_writes_nothing(world: World) -> None:
    await world.store.leave("agent@x", [HELD])
    await world.claim("other@x")
    assert await world.hear(report()) == []
    assert (await world.record()).state is State.RUNNING
    assert await world.store.package("j1") is None
    assert (world.outputs.packages, world.outputs.published) == ({}, [])


async def test_of_a_job_that_runs_once_more_nothing_is_kept(world: World) -> None:
    await world.hear(report(exit_code=1, state="failed", cause="infra-lost"))
    assert (await world.record()).state is State.WAITING
    assert await world.store.package("j1") is None
    assert world.outputs.packages == {}


async def test_of_a_job_that_was_cancelled_instead_nothing_is_kept(world: World) -> None:
    await world.store.cancel("j1")
    await world.hear(report(exit_code=1, state="failed", cause="infra-lost"))
    assert (await world.record()).state is State.CANCELLED
    assert world.outputs.packages == {}
    assert world.outputs.published == [("j1", 1)]  # its finisher hears of its end


async def test_what_a_crash_left_in_the_store_is_published_at_the_next_start(world: World) -> None:
    await settle(world, report())
    later = another(world)
    await later.tell(Online(jid="jm@x/two"))
    await later.tell(Tick())
    assert later.outputs.packages == {("j1", 1): PACKED}
    assert (await world.record()).published


async def test_what_could_not_be_published_stays_in_the_store_until_it_can(world: World) -> None:
    world.outputs.broken = True
    await world.hear(report())
    assert await world.store.package("j1") == report().package
    world.outputs.broken = False
    await world.repair()
    assert world.outputs.packages == {("j1", 1): PACKED}
    assert await world.store.package("j1") is None


async def test_what_is_on_its_way_is_not_repaired_besides(world: World) -> None:
    await settle(world, report())
    await world.manager.repair()
    assert world.outputs.published == []


async def test_only_so_many_are_on_their_way_at_once(world: World) -> None:
    await reported(world, PUBLISHED_AT_ONCE + 1)
    under_way = [awaitable(world.manager.handle(Tick(), 100.0)) for _ in range(PUBLISHED_AT_ONCE)]
    assert world.manager.wakeup() != 0.0
    await asyncio.gather(*under_way)
    assert world.manager.wakeup() == 0.0
    await awaitable(world.manager.handle(Tick(), 100.0))
    assert len(world.outputs.published) == PUBLISHED_AT_ONCE + 1


async def test_only_so_many_wait_for_it_and_the_others_are_found_in_the_store(world: World) -> None:
    await reported(world, MOST_SETTLED + 1)
    await world.tell(Stopping())
    assert len(world.outputs.published) == MOST_SETTLED
    assert len(await world.store.unpublished()) == 1


async def test_what_was_too_much_follows_as_soon_as_the_rest_is_published(world: World) -> None:
    await reported(world, MOST_SETTLED + REPAIRED_AT_ONCE + 1)
    await world.go_on()
    assert await world.store.unpublished() == ()
    assert len(world.outputs.published) == MOST_SETTLED + REPAIRED_AT_ONCE + 1


async def test_a_repair_that_works_goes_on_with_the_next_ones_at_once(world: World) -> None:
    await reported(world, REPAIRED_AT_ONCE + 1)
    later = another(world)
    await later.repair()
    assert len(world.outputs.published) == REPAIRED_AT_ONCE + 1


async def test_a_repair_that_does_not_work_waits_for_the_next_turn(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    await reported(world, REPAIRED_AT_ONCE + 1)
    world.outputs.broken = True
    later = another(world)
    await later.tell(Online(jid="jm@x/two"))
    await later.tell(Tick())
    assert world.outputs.tried == REPAIRED_AT_ONCE
    assert caplog.text.count("could not be brought to its place") == 1
    assert later.manager.wakeup() == 100.0 + logic.REPAIR_EVERY


def another(world: World) -> World:
    """A manager that was started later, for the same jobs."""
    later = World()
    later.store, later.outputs = world.store, world.outputs
    later.manager = logic.StorageManager(
        world.store, world.manager._claims, world.outputs, random=lambda: 0.5
    )
    return later


async def test_what_is_settled_is_published_before_the_end(world: World) -> None:
    await settle(world, report())
    assert await world.tell(Stopping()) == [Leave()]
    assert world.outputs.packages == {("j1", 1): PACKED}


class Gone(MemoryStore):
    """It settles, and is away then."""

    async def publish(self, job: str, *, now: float | None = None) -> bool:
        raise StoreUnavailable("gone")


async def test_a_store_that_is_away_keeps_nobody_from_leaving(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    world.store = Gone()
    world.manager = logic.StorageManager(
        world.store, world.manager._claims, world.outputs, random=lambda: 0.5
    )
    await world.begin()
    await settle(world, report())
    with caplog.at_level(logging.WARNING):
        assert list(await awaitable(world.manager.handle(Stopping(), 100.0))) == [Leave()]
    assert "not at their place yet" in caplog.text


async def test_what_the_store_did_not_hear_of_is_published_again_soon() -> None:
    world = World()
    world.store = Gone()
    world.manager = logic.StorageManager(
        world.store, world.manager._claims, world.outputs, random=lambda: 0.5
    )
    await world.begin()
    await world.tell(Online(jid="jm@x/one"))
    await awaitable(world.manager.handle(Tick(), 100.0))
    await settle(world, report())
    with pytest.raises(StoreUnavailable):
        await awaitable(world.manager.handle(Tick(), 100.0))
    assert world.manager.wakeup() == 100.0 + logic.STORE_RETRY
