"""What jobs take of an agent, and what it has free: the same in every version of the queue. Has the worked examples of decision 20."""

from __future__ import annotations

from typing import Any

import pytest

from copilot.job import Cause, JobSpec, Outcome
from copilot.matching.resources import Free
from copilot.store.base import Parking, Store
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures
from tests.contract.store_fixtures import client_of, spec

store, shared_server = store_fixtures.store, store_fixtures.shared_server

T = 1_800_000_000.0
LARGE = "[ Cores = 24; MaxCores = 24; Gpus = 4 ]"
OK = Outcome(cause=Cause.OK, exit_code=0)


async def given(store: Store, free: Free | None, **options: Any) -> dict[str, int]:
    """The jobs that an agent gets, and the cores of each."""
    given.number += 1  # type: ignore[attr-defined]
    fixed: dict[str, Any] = {"agent": "a@x", "count": 100, "lease": 60.0, "host": LARGE, "now": T} | options
    claimed = await store.claim(
        request=f"r{given.number}",  # type: ignore[attr-defined]
        dispatch_limit=60.0,
        free=free,
        **fixed,
    )
    return {one.spec.id.removeprefix("job-"): one.cores for one in claimed}


given.number = 0  # type: ignore[attr-defined]


def jobs(count: int, *, first: int = 0, **fields: Any) -> list[JobSpec]:
    return [spec(number, **fields) for number in range(first, first + count)]


async def test_an_agent_of_24_cores_takes_one_job_of_12_and_twelve_of_1(store: Store) -> None:
    await store.submit([spec("large", cores=12), *jobs(20)], now=T)
    assert await given(store, Free(cores=24)) == {"large": 12} | {str(number): 1 for number in range(12)}
    assert await given(store, Free(cores=0)) == {}


async def test_what_does_not_fit_is_passed_over_and_what_comes_after_it_is_not(store: Store) -> None:
    await store.submit([spec("large", cores=12), spec("small"), spec("middle", cores=4)], now=T)
    assert await given(store, Free(cores=5)) == {"small": 1, "middle": 4}
    assert await given(store, Free(cores=11)) == {}
    assert await given(store, Free(cores=12)) == {"large": 12}


async def test_of_12_cores_no_job_gets_more_than_2_if_the_agent_says_so(store: Store) -> None:
    free = Free(cores=12, most=2)
    await store.submit(
        [*jobs(7, cores=1, max_cores=8), *jobs(3, first=7, cores=4), spec("two", cores=2)], now=T
    )
    assert await given(store, free) == {str(number): 2 for number in range(6)}
    assert await given(store, free) == {"6": 2, "two": 2}
    assert await given(store, Free(cores=12)) == {"7": 4, "8": 4, "9": 4}


async def test_a_job_never_gets_less_than_it_needs_nor_more_than_it_can_use(store: Store) -> None:
    await store.submit([spec("a", cores=2, max_cores=3), spec("b", cores=2, max_cores=64)], now=T)
    assert await given(store, Free(cores=1)) == {}
    assert await given(store, Free(cores=24)) == {"a": 3, "b": 21}


