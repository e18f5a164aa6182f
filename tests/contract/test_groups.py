"""Jobs that may run on some hosts only: the same in every version of the queue."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from copilot.errors import BadRequirements, QueueFull
from copilot.job import NEEDS_SEALED, Cause, JobSpec, State
from copilot.matching.host import marked
from copilot.matching.requirements import for_sealed_hosts
from copilot.store import rules
from copilot.store.base import Parking, Store
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures
from tests.contract.store_fixtures import history, spec

store, shared_server = store_fixtures.store, store_fixtures.shared_server

T = 1_800_000_000.0
SMALL, LARGE = ('[ Memory = 1000; Cores = 2; Platform = "Linux-x86_64" ]', "[ Memory = 9000; Cores = 8 ]")
NEEDS_MUCH = "other.Memory >= 2000"


def needy(number: int | str, requirements: str = NEEDS_MUCH, **fields: Any) -> JobSpec:
    return spec(number, requirements=requirements, **fields)


async def claim(
    store: Store, host: str = "", *, agent: str = "a@x", request: str = "", **options: Any
) -> list[str]:
    """The jobs that an agent gets; each request is a new one unless it is named."""
    claim.number += 1  # type: ignore[attr-defined]
    named = request or f"r{claim.number}"  # type: ignore[attr-defined]
    fixed: dict[str, Any] = {"dispatch_limit": 60.0, "lease": 60.0, "now": T} | options
    return [one.spec.id for one in await store.claim(agent=agent, request=named, host=host, **fixed)]


claim.number = 0  # type: ignore[attr-defined]


async def dispatched(store: Store, *, now: float = T) -> list[tuple[str, str]]:
    return [(one.to.jid, one.claimed.spec.id) for one in await store.dispatch(dispatch_limit=10, now=now)]


async def test_a_job_goes_to_a_host_that_meets_its_requirements_and_to_no_other(store: Store) -> None:
    await store.submit([needy(1), needy(2)], now=T)
    assert await claim(store, SMALL) == []
    assert await claim(store) == []  # it says nothing of its host
    assert await claim(store, LARGE) == ["job-1"]
    assert await claim(store) == []


async def test_jobs_with_secrets_go_to_hosts_that_a_manager_has_marked(store: Store) -> None:
    await store.submit([needy(1, NEEDS_SEALED), needy(2, for_sealed_hosts(NEEDS_MUCH))], now=T)
    assert await claim(store, LARGE.replace("[ ", "[ Sealed = true; ")) == []
    assert await claim(store, marked(SMALL, sealed=True)) == ["job-1"]
    assert await claim(store, marked(LARGE, sealed=False)) == []
    assert await claim(store, marked(LARGE, sealed=True)) == ["job-2"]


async def test_a_host_gets_the_best_of_all_that_it_may_have(store: Store) -> None:
    await store.submit(
        [
            spec(1),
            needy(2),
            needy(3, "other.Cores > 4", priority=5),
            needy(4, priority=1),
            spec(5, priority=1),
            needy(6, 'other.Platform == "Linux-x86_64"', priority=9),
        ],
        now=T,
    )
    assert await claim(store, LARGE, count=3) == ["job-3", "job-4", "job-5"]
    assert await claim(store, SMALL, count=9) == ["job-6", "job-1"]
    assert await claim(store, LARGE, count=9) == ["job-2"]


async def test_what_nobody_may_have_keeps_nobody_from_the_rest(store: Store) -> None:
    await store.submit(
        [needy(number, f"other.Memory > {number}000000", priority=1) for number in range(1, 300)]
    )
    await store.submit([spec("last")], now=T)
    assert await claim(store, LARGE) == ["job-last"]
    assert await claim(store, SMALL) == []


async def test_jobs_with_the_same_requirements_keep_their_order(store: Store) -> None:
    await store.submit([needy(number, priority=number % 2) for number in range(6)], now=T)
    first = await claim(store, LARGE, count=4)
    assert first + await claim(store, LARGE, count=4) == [f"job-{number}" for number in (1, 3, 5, 0, 2, 4)]


async def test_a_copy_of_a_request_gets_the_same_jobs_and_no_more(store: Store) -> None:
    await store.submit([spec(0), *(needy(number) for number in range(1, 4))], now=T)
    given = await claim(store, LARGE, count=3, request="once")
    assert given == ["job-0", "job-1", "job-2"]
    assert await claim(store, LARGE, count=3, request="once") == given
    assert await claim(store, LARGE, count=3) == ["job-3"]


async def test_a_job_that_goes_back_waits_at_its_old_place_in_its_group(store: Store) -> None:
    await store.submit([needy(1), needy(2)], now=T)
    assert await claim(store, LARGE) == ["job-1"]
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await claim(store, SMALL) == []
    assert await claim(store, LARGE, count=2) == ["job-1", "job-2"]
    await store.hand_back("job-2", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await claim(store, SMALL) == []
    assert await claim(store, LARGE, count=2) == ["job-2"]


async def test_what_comes_to_stand_before_what_a_host_has_seen_is_found(store: Store) -> None:
    few = "other.Cores < 4"
    await store.submit([needy(1, few), needy(2), needy(3, "other.Cores > 4")], now=T)
    assert await claim(store, SMALL) == ["job-1"]
    assert await claim(store, SMALL) == []
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await claim(store, SMALL) == ["job-1"]
    await store.submit([needy(4, few, priority=1)], now=T)
    assert await claim(store, SMALL) == ["job-4"]
    await store.submit([needy(5, few, priority=-1)], now=T)
    assert await claim(store, SMALL) == ["job-5"]


async def test_a_job_that_leaves_the_queue_by_another_door_leaves_its_group_whole(store: Store) -> None:
    await store.submit([needy(number) for number in range(4)], now=T)
    await store.hold("job-0", now=T)
    await store.cancel("job-1", now=T)
    await store.hold("job-3", now=T)
    assert await claim(store, LARGE, count=9) == ["job-2"]
    await store.release("job-3", now=T)
    await store.release("job-0", now=T)
    assert await claim(store, SMALL, count=9) == []
    assert await claim(store, LARGE, count=9) == ["job-0", "job-3"]


async def test_jobs_of_all_groups_are_counted(store: Store) -> None:
    await store.submit([spec(0), needy(1), needy(2), needy(3, "other.Cores > 4")], now=T)
    assert (await store.waiting(), (await store.counts())[State.WAITING]) == (4, 4)
    await claim(store, LARGE, count=3)
    assert (await store.waiting(), (await store.counts())[State.WAITING]) == (1, 1)


async def test_an_agent_may_say_once_what_its_host_is(store: Store) -> None:
    parking = Parking(jid="a@x/one", features=("push",))
    await store.submit([needy(number) for number in range(2)], now=T)
    assert await claim(store, LARGE, park=parking) == ["job-0"]
    assert await claim(store, park=parking) == ["job-1"]


async def test_another_instance_knows_what_an_agent_said_of_its_host(store: Store) -> None:
    parking = Parking(jid="a@x/one", features=("push",))
    assert await claim(store, LARGE, park=parking) == []
    await store.submit([needy(1)], now=T)
    other = (
        RedisStore(store._connections, prefix=store._keys._prefix) if isinstance(store, RedisStore) else store
    )
    assert await claim(other, park=parking) == ["job-1"]


async def test_a_parked_agent_gets_what_its_host_may_have(store: Store) -> None:
    for name, host in (("small", SMALL), ("large", LARGE), ("silent", "")):
        await claim(store, host, agent=f"{name}@x", park=Parking(jid=f"{name}@x/1"))
    await store.submit([needy(1), needy(2)], now=T)
    assert await dispatched(store) == [("large@x/1", "job-1")]
    assert await dispatched(store) == []
    await store.submit([spec(3), spec(4)], now=T)
    assert sorted(await dispatched(store)) == [("silent@x/1", "job-3"), ("small@x/1", "job-4")]


async def test_a_parked_agent_is_looked_at_anew_when_other_attributes_are_asked_for(store: Store) -> None:
    for name, host in (("small", SMALL), ("large", LARGE)):
        await claim(store, host, agent=f"{name}@x", park=Parking(jid=f"{name}@x/1"), count=3)
    await store.submit([needy(1)], now=T)
    assert await dispatched(store) == [("large@x/1", "job-1")]
    await store.submit([needy(2, "other.Cores == 2"), needy(3, "other.Cores == 8"), needy(4)], now=T)
    assert sorted(await dispatched(store)) == [
        ("large@x/1", "job-3"),
        ("large@x/1", "job-4"),
        ("small@x/1", "job-2"),
    ]


async def test_nobody_waits_behind_many_who_cannot_have_the_job(store: Store) -> None:
    parked = [("small", number) for number in range(1100)] + [("large", 1100)]
    for name, number in parked:
        host = SMALL if name == "small" else LARGE
        jid = f"{name}{number}@x/1"
        await claim(store, host, agent=jid[:-2], park=Parking(jid=jid), now=T + number / 1000)
    await store.submit([needy(1), needy(2)], now=T + 2)
    assert await dispatched(store, now=T + 2) == [("large1100@x/1", "job-1")]
    assert await dispatched(store, now=T + 2) == []


async def test_an_agent_of_2011_gets_what_its_host_may_have(store: Store) -> None:
    await store.submit([needy(1)], now=T)
    assert await claim(store, SMALL, holder="a@x/old", lease=None) == []
    assert await claim(store, LARGE, holder="a@x/old", lease=None) == ["job-1"]
    assert await store.suspect("a@x/old", now=T) == 1


async def test_a_job_that_an_agent_may_not_have_now_goes_back_to_its_group(store: Store) -> None:
    await store.submit([needy(1, exclusive=True), needy(2)], now=T)
    assert await claim(store, LARGE, lease=None, count=2) == ["job-2"]
    assert await claim(store, LARGE, count=2) == ["job-1"]


@pytest.mark.parametrize("bad", ["other.Memory >=", "(a", "system(1)", "x = 3", " ", "Memory>3"])
async def test_bad_requirements_are_refused_with_the_job_and_nothing_is_taken(store: Store, bad: str) -> None:
    with pytest.raises(BadRequirements, match="job job-2: requirements"):
        await store.submit([spec(1), needy(2, bad)])
    assert await store.waiting() == 0


async def test_there_is_an_end_of_different_requirements(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MOST_GROUPS", 2)
    await store.submit([needy(1), needy(2, "other.Cores > 4")], now=T)
    with pytest.raises(QueueFull, match="different requirements"):
        await store.submit([needy(3, "other.Cores > 3")], now=T)
    assert await store.get("job-3") is None
    await store.submit([needy(4), spec(5)], now=T)
    await claim(store, LARGE, count=9)
    await store.submit([needy(3, "other.Cores > 3")], now=T)
    assert await history(store, "job-3") == ["submitted 0"]


async def test_one_owner_leaves_room_for_the_requirements_of_others(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else who submits thousands of different requirements shuts all others out."""
    for name, number in (("MOST_GROUPS", 20), ("FEW_GROUPS", 3)):
        monkeypatch.setattr(rules, name, number)

    def wants(owner: str, number: int, **more: Any) -> JobSpec:
        job, requirements = f"{owner}-{number}", f"other.Cores > {number + 3}"
        return replace(needy(1, requirements), id=job, owner=owner, **more)

    await store.submit([wants("eve", number) for number in range(16)], now=T)
    with pytest.raises(QueueFull, match="few are left for others"):
        await store.submit([wants("eve", 16)], now=T)
    assert await store.get("eve-16") is None
    await store.submit([replace(wants("eve", 3), id="as-one-that-waits")], now=T)
    await store.submit([wants("ann", number) for number in range(3)], now=T)
    with pytest.raises(QueueFull, match="few are left for others"):
        await store.submit([wants("ann", 3)], now=T)  # one is left, and she has as many as anybody
    await store.submit([wants("bob", 0)], now=T)
    with pytest.raises(QueueFull, match="20 different requirements"):
        await store.submit([wants("carl", 0)], now=T)


async def test_free_memory_counts_as_a_little_less_than_it_is(store: Store) -> None:
    await store.submit([needy(1, "other.FreeMemory >= 2000")], now=T)
    assert await claim(store, "[ FreeMemory = 1999 ]") == []
    assert await claim(store, "[ FreeMemory = 2047 ]") == []  # 1920
    assert await claim(store, "[ FreeMemory = 2048 ]") == ["job-1"]


@pytest.mark.parametrize(
    "host",
    ["nonsense", "[ Memory = ", "[ Memory = 1000 * 9 ]", "[ Memory = 9000 ]" + " " * 20000, "[" * 5000, "\0"],
)
async def test_a_host_that_cannot_be_read_meets_nothing(store: Store, host: str) -> None:
    await store.submit([needy(1), spec(2)], now=T)
    assert await claim(store, host, count=9) == ["job-2"]
