"""What the store knows of why a job does not run, over every version of it: who was there lately, and how one job stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from copilot.job import Cause, Outcome, State
from copilot.matching.resources import Free
from copilot.store.base import Held, Parking, Store
from copilot.store.explaining import HOSTS_KEPT, ONLINE_FOR, PACE_OVER, Before, Circumstances, Machine
from copilot.store.rules import RESERVE_AFTER
from tests.contract import store_fixtures
from tests.contract.store_fixtures import spec

shared_server, store = store_fixtures.shared_server, store_fixtures.store

T = 1_700_000_000.0
JDL = "[ Memory = 4096 ]"
LARGE = "other.Memory >= 8192"
BAD = Outcome(cause=Cause.INFRA_STORE, exit_code=1)


async def ask(store: Store, name: str, now: float, **options: Any) -> list[str]:
    """An agent asks, and is parked; ids of what it got."""
    jid = f"{name}@example.org/home"
    said: dict[str, Any] = {"host": JDL, "lease": 60.0, "park": Parking(jid=jid), **options}
    agent = f"{name}@example.org"
    request = f"{name}-{now}"
    given = await store.claim(agent=agent, request=request, dispatch_limit=60, now=now, **said)
    return [one.spec.id for one in given]


async def machine(store: Store, name: str, now: float) -> Machine:
    found = await store.machines(now=now)
    assert found.now == now
    return next(row for row in found.rows if row.agent == f"{name}@example.org")


async def standing(store: Store, job: str, now: float, **options: Any) -> Circumstances:
    found = await store.circumstances(job, now=now, **options)
    assert found is not None
    return found


async def test_who_asks_is_there_with_what_it_has_said(store: Store) -> None:
    await ask(store, "a", T, count=3)
    await ask(store, "b", T + 1, lease=None)
    found = await store.machines(now=T + 2)
    assert [row.jid for row in found.rows] == ["b@example.org/home", "a@example.org/home"]
    assert found.total == 2
    first = await machine(store, "a", T + 2)
    assert first == Machine(
        jid="a@example.org/home",
        agent="a@example.org",
        asked=T,
        parked=T,
        slots=3,
        free=Free.unsaid(3),
        leased=True,
        host=JDL,
    )
    assert (await machine(store, "b", T + 2)).leased is False
    assert len((await store.machines(1, now=T)).rows) == 1
    with pytest.raises(ValueError, match="limit 0"):
        await store.machines(0)


async def test_what_an_agent_has_free_is_told_as_time_goes_by(store: Store) -> None:
    free = Free(cores=3, ahead=2, most=3, gpus=1, memory=4000, disk=900, time=1000)
    await ask(store, "a", T, free=free, count=5)
    assert (await machine(store, "a", T + 100.5)).free == replace(free, time=899)


async def test_a_job_that_does_not_fit_tells_since_when_and_who_is_kept_for_it(store: Store) -> None:
    host = "[ MaxCores = 4; Cores = 4 ]"
    await store.submit([spec("it", cores=4), spec("other", cores=4)], now=T)
    await ask(store, "a", T, free=Free(cores=2, most=4), host=host)
    waits = await standing(store, "job-it", T + 1)
    assert (waits.passed_over, waits.reserved) == (T, "")
    await ask(store, "a", T + RESERVE_AFTER + 1, free=Free(cores=2, most=4), host=host)
    kept = await standing(store, "job-it", T + RESERVE_AFTER + 1)
    assert (kept.passed_over, kept.reserved) == (T, "a@example.org/home")
    other = await standing(store, "job-other", T + RESERVE_AFTER + 1)
    assert (other.passed_over, other.reserved) == (None, "")


async def test_a_busy_agent_is_there_as_long_as_it_renews(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    assert await ask(store, "a", T) == ["job-1"]
    busy = await machine(store, "a", T + 1)
    assert (busy.parked, busy.host) == (None, JDL)
    later = T + ONLINE_FOR + 1
    assert not (await machine(store, "a", later)).online(later)
    await store.renew("a@example.org", [Held(job="job-1", attempt=1)], now=later)
    assert (await machine(store, "a", later)).online(later)


async def test_an_agent_of_one_job_at_a_time_is_known_too(store: Store) -> None:
    await ask(store, "old", T, park=None, holder="old@example.org/x", lease=None)
    found = await machine(store, "old", T)
    assert (found.parked, found.host, found.online(T)) == (None, JDL, True)


async def test_who_is_gone_is_not_there_until_it_is_heard_again(store: Store) -> None:
    await ask(store, "a", T)
    await store.unpark("a@example.org/home", parked_for=5, now=T + 1)
    assert (await machine(store, "a", T + 1)).online(T + 1)  # it has asked since
    await store.renew("a@example.org", [], now=T + 7)
    await store.unpark("a@example.org/home", parked_for=5, now=T + 8)
    assert not (await machine(store, "a", T + 8)).online(T + 8)
    await ask(store, "a", T + 9)
    assert (await machine(store, "a", T + 9)).online(T + 9)


async def test_who_does_not_ask_for_a_day_is_forgotten(store: Store) -> None:
    await ask(store, "a", T)
    await ask(store, "b", T + HOSTS_KEPT + 1)
    assert (await store.machines(now=T + HOSTS_KEPT + 1)).total == 1


async def test_quarantine_drain_and_revocation_are_told_of_each(store: Store) -> None:
    await store.submit([spec(number, max_attempts=1) for number in range(3)], now=T)
    for number in range(3):
        got = await ask(store, "a", T + number)
        await store.finish(got[0], 1, BAD, now=T + number)
    await ask(store, "b", T)
    await ask(store, "c", T)
    await store.drain(["b@example.org"], now=T)
    await store.revoke("c@example.org")
    bad = await machine(store, "a", T + 3)
    assert (bad.quarantine > T + 3, bad.probation) == (True, True)
    assert (await machine(store, "b", T + 3)).leaves
    found = await store.machines(now=T + 3)
    assert {row.agent for row in found.rows if row.out} == {"c@example.org"}


async def test_a_job_that_waits_knows_what_comes_before_it(store: Store) -> None:
    await store.submit([spec("first", priority=2), spec("any"), spec("other", requirements=LARGE)], now=T)
    await store.submit([spec("it", requirements=LARGE), spec("after"), spec("after2", priority=-1)], now=T)
    found = await standing(store, "job-it", T)
    assert (found.state, found.place, found.more) == (State.WAITING, 1, 0)
    assert found.before == (Before(requirements="", jobs=2),)
    last = await standing(store, "job-after2", T)
    assert (last.place, last.before) == (3, (Before(requirements=LARGE, jobs=2),))
    assert (await standing(store, "job-after2", T, groups=0)).more == 1
    assert await store.circumstances("nobody") is None
    with pytest.raises(ValueError, match="groups 1001"):
        await store.circumstances("job-it", groups=1001)


async def test_jobs_of_equal_priority_are_counted_by_their_age(store: Store) -> None:
    for number in range(40):
        requirements = LARGE if number % 3 else ""
        await store.submit([spec(number, requirements=requirements, priority=number % 2)], now=T)
    found = await standing(store, "job-20", T)  # LARGE, priority 0
    before = [n for n in range(40) if n % 2 or n < 20]
    assert found.place == sum(bool(n % 3) for n in before)
    assert found.before == (Before(requirements="", jobs=sum(not n % 3 for n in before)),)


async def test_the_pace_counts_starts_of_the_last_minutes(store: Store) -> None:
    jobs = [spec(number, requirements="" if number < 3 else LARGE) for number in range(5)]
    await store.submit(jobs, now=T)
    await ask(store, "a", T, count=2)
    await ask(store, "b", T + PACE_OVER, host="[ Memory = 9000 ]", count=2)
    found = await standing(store, "job-4", T + PACE_OVER + 1)
    assert (found.pace.started, found.pace.group, found.pace.seconds) == (2, 1, 1.0)


async def test_the_pace_counts_starts_among_many_events(store: Store) -> None:
    await store.submit([spec(number) for number in range(120)], now=T)
    await ask(store, "a", T + 1, count=110)
    await store.submit([spec(number) for number in range(200, 300)], now=T + 2)
    pace = (await standing(store, "job-119", T + 3)).pace
    assert (pace.started, pace.group, pace.seconds) == (110, 110, 2.0)


async def test_a_job_that_runs_tells_until_when(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await ask(store, "a", T)
    await store.renew("a@example.org", [Held(job="job-1", attempt=1, phase="run")], now=T + 2)
    await store.cancel("job-1", now=T + 3)
    found = await standing(store, "job-1", T + 4)
    assert (found.state, found.confirmed, found.deadline) == (State.RUNNING, T + 2, T + 62)
    assert (found.lease, found.phase, found.cancelling, found.suspected) == (60, "run", T + 3, False)
    assert (found.place, found.before, found.pace.started) == (None, (), 0)


async def test_holds_delays_and_places_of_failure_are_told(store: Store) -> None:
    await store.submit([spec(1), spec(2, max_attempts=9), spec(3)], now=T)
    await store.hold("job-1", now=T + 1)
    assert (await standing(store, "job-1", T + 2)).held == T + 1
    for attempt in range(1, 7):
        await ask(store, "a", T + attempt)
        await store.hand_back("job-2", attempt, cause=Cause.INFRA_UNDELIVERED, now=T + attempt)
    late = await standing(store, "job-2", T + 6)
    assert (late.delayed, late.place) == (T + 8, None)
    assert await ask(store, "a", T + 7) == ["job-3"]
    await store.finish("job-3", 1, BAD, now=T + 7.5)
    found = await standing(store, "job-3", T + 8)
    assert (found.failed_at, found.struck) == (("a@example.org",), T + 7.5)
