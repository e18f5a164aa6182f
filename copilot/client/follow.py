"""Following a job through the store's event stream."""

from __future__ import annotations

from collections.abc import AsyncIterator

from copilot.job import Event, JobRecord
from copilot.store.base import Store

LOOK_AGAIN = 5.0  # s without news until the record itself is looked at
PAGE = 1000
LAST_NUMBER = 2**64 - 1  # of the events of one millisecond (Redis, XADD)


async def follow(store: Store, job: str, *, after: str | None = None) -> AsyncIterator[Event]:
    """The events of `job` from its submission, or after the event with the id `after`, until nothing more will
    happen to it.

    The stream is bounded: a follower that falls far behind may miss events, but never the end, because that stands
    in the record. For a job that is not known there is nothing to follow. Raises as `Store.events` and `Store.get`.
    """
    if after is None:
        record = await store.get(job)
        if record is None:
            return
        after = just_before(record.first_event)
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


def just_before(event: str) -> str:
    """The position in the stream after which `event` (`<milliseconds>-<number>`) comes first."""
    milliseconds, number = map(int, event.split("-"))
    return f"{milliseconds}-{number - 1}" if number else f"{milliseconds - 1}-{LAST_NUMBER}"


def at_rest(record: JobRecord) -> bool:
    """Whether the job has ended and its output, if it has one, lies in its place."""
    has_output = record.outcome is not None and record.outcome.output is not None
    return record.state.final and (record.published or not has_output)
