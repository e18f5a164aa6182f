"""What managers of the release before do to a queue. Runs with the modules of that release: `python old_store.py fill|spoil|back URL [JSON]`."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from copilot.errors import StoreError
from copilot.job import Cause, JobSpec, Outcome
from copilot.store.base import Held, Parking
from copilot.store.redis import RedisStore

AGENT = "old@x"
HOST = "[ Memory = 4000; ]"
OFTEN = 6  # handed back, a job waits for a while


async def claim(store: RedisStore, count: int = 1) -> list[list[Any]]:
    given = await store.claim(
        agent=AGENT,
        request=f"old-{time.monotonic_ns()}",
        dispatch_limit=60.0,
        count=count,
        lease=60.0,
        host=HOST,
        park=Parking(jid=f"{AGENT}/1"),
    )
    return [[one.spec.id, one.attempt] for one in given]


async def fill(store: RedisStore) -> object:
    """A queue with jobs in every state that there was."""
    await store.submit([JobSpec(id="later", command="c")])
    for _ in range(OFTEN):
        ((job, attempt),) = await claim(store)
        await store.hand_back(job, attempt, cause=Cause.INFRA_UNDELIVERED)
    await store.submit([JobSpec(id=job, command="c") for job in ("done", "failed", "running", "ending")])
    given = await claim(store, 4)
    outcomes = (Outcome(cause=Cause.OK, exit_code=0), Outcome(cause=Cause.USER_EXIT, exit_code=1))
    for (job, attempt), outcome in zip(given, outcomes, strict=False):
        await store.finish(job, attempt, outcome)
    for job, attempt in given[2:]:
        await store.confirm(job, attempt, max_run_time=3600.0)
    await store.cancel("ending")
    await store.submit(
        [JobSpec(id=job, command="c") for job in ("held", "cancelled", "waiting-1", "waiting-2")]
    )
    await store.hold("held")
    await store.cancel("cancelled")
    asking = {"asking": "other.Memory >= 2000", "nowhere": "other.Memory >= 1000000"}
    await store.submit([JobSpec(id=job, command="c", requirements=text) for job, text in asking.items()])
    return given[2:]


async def spoil(store: RedisStore) -> object:
    """What managers that were forgotten go on with; what came of each."""
    (job, attempt), (unsure, its_attempt) = json.loads(sys.argv[3])
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "claim": lambda: claim(store, 100),
        "dispatch": lambda: store.dispatch(dispatch_limit=60.0),
        "reap": lambda: store.reap(now=time.time() + 86400.0),
        "finish": lambda: store.finish(job, attempt, Outcome(cause=Cause.OK, exit_code=0)),
        "hand back": lambda: store.hand_back(unsure, its_attempt, cause=Cause.INFRA_UNDELIVERED),
        "renew": lambda: store.renew("new@x", [Held(job=job, attempt=attempt, phase="run")]),
        "cancel what runs": lambda: store.cancel(job),
        "cancel what waits": lambda: store.cancel("plain"),
        "hold": lambda: store.hold("kept"),
    }
    results = {}
    for name, call in calls.items():
        try:
            results[name] = repr(await call())
        except StoreError:
            results[name] = "refused"
    return results


async def back(store: RedisStore) -> object:
    """Managers of that release are here again, and do a job."""
    await store.submit([JobSpec(id="again", command="c")])
    given = await claim(store, 10)
    await store.dispatch(dispatch_limit=60.0)
    await store.reap(now=time.time() + 1.0)
    return {
        job: (await store.finish(job, attempt, Outcome(cause=Cause.OK, exit_code=0))).state
        for job, attempt in given
    }


async def main() -> None:
    store = RedisStore.from_url(sys.argv[2])
    try:
        result = await {"fill": fill, "spoil": spoil, "back": back}[sys.argv[1]](store)
        sys.stdout.write(json.dumps(result))
    finally:
        await store.close()


if __name__ == "__main__":
    asyncio.run(main())
