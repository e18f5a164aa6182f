"""A manager takes the queue over (decision 25). What that keeps managers of the version before from: `tests/versions/`."""

from __future__ import annotations

import pytest

from copilot.job import JobSpec, State
from copilot.store.base import Store
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures
from tests.contract.store_fixtures import client_of

store, shared_server = store_fixtures.store, store_fixtures.shared_server
T = 1_800_000_000.0


async def claim(store: Store, request: str) -> list[str]:
    given = await store.claim(agent="a@x", request=request, dispatch_limit=60.0, lease=60.0, now=T)
    return [one.spec.id for one in given]


async def test_jobs_go_on_whatever_happened_before_and_however_often_it_is_taken(store: Store) -> None:
    await store.submit([JobSpec(id="one", command="c"), JobSpec(id="two", command="c")], now=T)
    assert await claim(store, "r1") == ["one"]
    await store.cancel("one", now=T)
    for _ in range(2):
        await store.take_over()
    assert [one.job for one in await store.cancelling()] == ["one"]
    assert await claim(store, "r2") == ["two"]
    assert {event.job for event in await store.reap(now=T + 61.0)} == {"one", "two"}
    (waiting,) = (await store.page(State.WAITING)).rows
    assert waiting.job == "two"


async def test_what_was_written_while_the_fence_was_away_is_there(store: Store) -> None:
    if not isinstance(store, RedisStore):
        pytest.skip("there is no other version here")
    prefix = store._keys.job("").removesuffix("job:")
    async with client_of(store) as client:
        await client.zadd(f"{prefix}running-2", {"a": 5.0, "b": 1.0})
        await client.zadd(f"{prefix}running", {"a": 9.0, "c": 2.0})
        await client.zadd(f"{prefix}delayed", {"d": 3.0})
        await store.take_over()
        assert await client.zrange(f"{prefix}running-2", 0, -1, withscores=True) == [
            ("b", 1.0),
            ("c", 2.0),
            ("a", 9.0),
        ]
        assert await client.zrange(f"{prefix}delayed-2", 0, -1, withscores=True) == [("d", 3.0)]
