"""One queue in Redis, and the stores of both versions: what the older one has left, and what it may no longer do."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import redis

from copilot.errors import ConfigError
from copilot.job import Cause, JobSpec, Outcome, State
from copilot.matching.groups import group_of
from copilot.store.base import Claimed, Parking
from copilot.store.format import FORMAT
from copilot.store.redis import RedisStore
from tests.versions import old_store
from tests.versions.both import WAY_BACK
from tests.versions.previous import Release

OK = Outcome(cause=Cause.OK, exit_code=0)
KEPT = JobSpec(id="kept", command="c")
LONGEST_DELAY_S = 300.0
_numbers = itertools.count()


@pytest.fixture
async def store(redis_url: str) -> AsyncIterator[RedisStore]:
    """Of this version; nobody has looked at the queue yet."""
    store = RedisStore.from_url(redis_url)
    yield store
    await store.close()


def by_old(old: Release, *words: str) -> Any:
    """What `old_store.py` says when it runs with the modules of the release before."""
    return json.loads(old.run_file(Path(old_store.__file__), *words))


async def claim(store: RedisStore, count: int = 100, now: float | None = None) -> dict[str, Claimed]:
    given = await store.claim(
        agent="new@x",
        request=f"r{next(_numbers)}",
        dispatch_limit=60.0,
        count=count,
        lease=60.0,
        host=old_store.HOST,
        park=Parking(jid="new@x/1"),
        now=now,
    )
    return {one.spec.id: one for one in given}


async def test_what_the_release_before_has_left_is_all_there_and_ends(
    store: RedisStore, redis_url: str, old: Release
) -> None:
    running = dict(by_old(old, "fill", redis_url))
    await store.take_over()
    assert await states(store) == {
        "done": State.DONE,
        "failed": State.FAILED,
        "running": State.RUNNING,
        "ending": State.RUNNING,
        "held": State.HELD,
        "cancelled": State.CANCELLED,
        **dict.fromkeys(("later", "waiting-1", "waiting-2", "asking", "nowhere"), State.WAITING),
    }
    assert [one.job for one in await store.cancelling()] == ["ending"]
    for job, attempt in running.items():
        await store.finish(job, attempt, OK)
    assert (await store.release("held")).changed
    await store.publish("failed")
    assert (await store.retry("failed")).changed
    given = await claim(store)
    assert set(given) == {"held", "failed", "waiting-1", "waiting-2", "asking"}
    for job, one in given.items():
        await store.finish(job, one.attempt, OK)
    assert set(await claim(store, now=time.time() + LONGEST_DELAY_S)) == {"later"}


async def test_managers_of_the_release_before_lose_nothing_beside_new_ones(
    store: RedisStore, redis_url: str, old: Release
) -> None:
    await store.take_over()
    await store.submit([JobSpec(id=job, command="c") for job in ("first", "unsure")])
    given = await claim(store, 3)
    await store.confirm("first", given["first"].attempt, max_run_time=3600.0)
    await store.submit(
        [
            JobSpec(id="plain", command="c", cores=1000),
            KEPT,
            JobSpec(id="sim", command="c", array=5),
            JobSpec(id="asking", command="c", array=5, requirements="other.Memory >= 2000"),
            JobSpec(id="next", command="c", after=("first",)),
        ]
    )
    before = everything(redis_url)
    results = by_old(old, "spoil", redis_url, json.dumps([[job, one.attempt] for job, one in given.items()]))
    assert set(results.values()) == {"refused"}, results
    after = everything(redis_url)
    # What a wish or a report has left in the record of its job; all that counts jobs is as it was. What was to be held is out of its queue.
    assert {key for key, value in after.items() if before[key] != value} == {
        "copilot:job:first",
        "copilot:job:unsure",
        f"copilot:queue:{group_of(KEPT)}",
    }
    assert before.keys() == after.keys()

    assert (await store.cancel("first")).changed  # an old manager had begun to
    assert [one.job for one in await store.cancelling()] == ["first"]
    for job, one in given.items():
        await store.finish(job, one.attempt, OK)
    assert (await store.cancel("plain")).changed
    ended = await claim(store)
    await store.hold("kept")
    await store.release("kept")
    ended |= await claim(store)
    assert set(ended) == {
        "next",
        "kept",
        *(f"{array}.{index}" for array in ("sim", "asking") for index in range(5)),
    }
    for job, one in ended.items():
        await store.finish(job, one.attempt, OK)
    assert await store.waiting() == 0


async def test_a_queue_of_a_newer_version_is_left_alone(store: RedisStore, redis_url: str) -> None:
    await store.take_over()
    with redis.Redis.from_url(redis_url) as connection:
        connection.set("copilot:format", f"{FORMAT + 1} 9.9")
    with pytest.raises(ConfigError, match=rf"format {FORMAT + 1}, by Co-Pilot 9\.9"):
        await store.take_over()


async def test_the_release_before_has_a_dry_queue_again_when_the_fence_is_taken_away(
    store: RedisStore, redis_url: str, old: Release
) -> None:
    await store.take_over()
    await store.submit(
        [JobSpec(id="tagged", command="c", tags=("t",)), JobSpec(id="sim", command="c", array=2)]
    )
    given = await claim(store)
    for job, one in given.items():
        await store.finish(job, one.attempt, OK)
        await store.publish(job)
    with redis.Redis.from_url(redis_url) as connection:
        connection.delete(*WAY_BACK)
    assert by_old(old, "back", redis_url) == {"again": "done"}
    await store.take_over()
    assert await states(store) == dict.fromkeys((*given, "again"), State.DONE)


async def states(store: RedisStore) -> dict[str, State]:
    found = {}
    for state in State:
        found.update({row.job: state for row in (await store.page(state)).rows})
    return found


def everything(url: str) -> dict[str, Any]:
    with redis.Redis.from_url(url, decode_responses=True) as connection:
        return {
            key: connection.execute_command("DUMP", key, NEVER_DECODE=True) for key in connection.scan_iter()
        }
