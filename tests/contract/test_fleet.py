"""Whole fleets against the queue: the same answers in memory and in Redis, nobody has too much, nobody is idle who could have a job."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.contract import fleet, store_fixtures
from tests.contract.store_fixtures import RedisServer

shared_server = store_fixtures.shared_server


@pytest.mark.parametrize("seed", range(3))
async def test_a_fleet(seed: int, shared_server: Callable[[str], RedisServer]) -> None:
    assert await fleet.run(seed, shared_server("redis-server").url) > 10
