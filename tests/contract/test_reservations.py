"""An agent that is kept for a job that does not fit now: when it is, when it is not any more; and what else keeps agents idle. The same in every
version of the queue."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from copilot.job import JobSpec
from copilot.matching.resources import Free
from copilot.store.base import Parking, Store
from copilot.store.redis import RedisStore
from copilot.store.shares import Share
from tests.contract import store_fixtures
from tests.contract.store_fixtures import client_of, make_store, spec

shared_server = store_fixtures.shared_server

T = 1_800_000_000.0
LARGE = "[ Cores = 24; MaxCores = 24; Gpus = 4 ]"
PARKING = {name: Parking(jid=f"{name}@x/1", features=("push", "resources")) for name in "abc"}
_requests = itertools.count()


@pytest.fixture(params=("memory", "redis-server"))
async def store(request: pytest.FixtureRequest, shared_server: Any) -> Any:
    """Both ways to do it; the other servers run the same scripts."""
    made = make_store(request.param, shared_server)
    yield made
    await made.close()


async def given(store: Store, name: str, cores: int, after: float, **options: Any) -> list[str]:
    """The jobs that an agent gets that has so many cores free, so many seconds after the begin."""
    fixed: dict[str, Any] = {"free": Free(cores=cores), "host": LARGE, "count": 9} | options
    request = f"r{next(_requests)}"
    agent, park = f"{name}@x", PARKING[name]
    claimed = await store.claim(
        agent=agent, request=request, dispatch_limit=60, lease=60, park=park, now=T + after, **fixed
    )
    return [one.spec.id.removeprefix("job-") for one in claimed]


async def bring(store: Store, *jobs: JobSpec, after: float = 0) -> None:
    await store.submit([*jobs, *[spec(number) for number in range(9)]], now=T + after)


async def kept(store: Store, after: float) -> str:
    """The agent that is kept for the large job."""
    found = await store.circumstances("job-large", now=T + after)
    assert found is not None
    return found.reserved.partition("@")[0]


async def keep(store: Store, name: str = "a", **fields: Any) -> None:
    """A job waits for four cores, and this agent with two free ones is kept for it."""
    await store.submit([spec("large", **({"cores": 4} | fields))], now=T)
    assert await given(store, name, 2, 0) == []
    assert await given(store, name, 2, 61) == []
    assert await kept(store, 61) == name
    await store.submit([spec(number) for number in range(9)], now=T + 61)


async def is_kept_elsewhere(store: Store, after: float) -> None:
    """Who asks next is kept, and those who ask then get the others."""
    assert await kept(store, after) == ""
    assert await given(store, "b", 2, after) == []
    assert await kept(store, after) == "b"
    assert await given(store, "c", 2, after + 1) == ["0", "1"]


async def test_nothing_is_kept_at_an_agent_that_is_to_leave(store: Store) -> None:
    await keep(store)
    await store.drain(["a@x"], now=T + 62)
    assert await given(store, "a", 2, 63, count=1) == ["0"]  # it has not heard of it yet
    assert await kept(store, 63) == ""
    assert await given(store, "b", 2, 64) == []
    assert await kept(store, 64) == "b"


async def test_nothing_is_kept_at_an_agent_that_was_revoked(store: Store) -> None:
    await keep(store)
    await store.revoke("a@x", now=T + 62)
    await is_kept_elsewhere(store, 63)


async def test_nothing_is_kept_at_an_agent_that_has_fallen_silent(store: Store) -> None:
    await keep(store)
    await store.submit([spec("urgent", priority=1)], now=T + 62)
    assert await given(store, "a", 1, 62, count=1) == [
        "urgent"
    ]  # it has all that it can take: it is not parked
    assert await given(store, "b", 1, 661) == ["0"]
    await is_kept_elsewhere_from(store, 662)


async def is_kept_elsewhere_from(store: Store, after: float) -> None:
    assert await given(store, "c", 2, after) == []
    assert await kept(store, after) == "c"


async def test_nothing_is_kept_at_a_parked_agent_that_is_forgotten(store: Store) -> None:
    await keep(store)
    assert await store.dispatch(dispatch_limit=60, now=T + 900) == ()
    assert await kept(store, 900) == "a"
    await store.dispatch(dispatch_limit=60, now=T + 961)
    await is_kept_elsewhere(store, 962)


async def test_nothing_is_kept_where_the_job_would_not_end_in_time_any_more(store: Store) -> None:
    await store.submit([spec("large", cores=4, max_run_time=1000.0)], now=T)
    for after in (0, 61):
        assert await given(store, "a", 2, after, free=Free(cores=2, time=1100 - after)) == []
    assert await kept(store, 61) == "a"
    await store.submit([spec(number) for number in range(9)], now=T + 61)
    assert await given(store, "a", 2, 101, free=Free(cores=2, time=999)) == ["0", "1"]
    assert await kept(store, 101) == ""
    assert await given(store, "b", 2, 102) == []
    assert await kept(store, 102) == "b"


async def test_an_agent_for_which_it_was_kept_in_vain_comes_behind_others(store: Store) -> None:
    await keep(store)
    assert await given(store, "a", 2, 3600) == []
    assert await given(store, "a", 1, 3662) == ["0"]  # an hour is over
    assert await given(store, "a", 1, 3723) == ["1"]  # it had its turn
    assert await given(store, "b", 2, 3724) == []
    assert await kept(store, 3724) == "b"
    assert await given(store, "a", 1, 3725) == ["2"]


async def test_if_there_is_no_other_it_is_kept_there_again(store: Store) -> None:
    await keep(store)
    assert await given(store, "a", 1, 3662) == ["0"]
    assert await given(store, "a", 1, 3781) == ["1"]
    assert await given(store, "a", 1, 3783) == []
    assert await kept(store, 3783) == "a"


async def test_an_agent_that_does_not_say_what_it_has_is_not_kept_for_what_it_never_takes(
    store: Store,
) -> None:
    await bring(store, spec("large", gpus=1))
    assert await given(store, "a", 0, 0, free=None, count=2) == ["0", "1"]
    assert await given(store, "a", 0, 61, free=None, count=2) == ["2", "3"]


async def test_a_clock_that_is_set_back_keeps_nobody_for_longer(store: Store) -> None:
    await keep(store)
    assert await given(store, "b", 1, 62) == ["0"]
    for after in (-86400, -86339):  # a day earlier
        assert await given(store, "b", 2, after, count=1) == (["1"] if after == -86400 else [])
    assert await kept(store, -86339) == "b"


async def test_an_owner_without_quota_holds_nobody(store: Store) -> None:
    await keep(store, owner="ann")
    await store.set_share(Share(whose="owner:ann", cores=3))
    assert await given(store, "a", 2, 62) == ["0", "1"]
    await store.set_share(Share(whose="owner:ann", cores=4))
    assert await given(store, "a", 4, 63) == ["large"]


async def test_what_is_held_or_cancelled_holds_nobody(store: Store) -> None:
    await keep(store)
    await store.hold("job-large", now=T + 62)
    assert await given(store, "a", 1, 62) == ["0"]
    await store.release("job-large", now=T + 63)
    assert await given(store, "a", 1, 63) == []
    await store.cancel("job-large", now=T + 64)
    assert await given(store, "a", 1, 64) == ["1"]


async def test_an_agent_that_is_gone_costs_no_look_at_all_that_was_passed_over(store: Store) -> None:
    if not isinstance(store, RedisStore):
        pytest.skip("of Redis")
    await keep(store)
    async with client_of(store) as client:
        await client.config_resetstat()
        assert await store.unpark("a@x/1", now=T + 62)
        assert "cmdstat_hgetall" not in await client.info("commandstats")
    await is_kept_elsewhere(store, 63)


async def test_two_large_jobs_do_not_wait_for_each_other(store: Store) -> None:
    """Each has an agent of its own, and neither keeps what the other one needs."""
    await store.submit([spec("large", cores=4, owner="ann"), spec("other", cores=4, owner="bob")], now=T)
    for after in (0, 61):
        assert await given(store, "a", 2, after) == []
        assert await given(store, "b", 2, after) == []
    await store.submit([spec(number) for number in range(9)], now=T + 62)
    assert await given(store, "c", 1, 62) == ["0"]
    assert await given(store, "b", 2, 62) == await given(store, "a", 2, 62) == []
    assert await given(store, "b", 4, 63) == ["large"]  # what comes first goes first, wherever there is room
    assert await given(store, "a", 4, 64) == ["other"]


async def test_any_number_of_exclusive_jobs_leave_an_agent_without_leases_the_others(store: Store) -> None:
    await store.submit([spec(f"alone-{number}", exclusive=True) for number in range(150)], now=T)
    await store.submit(
        [spec("alone-too", exclusive=True, requirements="other.Cores > 1"), spec("last")], now=T
    )
    fixed: dict[str, Any] = {"dispatch_limit": 60, "host": LARGE, "now": T}
    found = await store.claim(agent="old@x", request="r", count=3, **fixed)
    assert [one.spec.id for one in found] == ["job-last"]
    found = await store.claim(agent="new@x", request="r", count=3, lease=60, **fixed)
    assert [one.spec.exclusive for one in found] == [True] * 3


async def test_a_job_for_which_an_agent_is_kept_begins_elsewhere_if_there_is_room(store: Store) -> None:
    await keep(store)
    assert await given(store, "b", 4, 62) == ["large"]
    assert await given(store, "a", 2, 63) == ["0", "1"]