async def test_what_a_job_was_given_is_known_as_long_as_it_runs(store: Store) -> None:
    await store.submit([spec("a", cores=1, max_cores=8, max_attempts=3)], now=T)
    assert await given(store, Free(cores=5)) == {"a": 5}
    (work,) = await store.work(["job-a"])
    record = await store.get("job-a")
    assert (work.cores, record and record.cores) == (5, 5)
    await store.hand_back("job-a", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await given(store, Free(cores=1)) == {"a": 1}
    (work,) = await store.work(["job-a"])
    assert work.cores == 1


async def test_a_repeated_request_is_told_the_same_cores(store: Store) -> None:
    await store.submit([spec("a", cores=2, max_cores=8)], now=T)
    options: dict[str, Any] = {
        "agent": "a@x",
        "request": "once",
        "dispatch_limit": 60,
        "host": LARGE,
        "now": T,
    }
    (first,) = await store.claim(free=Free(cores=5), **options)
    (again,) = await store.claim(free=Free(cores=5), **options)
    assert (first.cores, again.cores, again.again) == (5, 5, True)


async def test_memory_disk_and_gpus_are_packed_like_cores(store: Store) -> None:
    gib = 2**30
    await store.submit(
        [*jobs(3, memory=3 * gib), *jobs(2, first=3, gpus=1), spec("disk", disk=5 * gib), spec("last")], now=T
    )
    free = Free(cores=24, memory=7 * 1024, gpus=1, disk=4 * 1024)
    assert await given(store, free) == {"0": 1, "1": 1, "3": 1, "last": 1}
    assert await given(store, Free(cores=24, memory=3 * 1024, gpus=0, disk=5 * 1024)) == {"2": 1, "disk": 1}
    assert await given(store, Free(cores=24, gpus=3)) == {"4": 1}


async def test_a_job_that_cannot_end_before_its_agent_leaves_is_not_given(store: Store) -> None:
    await store.submit([spec("long", max_run_time=3600.0), spec("short", max_run_time=60.0)], now=T)
    await store.submit([spec("silent")], now=T)
    assert await given(store, Free(cores=24, time=3599)) == {"short": 1, "silent": 1}
    assert await given(store, Free(cores=24, time=3600)) == {"long": 1}


async def test_jobs_of_one_core_are_taken_ahead_when_no_core_is_free(store: Store) -> None:
    await store.submit([*jobs(6), spec("two", cores=2), spec("gpu", gpus=1)], now=T)
    assert await given(store, Free(cores=2, ahead=3)) == {str(number): 1 for number in range(5)}
    assert await given(store, Free(cores=0, ahead=3, gpus=1)) == {"5": 1}


async def test_an_agent_that_does_not_say_takes_jobs_of_one_core(store: Store) -> None:
    await store.submit([spec("large", cores=2), spec("wide", max_cores=8), *jobs(3)], now=T)
    assert await given(store, None, count=3) == {"wide": 1, "0": 1, "1": 1}


async def test_count_stays_the_most(store: Store) -> None:
    await store.submit(jobs(5), now=T)
    assert await given(store, Free(cores=24), count=2) == {"0": 1, "1": 1}


@pytest.mark.parametrize(
    ("host", "fits"),
    [
        ("[ MaxCores = 12; Cores = 4 ]", True),
        ("[ MaxCores = 11; Cores = 24 ]", False),
        ("[ Cores = 12 ]", True),
        ("[ Memory = 1 ]", False),
        ("", False),
    ],
)
async def test_a_job_goes_to_hosts_that_are_large_enough_when_empty(
    store: Store, host: str, fits: bool
) -> None:
    await store.submit([spec("large", cores=12)], now=T)
    assert await given(store, Free(cores=64), host=host) == ({"large": 12} if fits else {})


async def dispatched(store: Store, now: float = T) -> dict[str, int]:
    found = await store.dispatch(dispatch_limit=10, now=now)
    return {one.claimed.spec.id.removeprefix("job-"): one.claimed.cores for one in found}


async def test_what_a_parked_agent_has_free_becomes_less_with_each_job(store: Store) -> None:
    parking = Parking(jid="a@x/1", features=("push", "resources"))
    assert await given(store, Free(cores=24, memory=8192), park=parking) == {}
    await store.submit([spec("a", cores=12, memory=2**33), spec("b", memory=2**20)], now=T)
    assert await dispatched(store) == {"a": 12}
    await store.submit([spec("c", cores=12), spec("d", cores=12)], now=T)
    assert await dispatched(store) == {"c": 12}
    await store.submit(jobs(1), now=T)
    assert await dispatched(store) == {}
    assert await given(store, Free(cores=12, memory=8192), park=parking) == {"b": 1, "0": 1}


async def test_a_parked_agent_keeps_its_words(store: Store) -> None:
    parking = Parking(jid="a@x/1", features=("push", "resources"), session="s1")
    await given(store, Free(cores=24), park=parking)
    await store.submit(jobs(1), now=T)
    (one,) = await store.dispatch(dispatch_limit=10, now=T)
    assert one.to == parking


async def test_the_time_that_a_parked_agent_has_left_goes_on(store: Store) -> None:
    await given(store, Free(cores=24, time=100), park=Parking(jid="a@x/1"))
    await store.submit([spec("a", max_run_time=60.0), spec("b", max_run_time=30.0)], now=T)
    assert await dispatched(store, T + 41) == {"b": 1}


async def test_the_larger_of_two_parked_agents_gets_what_the_smaller_one_cannot_hold(store: Store) -> None:
    await given(store, Free(cores=2), agent="s@x", park=Parking(jid="s@x/1"), now=T - 1)
    await given(store, Free(cores=8), agent="l@x", park=Parking(jid="l@x/1"))
    await store.submit([spec("large", cores=4), spec("small")], now=T)
    found = await store.dispatch(dispatch_limit=10, now=T)
    assert {one.claimed.spec.id: one.to.jid for one in found} == {"job-large": "l@x/1", "job-small": "s@x/1"}


# ---------------------------------------------------------------- nothing starves


async def flow(store: Store, agents: dict[str, list[str]], cores: int, now: float, number: int) -> list[str]:
    """Each agent ends a job of one core, and asks for others; there are always more. Returns what it was given that is large."""
    await store.submit([spec(f"s{number}-{one}") for one in range(4)], now=now)
    large = []
    for name, held in agents.items():
        if held:
            job = held.pop(0)
            record = await store.get(f"job-{job}")
            assert record
            await store.finish(f"job-{job}", record.attempt, OK, now=now)
        free = Free(cores=cores - len(held))
        got = await given(store, free, agent=name, park=Parking(jid=f"{name}/1"), now=now)
        held += [job for job, taken in got.items() if taken == 1]
        large += [job for job, taken in got.items() if taken > 1]
    return large


async def test_a_large_job_among_an_endless_flow_of_small_ones_starts(store: Store) -> None:
    agents: dict[str, list[str]] = {"a@x": [], "b@x": []}
    await store.submit(jobs(8), now=T)
    for number in range(2):
        await flow(store, agents, 4, T, number)
    await store.submit([spec("large", cores=4)], now=T)
    started = []
    for number in range(2, 60):
        started += await flow(store, agents, 4, T + 2.0 * number, number)
        if started:
            break
    assert started == ["large"]
    assert number < 40  # it was passed over for a minute, then one agent was kept for it
    await flow(store, agents, 4, T + 200, 100)  # and all is as before
    assert all(len(held) <= 4 for held in agents.values())
    assert [len(held) for held in agents.values()].count(4) >= 1


async def test_an_agent_that_is_kept_for_a_job_still_gets_what_comes_before_it(store: Store) -> None:
    parking = Parking(jid="a@x/1")
    await store.submit([spec("large", cores=4)], now=T)
    assert await given(store, Free(cores=2), park=parking) == {}
    await store.submit([spec("late"), spec("urgent", priority=5)], now=T + 61)
    assert await given(store, Free(cores=2), park=parking, now=T + 61) == {"urgent": 1}
    assert await given(store, Free(cores=2), agent="b@x", now=T + 61) == {"late": 1}
    assert await given(store, Free(cores=4), park=parking, now=T + 62) == {"large": 4}


async def test_an_agent_that_is_gone_is_not_kept(store: Store) -> None:
    gone, next_one = Parking(jid="a@x/1"), Parking(jid="b@x/1")
    await store.submit([spec("large", cores=4)], now=T)
    await given(store, Free(cores=2), park=gone)
    await given(store, Free(cores=2), park=gone, now=T + 61)
    await store.submit(jobs(9), now=T + 61)
    assert await given(store, Free(cores=1), agent="b@x", park=next_one, now=T + 62) == {"0": 1}
    await store.unpark("a@x/1", now=T + 63)
    assert await given(store, Free(cores=2), agent="b@x", park=next_one, now=T + 64) == {}
    assert await given(store, Free(cores=2), agent="c@x", now=T + 65) == {"1": 1, "2": 1}


async def test_an_agent_that_is_gone_when_it_was_full_is_not_kept(store: Store) -> None:
    gone = Parking(jid="a@x/1")
    await store.submit([spec("large", cores=4)], now=T)
    await given(store, Free(cores=2), park=gone)
    await given(store, Free(cores=2), park=gone, now=T + 61)
    await store.submit([spec("urgent", priority=5), *jobs(9)], now=T + 62)
    assert await given(store, Free(cores=1), park=gone, count=1, now=T + 62) == {"urgent": 1}
    assert not await store.unpark("a@x/1", now=T + 63)  # it was not parked any more
    assert await given(store, Free(cores=2), agent="b@x", now=T + 64) == {}
    assert await given(store, Free(cores=2), agent="c@x", now=T + 65) == {"0": 1, "1": 1}


async def test_who_has_asked_a_moment_ago_is_not_gone_and_stays_kept(store: Store) -> None:
    there = Parking(jid="a@x/1")
    await store.submit([spec("large", cores=4)], now=T)
    await given(store, Free(cores=2), park=there)
    await given(store, Free(cores=2), park=there, now=T + 61)
    await store.submit([spec("urgent", priority=5), *jobs(9)], now=T + 62)
    assert await given(store, Free(cores=1), park=there, count=1, now=T + 62) == {"urgent": 1}
    assert not await store.unpark("a@x/1", parked_for=30.0, now=T + 63)
    assert await given(store, Free(cores=2), agent="b@x", now=T + 64) == {"0": 1, "1": 1}


async def test_nothing_is_kept_at_an_agent_that_is_set_aside(store: Store) -> None:
    aside = Parking(jid="a@x/1")
    await store.submit([spec("large", cores=4)], now=T)
    await given(store, Free(cores=2), park=aside)
    await given(store, Free(cores=2), park=aside, now=T + 61)
    await store.submit(jobs(9), now=T + 62)
    await store.set_aside("a@x", by="ann", reason="disk", now=T + 62)
    assert await given(store, Free(cores=2), agent="b@x", now=T + 63) == {}
    assert await given(store, Free(cores=2), agent="c@x", now=T + 64) == {"0": 1, "1": 1}


async def test_groups_that_were_passed_over_and_are_gone_leave_no_end_of_entries(store: Store) -> None:
    if not isinstance(store, RedisStore):
        pytest.skip("of Redis")
    key = f"{store._keys._prefix}passed-over"
    async with client_of(store) as client:
        await client.hset(key, mapping={f"{number:064}": "x 1 0 " for number in range(1500)})
        await store.submit([spec("large", cores=4)], now=T)
        await given(store, Free(cores=2))
        assert await client.hlen(key) == 1


async def test_an_agent_is_kept_for_an_hour_at_most_and_for_what_waits_alone(store: Store) -> None:
    parking = Parking(jid="a@x/1")
    await store.submit([spec("large", cores=4), *jobs(9)], now=T)
    await given(store, Free(cores=1), park=parking)
    assert await given(store, Free(cores=1), park=parking, now=T + 61) == {}
    assert await given(store, Free(cores=1), park=parking, now=T + 3600) == {}
    assert await given(store, Free(cores=1), park=parking, now=T + 3662) == {"1": 1}
    assert await given(store, Free(cores=1), park=parking, now=T + 3783) == {}
    await store.hold("job-large", now=T + 3783)
    assert await given(store, Free(cores=1), park=parking, now=T + 3784) == {"2": 1}


# ---------------------------------------------------------------- what an older version has left


async def write_as_before(store: RedisStore, job: JobSpec, number: int, requirements: str) -> None:
    """A waiting job as the version before groups of this kind has written it."""
    prefix = store._keys._prefix
    group = "any" if not requirements else f"{number:040x}"
    place = f"{number:016d}"
    fields: dict[str, Any] = {
        "spec": job.to_json(),
        "group": group,
        "rank": -job.priority,
        "place": place,
        "max_attempts": 3,
        "max_user_attempts": 1,
        "max_run_time": "",
        "submitted": repr(T),
        "first_event": "1-0",
        "state": "waiting",
        "attempt": 0,
        "attempts_used": 0,
        "owner": job.owner,
    }
    async with client_of(store) as client:
        await client.set(f"{prefix}sequence", number)
        await client.zincrby(f"{prefix}owners", 1, job.owner)
        if requirements:
            fields["attributes"] = "memory"
            await client.set(f"{prefix}group:{group}", f"{number} {requirements}")
            await client.set(f"{prefix}attributes", "memory")
            head = f"{10**9 - job.priority:010d}{place}{number:08d}{group}"
            await client.zadd(f"{prefix}heads", {head: 0})
        await client.hset(f"{prefix}job:{job.id}", mapping=fields)
        await client.zadd(f"{prefix}queue:{group}", {f"{place}:{job.id}": -job.priority})


async def test_jobs_that_an_older_version_has_queued_are_claimed_before_new_ones(store: Store) -> None:
    if not isinstance(store, RedisStore):
        pytest.skip("nothing outlives the process")
    needs = "other.Memory >= 2000"
    await write_as_before(store, spec("old-1", owner="ann"), 1, "")
    await write_as_before(store, spec("old-2", owner="ann"), 2, "")
    await write_as_before(store, spec("old-3", requirements=needs), 3, needs)
    await store.submit([spec("new"), spec("new-3", requirements=needs)], now=T)
    assert await store.waiting() == 5
    page = await store.page((await store.get("job-new")).state)  # type: ignore[union-attr]
    assert [line.job for line in page.rows][:3] == ["job-old-1", "job-old-2", "job-old-3"]
    assert sum(group.waiting for group in (await store.groups()).rows) == 5
    assert await given(store, Free(cores=1), host="[ Memory = 1000 ]") == {"old-1": 1}
    await store.hand_back("job-old-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await given(store, Free(cores=24), host="[ Memory = 1000 ]") == {"old-1": 1, "old-2": 1, "new": 1}
    await store.hold("job-old-3", now=T)
    await store.release("job-old-3", now=T)
    assert await given(store, None, host="[ Memory = 2000 ]", now=T) == {"old-3": 1, "new-3": 1}
    assert await store.waiting() == 0
    for job in ("old-1", "old-2", "old-3"):
        await store.finish(f"job-{job}", 2 if job == "old-1" else 1, OK, now=T)
    assert [owner.owner for owner in (await store.owners()).rows] == [""]
