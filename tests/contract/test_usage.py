"""What attempts took, summed by day, in every version of the queue: each attempt once, however often it is reported."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import Any

import pytest

from copilot.job import Cause, JobSpec, Outcome, Output
from copilot.matching.resources import Free
from copilot.store.base import Held, Store
from copilot.store.usage import DAY, By, Sums
from tests.contract import store_fixtures

shared_server, store = store_fixtures.shared_server, store_fixtures.store

DAY_0 = 20_000
T = DAY_0 * DAY + 1000.0
AGENT = "agent@example.org"
_requests = itertools.count()
GOOD = Outcome(
    cause=Cause.OK,
    exit_code=0,
    output=Output(size=700, sha256="ab" * 32),
    cpu_time=7.5,
    memory=2**20,
    wall_time=10.0,
    bytes_in=300,
    bytes_out=700,
)
GOOD_SUMS = Sums(attempts=1, ok=1, wall=10.0, cpu=7.5, cores=20.0, memory=2**20, bytes_in=300, bytes_out=700)


async def begin(store: Store, job: str = "j", now: float = T, **fields: Any) -> None:
    """A job of two cores, claimed and confirmed at `now`."""
    known: dict[str, Any] = {"owner": "ada@x", "project": "atlas", "cores": 2, "max_attempts": 3} | fields
    await store.submit([JobSpec(id=job, command="run.sh", **known)], now=now)
    await claim(store, now=now)


async def claim(store: Store, attempt: int = 1, agent: str = AGENT, now: float = T) -> None:
    given = await store.claim(
        agent=agent,
        request=f"r{next(_requests)}",
        dispatch_limit=10,
        lease=60,
        host="[ Cores = 8 ]",
        free=Free(cores=8),
        now=now,
    )
    assert [one.attempt for one in given] == [attempt]
    assert await store.confirm(given[0].spec.id, attempt, max_run_time=3600, now=now)


async def sums(store: Store, by: By = By.OWNER, name: str = "ada@x", day: int = DAY_0) -> Sums | None:
    return (await store.usage(by, day)).get(name)


async def test_an_attempt_is_in_the_sums_of_its_owner_project_and_agent_once(store: Store) -> None:
    await begin(store)
    for _ in range(2):
        await store.finish("j", 1, GOOD, now=T + 20)
    assert await store.usage(By.OWNER, DAY_0) == {"ada@x": GOOD_SUMS}
    assert await store.usage(By.PROJECT, DAY_0) == {"atlas": GOOD_SUMS}
    assert await store.usage(By.AGENT, DAY_0) == {AGENT: GOOD_SUMS}
    assert await store.usage(By.OWNER, DAY_0 - 1) == {}


async def test_several_add_up_and_the_largest_memory_stays(store: Store) -> None:
    ends = (GOOD, replace(GOOD, cause=Cause.USER_EXIT, memory=5), replace(GOOD, cause=Cause.CANCELLED))
    for number, outcome in enumerate(ends):
        await begin(store, f"j{number}", owner="", project="")
        await store.finish(f"j{number}", 1, outcome, now=T + 20)
    found = await sums(store, By.PROJECT, "")
    assert found is not None
    assert (found.attempts, found.ok, found.cancelled, found.failed) == (3, 1, 1, 1)
    assert (found.wall, found.memory, found.bytes_in) == (30.0, 2**20, 900)


async def test_it_counts_on_the_day_on_which_it_ended(store: Store) -> None:
    await begin(store)
    await store.finish("j", 1, replace(GOOD, wall_time=None), now=T + DAY)
    assert await sums(store) is None
    found = await sums(store, day=DAY_0 + 1)
    assert found is not None
    assert found.wall == DAY  # an agent that does not say how long it took


async def test_nobody_took_longer_than_since_the_claim(store: Store) -> None:
    await begin(store)
    lies = replace(GOOD, wall_time=1e18, cpu_time=1e18, memory=2**62, bytes_in=2**62, bytes_out=2**62)
    await store.finish("j", 1, lies, now=T + 1)
    found = await sums(store)
    assert found == Sums(
        attempts=1,
        ok=1,
        wall=1.0,
        cpu=4096.0,
        cores=2.0,
        memory=2**50,
        bytes_in=2**50,
        bytes_out=2**50,
    )


async def test_what_never_began_costs_nothing_and_is_counted(store: Store) -> None:
    await store.submit([JobSpec(id="j", command="run.sh", owner="ada@x")], now=T)
    await store.claim(agent=AGENT, request="r", dispatch_limit=10, now=T)
    for _ in range(2):
        await store.hand_back("j", 1, cause=Cause.INFRA_UNDELIVERED, now=T + 5)
    assert await sums(store) == Sums(handed_back=1)
    await claim(store, 2, now=T + 6)
    await store.leave(AGENT, [Held(job="j", attempt=2)], now=T + 7)
    assert await sums(store) == Sums(handed_back=2)
    await store.cancel("j", now=T + 8)
    assert await sums(store) == Sums(handed_back=2)


async def test_what_an_agent_gives_back_in_the_middle_of_it_has_taken_its_time(store: Store) -> None:
    await begin(store)
    await store.renew(AGENT, [Held(job="j", attempt=1, phase="run")], now=T + 20)
    await store.leave(AGENT, [Held(job="j", attempt=1)], now=T + 30)
    assert await sums(store) == Sums(attempts=1, wall=30.0, cores=60.0)


async def test_who_was_taken_for_lost_and_then_reports_is_in_the_sums_once(store: Store) -> None:
    await begin(store)
    assert await store.reap(now=T + 100)
    assert await sums(store) == Sums(attempts=1, wall=100.0, cores=200.0)
    await store.finish("j", 1, replace(GOOD, wall_time=105.0), now=T + 110)
    assert await sums(store) == replace(GOOD_SUMS, wall=105.0, cores=210.0)


async def test_each_attempt_of_a_job_counts(store: Store) -> None:
    await begin(store)
    await store.finish("j", 1, replace(GOOD, cause=Cause.INFRA_LOST), now=T + 20)
    await claim(store, 2, agent="other@x", now=T + 30)
    await store.finish("j", 2, GOOD, now=T + 45)
    assert await sums(store) == replace(GOOD_SUMS + GOOD_SUMS, ok=1)
    assert await sums(store, By.AGENT, "other@x") == GOOD_SUMS


@pytest.mark.parametrize("wanted", [True, False])
async def test_an_attempt_that_is_lost_for_good_counts_with_the_time_since_its_claim(
    store: Store, wanted: bool
) -> None:
    await begin(store, max_attempts=3 if wanted else 1)
    if wanted:
        await store.cancel("j", now=T + 1)
    await store.reap(now=T + 100)
    assert await sums(store) == Sums(attempts=1, wall=100.0, cores=200.0)
