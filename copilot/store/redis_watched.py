"""What somebody wants to see of outputs, in Redis: see `copilot.store.watched`."""

from __future__ import annotations

import abc
from base64 import b64decode, b64encode
from typing import Any

from copilot.job import State
from copilot.store import rules
from copilot.store.redis_survey import rows_of
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

FULL = "full"


class RedisWatched(Watched, abc.ABC):
    """Part of `RedisStore`."""

    @abc.abstractmethod
    async def _run(self, name: str, now: float | None, *arguments: str | float | bytes) -> Any:
        """Run a script."""

    async def watch(
        self, job: str, stream: Stream, *, attempt: int = 0, offset: int = 0, now: float | None = None
    ) -> Seen:
        """Somebody wants to see this: see `Watched.watch`."""
        numbers = round(WATCH_KEPT), MOST_WATCHES, BACKLOG, CHUNKS_AT_ONCE
        state, *more = await self._run("watch", now, job, stream.value, attempt, offset, *numbers)
        if state == FULL:
            raise rules.too_many_watches(MOST_WATCHES)
        current, heard, size, note, entries = more
        return Seen(
            state=State(state) if state else None,
            attempt=int(current),
            heard_attempt=int(heard),
            size=int(size),
            note=note,
            chunks=tuple(_chunk(ident, fields) for ident, fields in entries),
        )

    async def wanted(self, limit: int = 100, *, now: float | None = None) -> Wishes:
        """What is to be asked for: see `Watched.wanted`."""
        flat, due = await self._run("wanted", now, rules.check_count("limit", limit), ASK_EVERY)
        wanted = tuple(
            Wanted(
                job=job,
                stream=Stream(stream),
                attempt=int(attempt),
                agent=agent,
                offset=int(offset),
                leased=bool(leased),
            )
            for job, stream, attempt, agent, offset, leased in rows_of(6, flat)
        )
        return Wishes(wanted=wanted, next=float(due) if due else None)

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
        said = stream.value, attempt, offset, len(data), b64encode(data).decode("ascii"), size, note
        return bool(await self._run("shown", now, job, *said, round(WATCH_KEPT), CHUNKS_KEPT))


def _chunk(ident: str, fields: list[str]) -> Chunk:
    attempt, offset = ident.split("-")
    data = b64decode(dict(zip(fields[::2], fields[1::2], strict=True))["data"])
    return Chunk(attempt=int(attempt), offset=int(offset), data=data)
