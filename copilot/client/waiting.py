"""Waiting for the end of many jobs with one reader of the event stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence

from copilot.errors import StoreUnavailable, UnknownJob
from copilot.job import JobRecord
from copilot.store.base import Store

LOOK_AGAIN = 5.0  # s without a look at the records themselves, for the stream is bounded
SOON = 1.0  # s until the second look: what ended between the first one and the first event would else be seen late
PAGE = 1000
STORE_RETRY = 5.0  # s


async def wait_all(
    store: Store, jobs: Collection[str], *, ended: Callable[[JobRecord], None] = lambda _: None
) -> Mapping[str, JobRecord]:
    """The records of these jobs at their ends; `ended` hears of each as it comes. A queue that is away is waited for. Raises
    `UnknownJob`: a job that is not known, or no longer."""
    over: dict[str, JobRecord] = {}
    left = dict.fromkeys(jobs)
    loop = asyncio.get_running_loop()

    async def look(at: Sequence[str]) -> None:
        for begin in range(0, len(at), PAGE):
            part = at[begin : begin + PAGE]
            for job, record in zip(part, await asyncio.gather(*map(store.get, part)), strict=True):
                if record is None:
                    raise UnknownJob(
                        f"job {job} is not known: look for a typing error; records of old jobs are removed"
                    )
                if record.state.final and job in left:
                    del left[job]
                    over[job] = record
                    ended(record)

    after, next_look, gap = "$", 0.0, SOON
    while left:
        try:
            if loop.time() >= next_look:
                await look(tuple(left))
                next_look, gap = loop.time() + gap, LOOK_AGAIN
                continue
            pause = max(0.01, next_look - loop.time())
            events = await store.events(after=after, block=pause, count=PAGE)
            if events:
                after = events[-1].id
                await look([job for job in dict.fromkeys(event.job for event in events) if job in left])
        except StoreUnavailable:
            await asyncio.sleep(STORE_RETRY)
    return {job: over[job] for job in jobs}
