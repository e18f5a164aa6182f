"""What one manager has done with jobs since its start, and a loop with messages, in plain numbers: for metrics, and for tests
that count.

Where several instances run each counts what it did itself, so sums over all of them tell of the whole system. What the
protocol's end counts about messages is in `copilot.protocol.endpoint.Counts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from copilot.histogram import MOMENTS, SPANS, Histogram, Histograms
from copilot.job import Event, EventKind
from copilot.protocol.events import Received
from copilot.store.base import Claimed
from copilot.store.rules import ran_out

FOREIGN = "foreign"  # a report whose claim is not the sender's; the other reasons are those of `Verdict`
STORE, FILES, MISTAKE = "store", "files", "mistake"  # why something could not be handled
NOT_HANDLED = (STORE, FILES, MISTAKE)
_REQUEUED = (EventKind.REQUEUED, EventKind.HANDED_BACK)
_ENDED = (*_REQUEUED, EventKind.DONE, EventKind.FAILED, EventKind.CANCELLED)


@dataclass(slots=True)
class LoopCounts:
    """Filled by the loop of a component."""

    handling: Histograms = field(default_factory=lambda: Histograms(MOMENTS))
    """Seconds from the arrival of a command until what it led to was handed to the transport, by command."""
    failures: Counter[str] = field(default_factory=Counter)  # of what could not be handled, by why
    at_work: Callable[[], int] = (
        int  # events that wait for the component, or that a coroutine of it handles now
    )
    effects: Callable[[], int] = int  # effects that are being carried out now

    def handled(self, messages: Iterable[Received], now: float) -> None:
        """What these have led to is on its way."""
        for message in messages:
            self.handling[message.command.NAME].observe(now - message.at)


@dataclass(slots=True)
class JobCounts:
    """Filled by the logic of a manager, read by whoever wants to know."""

    claims: int = 0
    leases_granted: int = 0
    leases_renewed: int = 0
    leases_revived: int = 0
    leases_ran_out: int = 0
    requeues: Counter[str] = field(default_factory=Counter)  # by cause
    attempts_ended: Counter[str] = field(default_factory=Counter)  # by cause
    reports_fenced: Counter[str] = field(default_factory=Counter)  # by reason
    quarantines: int = 0
    reaps: int = 0
    wait: Histogram = field(default_factory=lambda: Histogram(SPANS))  # s from submission to the first claim
    run: Histograms = field(
        default_factory=lambda: Histograms(SPANS)
    )  # s from claim to accepted report, by end

    def claimed(self, job: Claimed, *, leased: bool) -> None:
        """The store has given a job to an agent, under a lease or not."""
        if job.again:
            return
        self.claims += 1
        self.leases_granted += leased
        if job.attempt == 1 and job.submitted is not None:
            self.wait.observe(job.claimed - job.submitted)

    def reported(self, events: Iterable[Event], claimed: float) -> None:
        """The store has written these of a report on an attempt that was claimed then (seconds since the epoch)."""
        written = tuple(events)
        for event in written:
            if event.kind in _ENDED:
                self.run[event.kind].observe(event.time - claimed)
        self.wrote(written)

    def wrote(self, events: Iterable[Event]) -> None:
        """The store has written these for us."""
        for event in events:
            if event.kind is EventKind.QUARANTINED:
                self.quarantines += 1
            if event.kind in _REQUEUED:
                self.requeues[event.cause] += 1
            if event.kind in _ENDED:
                self.attempts_ended[event.cause] += 1

    def reaped(self, events: Iterable[Event]) -> None:
        """The store has looked for attempts that ran out of time, and has written these."""
        written = tuple(events)
        self.reaps += 1
        self.leases_ran_out += sum(map(ran_out, written))
        self.wrote(written)
