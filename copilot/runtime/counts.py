"""What one manager has done with jobs since its start, in plain numbers: for metrics, and for tests that count.

Where several instances run each counts what it did itself, so sums over all of them tell of the whole system. What the
protocol's end counts about messages is in `copilot.protocol.endpoint.Counts`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from copilot.job import Event, EventKind, JobRecord
from copilot.runtime.durations import Durations
from copilot.store.base import Verdict
from copilot.store.rules import ran_out

FOREIGN = "foreign"  # a report whose claim is not the sender's; the other reasons are those of `Verdict`
_REQUEUED = (EventKind.REQUEUED, EventKind.HANDED_BACK)
_OVER = (EventKind.DONE, EventKind.FAILED, EventKind.CANCELLED)
_ENDED = (*_REQUEUED, *_OVER)


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
    empty: int = 0  # requests for work that came while there was none
    jobs_ended: Counter[EventKind] = field(
        default_factory=Counter
    )  # jobs that are over: done, failed, cancelled
    run_times: Durations = field(
        default_factory=Durations
    )  # of jobs that were reported, since `took` was asked last

    def wrote(self, events: Iterable[Event]) -> None:
        """The store has written these for us."""
        for event in events:
            if event.kind is EventKind.QUARANTINED:
                self.quarantines += 1
            if event.kind in _REQUEUED:
                self.requeues[event.cause] += 1
            if event.kind in _ENDED:
                self.attempts_ended[event.cause] += 1
            if event.kind in _OVER:
                self.jobs_ended[event.kind] += 1

    def reported(self, record: JobRecord) -> None:
        """The job is over by the report of its agent."""
        if record.claimed is not None and record.finished is not None:
            self.run_times.add(record.finished - record.claimed)

    def happened(self) -> Mapping[str, int]:
        """The events of section 2.3.2 of the report, how often each has happened since the start. `job.start` and `job.end`
        belong to the duration `job`."""
        return {
            "job.start": self.claims,
            "job.end": self.jobs_ended.total(),
            "job.succeeded": self.jobs_ended[EventKind.DONE],
            "job.failed": self.jobs_ended[EventKind.FAILED],
            "job.requeued": self.requeues.total(),
            # A made-up id cannot be told from somebody else's: its claim is not the sender's, and nobody asks further.
            "error.invalidJobId": self.reports_fenced[Verdict.UNKNOWN] + self.reports_fenced[FOREIGN],
            "error.emptyQueue": self.empty,
        }

    def took(self) -> Mapping[str, Durations]:
        """How long jobs took, from the claim to the report, that were reported since this was asked last."""
        taken, self.run_times = self.run_times, Durations()
        return {"job": taken}

    def reaped(self, events: Iterable[Event]) -> None:
        """The store has looked for attempts that ran out of time, and has written these."""
        written = tuple(events)
        self.reaps += 1
        self.leases_ran_out += sum(map(ran_out, written))
        self.wrote(written)
