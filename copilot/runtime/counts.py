"""What one manager has done with jobs since its start, in plain numbers: for metrics, and for tests that count.

Where several instances run each counts what it did itself, so sums over all of them tell of the whole system. What the
protocol's end counts about messages is in `copilot.protocol.endpoint.Counts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from copilot.job import Event, EventKind
from copilot.store.rules import ran_out

FOREIGN = "foreign"  # a report whose claim is not the sender's; the other reasons are those of `Verdict`
_REQUEUED = (EventKind.REQUEUED, EventKind.HANDED_BACK)
_ENDED = (*_REQUEUED, EventKind.DONE, EventKind.FAILED, EventKind.CANCELLED)


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
