"""One job's events are found in a long stream, with a bounded number of reads."""

from __future__ import annotations

from collections.abc import Callable

from copilot.job import Cause, EventKind, Outcome
from copilot.monitor.story import FIRST_PARTS, MOST_PARTS, PART, story_of
from copilot.store.redis import RedisStore
from copilot.store.survey import Told
from tests.contract import store_fixtures
from tests.contract.store_fixtures import RedisServer, new_prefix, spec

shared_server = store_fixtures.shared_server

NOISE = PART * (FIRST_PARTS + 1)


class Counting(RedisStore):
    """Counts what is read of the stream."""

    reads = 0

    async def told(self, job: str, *, after: str = "0", count: int = 1000) -> Told:
        self.reads += 1
        return await super().told(job, after=after, count=count)


async def test_the_times_in_the_record_lead_to_the_events(
    shared_server: Callable[[str], RedisServer],
) -> None:
    store = Counting.from_url(shared_server("redis-server").url, prefix=new_prefix())
    try:
        await store.submit([spec(priority=9)])
        await noise(store, "a")
        await store.claim(agent="a@x", request="1", dispatch_limit=60, lease=60.0)
        await store.confirm("job-1", 1, max_run_time=60)
        await noise(store, "b")
        await store.finish("job-1", 1, Outcome(cause=Cause.OK, exit_code=0))
        await noise(store, "c")
        record = await store.get("job-1")
        assert record is not None
        events = await story_of(store, record, await store.attempts("job-1"))
        assert [event.kind for event in events] == [
            EventKind.SUBMITTED, EventKind.CLAIMED, EventKind.RUNNING, EventKind.DONE,
        ]  # fmt: skip
        assert store.reads <= MOST_PARTS
    finally:
        await store.close()


async def noise(store: RedisStore, name: str) -> None:
    """More entries than are read behind the submission."""
    for first in range(0, NOISE, 500):
        await store.submit([spec(f"{name}{number}") for number in range(first, first + 500)])
