"""Watching any number of jobs through the store's event stream, with one reader for all of them.

Whoever waits for a job looks at its record first, and again when an event tells of it. The stream is bounded: what nobody has
read is gone. So whenever something may have been missed all that are waited for are looked at, and some of them now and
then without a reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterator

from copilot.client.follow import just_before
from copilot.errors import StoreUnavailable
from copilot.job import Event, EventKind, JobRecord, State
from copilot.log import rate_limited
from copilot.store.base import Store

BLOCK = 5.0  # s that one look at the stream waits for news
PAGE = 1000  # events in one answer
LOOKED_AT = 100  # jobs that are looked at without a reason each `BLOCK` seconds
GAP = 60.0  # s between two looks after which the stream may have gone on without us
RETRY = 2.0  # s until the store is asked again when it does not answer

ENDS = frozenset({EventKind.DONE, EventKind.FAILED, EventKind.CANCELLED, EventKind.PUBLISHED})
BEGINS = frozenset({EventKind.CLAIMED, EventKind.RUNNING, EventKind.REVIVED})

log = logging.getLogger("copilot.client")

Listener = Callable[[Event | None], None]  # None: something may have been missed, so look


class Watch:
    """One reader of the events of `store`. Belongs to one event loop; reads only while somebody listens."""

    def __init__(self, store: Store, *, block: float = BLOCK) -> None:
        self._store = store
        self._block = block
        self._listeners: dict[str, set[Listener]] = {}
        self._reader: asyncio.Task[None] | None = None
        self._after = "0"
        self._failure: Exception | None = None

    @contextlib.contextmanager
    def listening(self, job: str, listener: Listener) -> Iterator[None]:
        """While inside, `listener` is called for each event of `job` that is written after `begin` was called for it, or for any
        other job."""
        self._listeners.setdefault(job, set()).add(listener)
        try:
            yield
        finally:
            mine = self._listeners[job]
            mine.discard(listener)
            if not mine:
                del self._listeners[job]
            if not self._listeners and self._reader is not None:
                self._reader.cancel()
                self._reader = None

    def begin(self, record: JobRecord) -> None:
        """Have the stream read, from the submission of this job on if it is not read yet."""
        if self._reader is None and self._listeners:
            self._after = just_before(record.first_event)
            self._reader = asyncio.create_task(self._read_or_tell())

    async def ended(
        self, job: str, *, begun: Callable[[], None] = lambda: None, published: bool = False
    ) -> JobRecord | None:
        """The record of a job that is over; None if it is not known. `begun` is called, perhaps more than once, when an agent has
        got it. `published`: wait until its finisher has taken its result, too.

        An outage of the store is waited for. Raises `ConfigError` if it refuses us.
        """
        stir = asyncio.Event()

        def listener(event: Event | None) -> None:
            if event is None or event.kind in ENDS:
                stir.set()
            elif event.kind in BEGINS:
                begun()

        with self.listening(job, listener):
            while True:
                stir.clear()
                record = await self._get(job)
                if record is None or (record.state.final and (record.published or not published)):
                    return record
                if record.state is State.RUNNING:
                    begun()
                self.begin(record)
                await stir.wait()
                if self._failure is not None:
                    raise self._failure

    async def close(self) -> None:
        """End the reader. Idempotent."""
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.cancel()
            await asyncio.wait([reader])

    async def _get(self, job: str) -> JobRecord | None:
        while True:
            try:
                return await self._store.get(job)
            except StoreUnavailable as error:
                rate_limited(log, "watch", logging.WARNING, "%s; asking again in %g s", error, RETRY)
                await asyncio.sleep(RETRY)

    async def _read_or_tell(self) -> None:
        try:
            await self._read()
        except Exception as error:  # noqa: BLE001  # whoever waits has to hear of it
            self._failure = error
            self._stir(len(self._listeners))

    async def _read(self) -> None:
        read = swept = time.monotonic()
        while True:
            try:
                events = await self._store.events(after=self._after, block=self._block, count=PAGE)
                now = time.monotonic()
                missed = (len(events) == PAGE or now - read > GAP) and await self._has_gone_on()
            except StoreUnavailable as error:
                rate_limited(log, "watch", logging.WARNING, "%s; asking again in %g s", error, RETRY)
                await asyncio.sleep(RETRY)
                self._stir(
                    len(self._listeners)
                )  # another server may have taken over, without the last events
                continue
            read = now
            for event in events:
                for listener in tuple(self._listeners.get(event.job, ())):
                    listener(event)
            if events:
                self._after = events[-1].id
            if missed:
                self._stir(len(self._listeners))
            elif now - swept >= self._block:
                swept = now
                self._stir(LOOKED_AT)

    async def _has_gone_on(self) -> bool:
        """Whether the stream does not hold any more what comes after the last event that we have read."""
        oldest = await self._store.events(after="0", count=1)
        return bool(oldest) and _order(oldest[0].id) > _order(self._after)

    def _stir(self, count: int) -> None:
        """Have so many jobs looked at, those first that were not for longest."""
        for job in list(self._listeners)[:count]:
            listeners = self._listeners.pop(job)
            self._listeners[job] = listeners  # to the end of the line
            for listener in tuple(listeners):
                listener(None)


def _order(ident: str) -> tuple[int, int]:
    milliseconds, number = map(int, ident.split("-"))
    return milliseconds, number
