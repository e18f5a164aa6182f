"""Whose turn it is, and how much runs at a time: fair shares and quotas, the same in every version of the queue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from copilot.job import Cause, JobSpec, Outcome
from copilot.matching.resources import Free
from copilot.store.base import Parking, Store
from copilot.store.shares import Share
from tests.contract import store_fixtures
from tests.contract.store_fixtures import spec

store, shared_server = store_fixtures.store, store_fixtures.shared_server

T = 1_800_000_000.0
HOST = "[ Cores = 64 ]"
OK = Outcome(cause=Cause.OK, exit_code=0)


async def started(store: Store, count: int, *, cores: int = 64, **options: Any) -> list[str]:
    """The names of the jobs that an agent gets."""
    started.number += 1  # type: ignore[attr-defined]
    fixed: dict[str, Any] = {"agent": "a@x", "lease": 60.0, "host": HOST, "now": T} | options
    given = await store.claim(
        request=f"r{started.number}",  # type: ignore[attr-defined]
        dispatch_limit=60.0,
        free=Free(cores=cores),
        count=count,
        **fixed,
    )
    return [one.spec.id.removeprefix("job-") for one in given]


started.number = 0  # type: ignore[attr-defined]


async def bring(store: Store, owner: str, count: int, *, first: int = 0, **fields: Any) -> None:
    jobs = [spec(f"{owner}-{first + number}", owner=owner, **fields) for number in range(count)]
    await store.submit(jobs, now=T)


def owners(jobs: Sequence[str]) -> str:
    return "".join(job[0] for job in jobs)


async def test_ten_jobs_behind_a_thousand_of_another_one_are_among_the_next_twenty(store: Store) -> None:
    await bring(store, "ann", 1000)
    assert owners(await started(store, 7)) == "aaaaaaa"
    await bring(store, "bob", 10)
    assert owners(await started(store, 20)).count("b") == 10
    assert owners(await started(store, 5)) == "aaaaa"


async def test_who_comes_late_has_no_more_than_his_share(store: Store) -> None:
    await bring(store, "ann", 40)
    await started(store, 20)
    await bring(store, "bob", 40)
    assert 9 <= owners(await started(store, 20)).count("b") <= 11


async def test_the_oldest_of_equal_ones_goes_first(store: Store) -> None:
    for name in ("zoe", "ann", "mia"):
        await bring(store, name, 1)
    assert owners(await started(store, 3)) == "zam"


async def test_jobs_of_one_owner_keep_their_order_and_priority_comes_first(store: Store) -> None:
    await bring(store, "ann", 3)
    await bring(store, "bob", 1, priority=1)
    await bring(store, "ann", 1, first=9, priority=1)
    assert await started(store, 5) == ["bob-0", "ann-9", "ann-0", "ann-1", "ann-2"]


async def test_large_jobs_take_turns_as_large(store: Store) -> None:
    await bring(store, "ann", 8, cores=4)
    await bring(store, "bob", 40)
    first = owners(await started(store, 20))
    assert first.count("b") == 4 * first.count("a")


async def test_shares_weigh(store: Store) -> None:
    await store.set_share(Share(whose="owner:ann", shares=3))
    await bring(store, "ann", 60)
    await bring(store, "bob", 60)
    assert owners(await started(store, 40)).count("a") == 30


async def test_shares_of_owners_and_projects_multiply(store: Store) -> None:
    await store.set_share(Share(whose="owner:ann", shares=2))
    await store.set_share(Share(whose="project:atlas", shares=2))
    await bring(store, "ann", 60, project="atlas")
    await bring(store, "bob", 60)
    assert owners(await started(store, 40)).count("a") == 32


async def test_jobs_that_were_taken_back_cost_no_turns_once_nothing_is_left(store: Store) -> None:
    await bring(store, "ann", 50)
    await bring(store, "bob", 50)
    for number in range(50):
        await store.cancel(f"job-ann-{number}", now=T)
    await bring(store, "ann", 10, first=100)
    assert owners(await started(store, 20)).count("a") >= 9


async def test_who_comes_after_a_job_that_went_far_ahead_of_its_turn_has_his_share(store: Store) -> None:
    """All hosts that can take the large ones have other things to do, and the last one of all begins elsewhere."""
    await bring(store, "ann", 200, requirements="other.Memory >= 9000")
    await bring(store, "ann", 3, first=1000)
    assert await started(store, 2, host="[ Memory = 100 ]") == ["ann-1000", "ann-1001"]
    await bring(store, "bob", 10, requirements="other.Memory >= 9000")
    assert owners(await started(store, 24, host="[ Memory = 9000 ]")).count("b") == 10


async def test_the_same_for_what_is_filled_in_beside_large_jobs(store: Store) -> None:
    await bring(store, "ann", 100, cores=8)
    await bring(store, "ann", 5, first=1000)
    assert await started(store, 9, cores=4) == [f"ann-{number}" for number in range(1000, 1004)]
    await bring(store, "bob", 10)
    assert await started(store, 3, cores=3) == ["bob-0", "bob-1", "bob-2"]


async def test_who_has_taken_back_what_came_first_has_his_share_of_what_is_left(store: Store) -> None:
    await bring(store, "ann", 100)
    for number in range(50):
        await store.cancel(f"job-ann-{number}", now=T)
    assert await started(store, 1) == ["ann-50"]
    await bring(store, "bob", 50)
    assert 9 <= owners(await started(store, 20)).count("a") <= 11


async def test_a_job_that_nobody_can_run_does_not_keep_the_turns_of_others(store: Store) -> None:
    await bring(store, "zoe", 1, requirements="other.Memory >= 9000")
    await bring(store, "ann", 100)
    for _ in range(5):
        await started(store, 10, host="[ Memory = 100 ]")
    await bring(store, "bob", 50)
    assert 9 <= owners(await started(store, 20, host="[ Memory = 100 ]")).count("a") <= 11


# ---------------------------------------------------------------- quotas


async def test_no_more_jobs_of_an_owner_run_than_he_may_and_nobody_waits_for_them(store: Store) -> None:
    await store.set_share(Share(whose="owner:ann", jobs=2))
    await bring(store, "ann", 5)
    await bring(store, "bob", 3)
    assert await started(store, 9) == ["ann-0", "bob-0", "ann-1", "bob-1", "bob-2"]
    assert await started(store, 9) == []
    await store.finish("job-ann-0", 1, OK, now=T)
    assert await started(store, 9) == ["ann-2"]
    await store.set_share(Share(whose="owner:ann"))
    assert await started(store, 9) == ["ann-3", "ann-4"]


async def test_cores_have_a_limit_of_their_own_and_wide_jobs_stay_within_it(store: Store) -> None:
    await store.set_share(Share(whose="project:atlas", cores=5))
    await store.submit(
        [
            spec("a", project="atlas", cores=2),
            spec("b", project="atlas", cores=1, max_cores=8),
            spec("c", project="atlas"),
            spec("d", cores=8),
        ],
        now=T,
    )
    assert await started(store, 9) == ["a", "b", "d"]
    (share,) = await store.shares(("project:atlas",))
    assert (share.running, share.used, share.room, share.full) == (2, 5, 0, True)
    await store.finish("job-a", 1, OK, now=T)
    assert await started(store, 9) == ["c"]


async def test_an_owner_and_a_project_both_limit(store: Store) -> None:
    await store.set_share(Share(whose="owner:ann", jobs=3))
    await store.set_share(Share(whose="project:atlas", jobs=1))
    await bring(store, "ann", 2, project="atlas")
    await bring(store, "ann", 5, first=10)
    assert await started(store, 9) == ["ann-0", "ann-10", "ann-11"]


async def test_what_comes_back_is_counted_no_more_and_what_is_revived_is(store: Store) -> None:
    await store.set_share(Share(whose="owner:ann", jobs=1))
    await bring(store, "ann", 2)
    assert await started(store, 9) == ["ann-0"]
    await store.hand_back("job-ann-0", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert [share.running for share in await store.shares()] == [0]
    assert await started(store, 9) == ["ann-0"]
    assert await started(store, 9) == []


async def test_a_parked_agent_gets_what_others_leave(store: Store) -> None:
    await store.set_share(Share(whose="owner:ann", jobs=0))
    await started(store, 9, park=Parking(jid="a@x/1"))
    await bring(store, "ann", 1)
    assert await store.dispatch(dispatch_limit=10, now=T) == ()
    await bring(store, "bob", 1)
    assert [one.claimed.spec.owner for one in await store.dispatch(dispatch_limit=10, now=T)] == ["bob"]


async def test_all_that_was_set_is_told_with_what_runs(store: Store) -> None:
    await store.set_share(Share(whose="project:b c", shares=7, cores=9))
    await store.set_share(Share(whose="owner:ann@x", jobs=4))
    await store.submit([spec("a", owner="ann@x", project="b c", cores=3)], now=T)
    await started(store, 1)
    assert await store.shares() == (
        Share(whose="owner:ann@x", jobs=4, running=1, used=3),
        Share(whose="project:b c", shares=7, cores=9, running=1, used=3),
    )
    assert await store.shares(("owner:nobody",)) == (Share(whose="owner:nobody"),)


@pytest.mark.parametrize(
    ("share", "fault"),
    [
        (Share(whose="ann"), "expected owner:<name> or project:<name>"),
        (Share(whose="owner:"), "expected owner:<name>"),
        (Share(whose="owner:a", shares=0), "0 shares"),
        (Share(whose="owner:a", shares=101), "expected 1 to 100"),
        (Share(whose="owner:a", jobs=-1), "at most -1 jobs"),
    ],
)
async def test_nonsense_is_not_set(store: Store, share: Share, fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        await store.set_share(share)


# ---------------------------------------------------------------- hosts that ask for some jobs only


def picky(requirements: str, more: str = "") -> str:
    return f"[ Requirements = {requirements}; Cores = 8; Memory = 9000; {more} ]"


@pytest.mark.parametrize(
    ("requirements", "fits"),
    [
        ('other.Owner == "ann"', ["ann"]),
        ('member(other.Project, {"atlas", "cms"})', ["atlas"]),
        ("other.Cores >= 2", ["large"]),
        ('member("gold", other.Tags)', ["tagged"]),
        ('other.Type == "Job" && other.Network == false && other.Time > 0', ["timed"]),
        ('(other.Type == "Job")', ["ann", "atlas", "tagged", "timed", "large", "needy"]),
        ('other.Requirements != ""', ["needy"]),
        ("system(1)", []),
        ("other.Nonsense == 1", []),
    ],
)
async def test_a_host_gets_jobs_that_it_asks_for_and_no_others(
    store: Store, requirements: str, fits: list[str]
) -> None:
    jobs: list[JobSpec] = [
        spec("ann", owner="ann"),
        spec("atlas", project="atlas"),
        spec("tagged", tags=("gold", "x")),
        spec("timed", max_run_time=60.0),
        spec("large", cores=2),
        spec("needy", requirements="other.Memory >= 2000"),
    ]
    await store.submit(jobs, now=T)
    found = await started(store, 9, host=picky(requirements))
    assert sorted(found) == sorted(fits)
    rest = await started(store, 9, host="[ Cores = 8; Memory = 9000 ]")
    assert sorted([*found, *rest]) == sorted(job.id.removeprefix("job-") for job in jobs)


async def test_both_sides_must_want_it(store: Store) -> None:
    await store.submit(
        [spec("a", owner="ann", requirements="other.Memory >= 9999"), spec("b", owner="ann")], now=T
    )
    assert await started(store, 9, host=picky('other.Owner == "ann"')) == ["b"]


async def test_what_a_parked_host_asks_for_is_known_when_jobs_come(store: Store) -> None:
    await started(store, 9, host=picky('other.Owner == "ann"'), park=Parking(jid="a@x/1"))
    await bring(store, "bob", 1)
    assert await store.dispatch(dispatch_limit=10, now=T) == ()
    await bring(store, "ann", 1)
    assert [one.claimed.spec.owner for one in await store.dispatch(dispatch_limit=10, now=T)] == ["ann"]
    await bring(store, "ann", 1, first=5)
    assert await started(store, 9, host="", park=Parking(jid="a@x/1")) == ["ann-5"]
    await bring(store, "bob", 1, first=5)
    assert await started(store, 9, host="", park=Parking(jid="a@x/1")) == []
    assert await started(store, 9, host=HOST, park=Parking(jid="a@x/1")) == ["bob-0", "bob-5"]
