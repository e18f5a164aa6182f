"""Following what happens in the queue: the event stream, from its oldest entry on, and what is made of it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Sequence

from copilot.clock import Clock
from copilot.errors import CopilotError
from copilot.job import Event, EventKind
from copilot.monitor.board import SHOWN, Rates, Waits
from copilot.monitor.history import COARSE, Series
from copilot.monitor.holdings import Holdings
from copilot.monitor.sketch import Spans
from copilot.monitor.tallies import Tallies
from copilot.store.base import Store

BATCH = 1000  # entries
BLOCK = 1.0  # s to wait for news
LONGEST_PAUSE = 10.0  # s between two tries while the store is away
RATES_OVER = 10  # s
FAILURES_OVER = 60  # min
PERCENTILES = (0.5, 0.9, 0.99)

_COUNTED = {EventKind.SUBMITTED: "submitted", EventKind.DONE: "done", EventKind.FAILED: "failed"}
_BAD_ENDS = (EventKind.FAILED, EventKind.REQUEUED, EventKind.HANDED_BACK)
_log = logging.getLogger("copilot.dashboard")


class Watch:
    """What the event stream has told. Its memory does not grow with it."""

    def __init__(self, store: Store, clock: Clock, series: Series) -> None:
        """Writes events into `series`."""
        self.newest: deque[Event] = deque(maxlen=SHOWN)
        self.caught_up = False
        self.holdings = Holdings()
        self._store = store
        self._clock = clock
        self._series = series
        self._after = "0"
        self._waits = Spans()
        self._kinds = Tallies(1.0, RATES_OVER + 1)
        self._causes = Tallies(60.0, FAILURES_OVER + 1)
        self._minute = 0

    async def run(self) -> None:
        """Follow for ever; while the store is away try again, less and less often."""
        pause = BLOCK
        while True:
            try:
                await self._step()
                pause = BLOCK
            except CopilotError as error:
                _log.debug("event stream: %s", error)
                self.caught_up = False
                self.holdings.doubt()
                await asyncio.sleep(pause)  # nothing tells when the store is back
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _step(self) -> None:
        block = BLOCK if self.caught_up else 0.0
        asked = self._clock.wall()
        events = await self._store.events(after=self._after, block=block, count=BATCH)
        self.feed(events)
        self.caught_up = len(events) < BATCH
        if self.caught_up:
            known = self._series.known
            self._series.known = (asked if known is None else known[0], self._clock.wall())

    def feed(self, events: Sequence[Event]) -> None:
        """These have happened, after all before."""
        for event in events:
            self._take(event)
        if events:
            self._after = events[-1].id
            begin = events[0].time if self._series.known is None else self._series.known[0]
            self._series.known = (begin, events[-1].time)

    def _take(self, event: Event) -> None:
        if int(event.time // COARSE) > self._minute:  # read late or not, each minute has its percentiles
            self._note_waits(self._minute * COARSE)
            self._minute = int(event.time // COARSE)
        self.newest.appendleft(event)
        if event.job:
            self._kinds.add(event.time, event.kind)
            self.holdings.take(event)
        if event.kind in _COUNTED:
            self._series.count(event.time, _COUNTED[event.kind])
        if event.kind in _BAD_ENDS and event.cause:
            self._causes.add(event.time, event.cause)
        if event.wait is not None:
            self._waits.add(event.time, event.wait)

    def _note_waits(self, time: float) -> None:
        if self._minute:
            p50, p90 = self._waits.quantiles(time, PERCENTILES[:2])
            self._series.put(time, {"wait_p50": p50, "wait_p90": p90})

    def rates(self, now: float) -> Rates:
        """Of the last `RATES_OVER` whole seconds."""
        counts = self._kinds.total(now, whole=True)

        def rate(*kinds: EventKind) -> float:
            return sum(counts[kind] for kind in kinds) / RATES_OVER

        return Rates(
            submitted=rate(EventKind.SUBMITTED),
            claimed=rate(EventKind.CLAIMED),
            done=rate(EventKind.DONE),
            failed=rate(EventKind.FAILED),
            requeued=rate(EventKind.REQUEUED, EventKind.HANDED_BACK),
        )

    def waits(self, now: float, oldest: float | None) -> Waits:
        """Of the last 10 minutes; `oldest` is for how long the oldest job has waited."""
        p50, p90, p99 = self._waits.quantiles(now, PERCENTILES)
        longest, claims = self._waits.longest(now), self._waits.count(now)
        return Waits(p50=p50, p90=p90, p99=p99, longest=longest, claims=claims, oldest=oldest)

    def failures(self, now: float) -> dict[str, int]:
        """Attempts that ended badly in the last hour, by cause, the most frequent one first."""
        return dict(self._causes.total(now).most_common())
