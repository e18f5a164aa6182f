"""Who waits for news of which job: they are told when its state changes, instead of asking again and again.

Each instance looks for those that have asked it, a bounded number at a time. What it forgets costs its asker a question.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence

from copilot.job import JobRecord
from copilot.records import dataclass
from copilot.store.base import Store

LOOK_EVERY = 1.0  # s
LOOKED_AT_ONCE = 200  # jobs
MOST_WATCHED = 2000
LONGEST_WATCH = 600.0  # s


@dataclass(frozen=True, slots=True)
class Watched:
    """A full JID that waits for news of a job."""

    jid: str
    job: str


@dataclass(slots=True)
class _Known:
    """Until when, and what it was told last."""

    until: float
    told: object


class Watching:
    """Times in seconds of a clock that never jumps."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._all: OrderedDict[Watched, _Known] = OrderedDict()  # those that were looked at longest ago first
        self._next = 0.0

    def wakeup(self) -> float | None:
        """When to look; None: nobody waits."""
        return self._next if self._all else None

    def due(self, now: float) -> bool:
        """Whether it is time to look; then `news` has to be called."""
        return bool(self._all) and self._next <= now

    def add(self, jid: str, record: JobRecord, seconds: float, now: float) -> None:
        """This full JID was told this, and wants to hear of changes for so long."""
        one = Watched(jid, record.spec.id)
        self._all.pop(one, None)
        if seconds > 0 and not at_rest(record):
            self._all[one] = _Known(now + min(seconds, LONGEST_WATCH), _essence(record))
            self._next = max(self._next, now + LOOK_EVERY)
        while len(self._all) > MOST_WATCHED:
            self._all.popitem(last=False)

    def forget(self, one: Watched) -> None:
        """Nobody waits there any more."""
        self._all.pop(one, None)

    def clear(self) -> None:
        """Nobody waits any more."""
        self._all.clear()

    async def news(self, now: float) -> Sequence[tuple[Watched, JobRecord]]:
        """What has changed since they were told. Raises `StoreUnavailable`."""
        self._next = now + LOOK_EVERY
        for one in [one for one, known in self._all.items() if known.until <= now]:
            del self._all[one]
        batch = list(self._all)[:LOOKED_AT_ONCE]
        for one in batch:
            self._all.move_to_end(one)
        found = []
        for one, record in zip(batch, await self._records([one.job for one in batch]), strict=True):
            known = self._all.get(one)
            if record is None or at_rest(record):
                self._all.pop(one, None)
            if record is None or known is None or known.told == _essence(record):
                continue
            known.told = _essence(record)
            found.append((one, record))
        return found

    async def _records(self, jobs: Sequence[str]) -> list[JobRecord | None]:
        return await asyncio.gather(*map(self._store.get, jobs))  # they go to Redis together


def at_rest(record: JobRecord) -> bool:
    """Whether the job is over and its result where it belongs: no more news, unless somebody has it run once more."""
    return record.state.final and record.published


def _essence(record: JobRecord) -> object:
    return record.state, record.attempt, record.published
