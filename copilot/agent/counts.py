"""What one agent has done since its start, in plain numbers: for metrics, and for tests that count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import field

from copilot.histogram import SPANS, Histogram
from copilot.job import Cause
from copilot.records import dataclass

WAITS = "wait"  # for a slot: how such a job is counted among the phases of the others


@dataclass(slots=True)
class AgentCounts:
    """Filled by the logic and the service of an agent. `held` says how many jobs it has now, by what it is at with them;
    `cores_used` how many of its cores those that run have."""

    slots: int = 0
    cores: int = 0
    cores_used: Callable[[], int] = int
    held: Callable[[], Mapping[str, int]] = dict
    taken: int = 0  # jobs
    ended: Counter[str] = field(default_factory=Counter)  # jobs, by cause
    reported: int = 0  # results that somebody has taken
    leases_renewed: int = 0  # one for each job and renewal that was accepted
    leases_lost: int = 0  # jobs that a manager says are somebody else's
    payload: Histogram = field(default_factory=lambda: Histogram(SPANS))  # s that commands of jobs ran
    journal_writes: int = 0
    journal_failures: int = 0
    cache_hits: int = 0
    cache_misses: int = 0
    cache_bytes: int = 0

    def happened(self) -> Mapping[str, int]:
        """The events that the monitor is told of, how often each has happened since the start."""
        succeeded = self.ended[Cause.OK]
        return {
            "job.start": self.taken,
            "job.succeeded": succeeded,
            "job.failed": self.ended.total() - succeeded,
        }
