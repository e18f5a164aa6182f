"""What somebody wants to see of outputs, in memory: see `copilot.store.watched`."""

from __future__ import annotations

import abc
from dataclasses import field

from copilot.job import State
from copilot.records import dataclass
from copilot.store import rules
from copilot.store.memory_rows import Job
from copilot.store.watched import (
    ASK_EVERY,
    BACKLOG,
    CHUNKS_AT_ONCE,
    CHUNKS_KEPT,
    MOST_WATCHES,
    WATCH_KEPT,
    Chunk,
    Seen,
    Stream,
    Wanted,
    Watched,
    Wishes,
    check_shown,
)

ORDERS = "orders"


@dataclass(slots=True)
class Watch:
    """A wish; fields as those of its hash (watch.lua)."""

    until: float
    attempt: int
    offset: int
    heard: int = 0
    size: int = 0
    note: str = ""
    chunks: list[Chunk] = field(default_factory=list)


class MemoryWatched(Watched, abc.ABC):
    """Part of `MemoryStore`, over its tables."""

    _jobs: dict[str, Job]
    _watches: dict[tuple[Stream, str], Watch]
    _due: dict[tuple[Stream, str], float]

    @abc.abstractmethod
    def _begin(self, now: float | None) -> float:
        """A call begins; the time."""

    @abc.abstractmethod
    def _give_hint(self, word: str = "") -> None:
        """There is something to do: see `Store.hints`."""

    def _hint_orders(self) -> None:
        """Managers are to tell agents something at once."""
        self._give_hint(ORDERS)

    async def watch(
        self, job: str, stream: Stream, *, attempt: int = 0, offset: int = 0, now: float | None = None
    ) -> Seen:
        """Somebody wants to see this: see `Watched.watch`."""
        time, known, name = self._begin(now), self._jobs.get(job), (stream, job)
        if known is None:
            return Seen(state=None)
        for old in [old for old, watch in self._watches.items() if watch.until <= time]:
            del self._watches[old]
        record = known.record
        if not record.state.final:
            if name not in self._watches:
                if len(self._due) >= MOST_WATCHES:
                    raise rules.too_many_watches(MOST_WATCHES)
                self._watches[name] = Watch(until=0.0, attempt=record.attempt, offset=-BACKLOG)
            self._watches[name].until = time + WATCH_KEPT
            if name not in self._due:
                self._due[name] = time
                self._hint_orders()
        watch = self._watches.get(name) or Watch(until=0.0, attempt=0, offset=0)
        here = (attempt, offset if attempt else 0)
        chunks = [chunk for chunk in watch.chunks if (chunk.attempt, chunk.offset) >= here]
        return Seen(
            state=record.state,
            attempt=record.attempt,
            heard_attempt=watch.heard,
            size=watch.size,
            note=watch.note,
            chunks=tuple(chunks[:CHUNKS_AT_ONCE]),
        )

    async def wanted(self, limit: int = 100, *, now: float | None = None) -> Wishes:
        """What is to be asked for: see `Watched.wanted`."""
        rules.check_count("limit", limit)
        time = self._begin(now)
        due = sorted((when, f"{stream}:{job}", stream, job) for (stream, job), when in self._due.items())
        found = []
        for _, _, stream, job in [one for one in due if one[0] <= time][:limit]:
            watch, known = self._watches.get((stream, job)), self._jobs.get(job)
            if watch is None or watch.until <= time or known is None or known.record.state.final:
                del self._due[stream, job]
                continue
            self._due[stream, job] = time + ASK_EVERY
            if known.record.state is State.RUNNING and known.confirmed is not None:
                found.append(_wanted(watch, known, stream))
        return Wishes(wanted=tuple(found), next=min(self._due.values(), default=None))

    async def shown(
        self,
        job: str,
        stream: Stream,
        attempt: int,
        *,
        offset: int = 0,
        data: bytes = b"",
        size: int = 0,
        note: str = "",
        now: float | None = None,
    ) -> bool:
        """An agent has shown this: see `Watched.shown`."""
        check_shown(offset, data, size)
        time, name = self._begin(now), (stream, job)
        watch = self._watches.get(name)
        if watch is None or watch.until <= time or watch.attempt != attempt or offset < watch.offset:
            return False
        watch.heard, watch.size, watch.note = attempt, size, note
        if note:
            return False
        watch.offset = offset + len(data)
        if not data:
            return False
        watch.chunks = [*watch.chunks, Chunk(attempt=attempt, offset=offset, data=data)][-CHUNKS_KEPT:]
        if size <= watch.offset:
            return False
        if name in self._due:
            self._due[name] = time
        return True


def _wanted(watch: Watch, job: Job, stream: Stream) -> Wanted:
    """From the beginning, if the attempt is newer than the wish."""
    record = job.record
    if watch.attempt != record.attempt:
        watch.attempt, watch.offset, watch.note, watch.size = record.attempt, 0, "", 0
    return Wanted(
        job=record.spec.id,
        stream=stream,
        attempt=record.attempt,
        agent=record.agent or "",
        offset=watch.offset,
        leased=job.lease is not None,
    )
