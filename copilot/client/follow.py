"""Following a job through the store's event stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from copilot.job import Event, JobRecord
from copilot.store.base import Store

LOOK_AGAIN = 5.0  # s without news until the record itself is looked at
PAGE = 1000


async def follow(store: Store, job: str, *, after: str) -> AsyncIterator[Event]:
    """The events of `job` that come after the stream's position `after`, until nothing more will happen to it.

    The stream is bounded: a follower that falls far behind may miss events, but never the end, because that stands
    in the record. For a job that is not known there is nothing to follow. Raises as `Store.events` and `Store.get`.
    """
    ended = False
    while True:
        events = await store.events(after=after, block=0.0 if ended else LOOK_AGAIN, count=PAGE)
        for event in events:
            after = event.id
            if event.job == job:
                yield event
        if len(events) == PAGE:
            continue  # there is more to read
        if ended:
            return
        record = await store.get(job)
        ended = record is None or at_rest(record)  # then once more, for what was written before we looked


def at_rest(record: JobRecord) -> bool:
    """Whether the job has ended and its output, if it has one, lies in its place."""
    has_output = record.outcome is not None and record.outcome.output is not None
    return record.state.final and (record.published or not has_output)
