"""The events of one job, from a stream in which those of all jobs stand.

Nobody reads a hundred thousand entries for a few. The first ones behind the submission are read; for the rest, the
record says when something happened, and at these times a look is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from copilot.job import Attempt, Event, JobRecord
from copilot.store.base import Store
from copilot.store.places import entry_order

PART = 500  # entries at once
FIRST_PARTS = 3
MOST_PARTS = 10  # 5,000 entries at most
PARTS_OF_WINDOW = 1
BEFORE, AFTER = 0.01, 1.0  # s around a time; an entry is written within milliseconds of it
LAST_NUMBER = 2**64 - 1  # of the entries of one millisecond (Redis, XADD)


async def story_of(store: Store, record: JobRecord, attempts: Sequence[Attempt]) -> tuple[Event, ...]:
    """What the stream still tells of a job, as far as it is found with `MOST_PARTS` reads. Raises as `Store.told`."""
    job = record.spec.id
    found: dict[str, Event] = {}
    place, more, left = _just_before(record.first_event), True, MOST_PARTS

    async def read(parts: int, until: float) -> None:
        nonlocal place, more, left
        for _ in range(min(parts, left)):
            part = await store.told(job, after=place, count=PART)
            left -= 1
            found.update((event.id, event) for event in part.events)
            place, more = part.last or place, part.looked_at == PART
            if not more or _milliseconds(place) > until:
                break

    await read(FIRST_PARTS, float("inf"))
    for begin, end in _windows(record, attempts):
        if not more or left == 0:
            break
        if end > _milliseconds(place):
            place = max(place, f"{begin}-0", key=_milliseconds)
            await read(PARTS_OF_WINDOW, end)
    return tuple(sorted(found.values(), key=lambda event: entry_order(event.id)))


def _windows(record: JobRecord, attempts: Sequence[Attempt]) -> Iterator[tuple[int, int]]:
    """When something happened to the job, in milliseconds; the ends of its last attempts are the most interesting."""
    times = {time for one in attempts[-5:] for time in (one.claimed, one.ended)}
    times |= {time for time in (record.claimed, record.finished) if time is not None}
    for time in sorted(times):
        yield int((time - BEFORE) * 1000), int((time + AFTER) * 1000)


def _milliseconds(event: str) -> int:
    return entry_order(event)[0]


def _just_before(event: str) -> str:
    """The position in the stream after which `event` (`<milliseconds>-<number>`) comes first."""
    milliseconds, number = entry_order(event)
    return f"{milliseconds}-{number - 1}" if number else f"{max(0, milliseconds - 1)}-{LAST_NUMBER}"
