"""Small outputs that the store keeps until their finisher has them: the same in every version of the queue."""

from __future__ import annotations

import pytest

from copilot.job import Cause, Outcome, Output, State
from copilot.store.base import Store, Verdict
from tests.contract import store_fixtures
from tests.contract.store_fixtures import spec

store, shared_server, redis_program, server = (
    store_fixtures.store,
    store_fixtures.shared_server,
    store_fixtures.redis_program,
    store_fixtures.server,
)

T = 1_800_000_000.0
PACKAGE = "cGFja2Vk"
OUTPUT = Output(size=6, sha256="0" * 64)
OK = Outcome(cause=Cause.OK, exit_code=0, output=OUTPUT)
LOST = Outcome(cause=Cause.INFRA_LOST, exit_code=1, output=OUTPUT)


async def begin(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    assert len(await store.claim(agent="agent@x", request="r", dispatch_limit=60, now=T)) == 1


async def test_the_package_of_a_job_that_is_over_is_kept_until_it_is_published(store: Store) -> None:
    await begin(store)
    assert await store.package("job-1") is None
    await store.finish("job-1", 1, OK, package=PACKAGE, now=T)
    assert await store.package("job-1") == PACKAGE
    assert await store.publish("job-1", now=T)
    assert await store.package("job-1") is None


@pytest.mark.parametrize("attempt", [1, 2])
async def test_a_report_that_does_not_count_changes_no_package(store: Store, attempt: int) -> None:
    await begin(store)
    await store.finish("job-1", 1, OK, package=PACKAGE, now=T)
    settled = await store.finish("job-1", attempt, OK, package="b3RoZXI=", now=T)
    assert settled.verdict is not Verdict.ACCEPTED
    assert await store.package("job-1") == PACKAGE


async def test_of_a_job_that_runs_once_more_no_package_is_kept(store: Store) -> None:
    await begin(store)
    settled = await store.finish("job-1", 1, LOST, package=PACKAGE, now=T)
    assert settled.state is State.WAITING
    assert await store.package("job-1") is None


async def test_of_a_job_that_is_cancelled_instead_no_package_is_kept(store: Store) -> None:
    await begin(store)
    await store.cancel("job-1", now=T)
    settled = await store.finish("job-1", 1, LOST, package=PACKAGE, now=T)
    assert settled.state is State.CANCELLED
    assert settled.record is not None
    assert settled.record.outcome is not None
    assert settled.record.outcome.output is None
    assert await store.package("job-1") is None
