"""Which of the jobs that an agent holds are executed, and which wait for that.

While its jobs are short, an agent takes more than it can execute: then no slot waits for the network between two jobs, nor
for the disk of the queue. It begins with one for each slot, takes one more whenever a slot stood empty all the same, and
never so many that the last one would wait for long: another agent may be idle.
"""

from __future__ import annotations

import math

from copilot.agent.effects import Assignment

SHORT = 1.0  # s; so long a job took if the next one is to wait for its end at the agent
OVERLAP = (
    3  # times as many may come: what was promised before, at most twice, and what we have asked for then
)
MOST_AHEAD = 8  # for each slot
LONGEST_WAIT = 0.25  # s of work that may wait for a slot, if that is more than one job
WEIGHT = 0.2  # of the last job in the mean time of jobs
ON_THEIR_WAY = 30.0  # s that a job may be on its way to us that we have asked for while jobs were short


class Slots:
    """The slots of one agent, `count` of them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._begun: dict[str, float] = {}  # when, by job
        self._waiting: dict[str, Assignment] = {}  # in the order in which they came
        self._depth = 1  # jobs ahead for each slot that keep it from standing empty
        self._mean = 0.0  # s that a job takes
        self._empty_since: float | None = None  # when a short job ended and no other one was here
        self._short = False
        self._short_at = -math.inf  # when it was so last

    @property
    def ahead(self) -> int:
        """How many jobs we want to have here that wait for a slot."""
        return self.count * self._each if self._short else 0

    @property
    def _each(self) -> int:
        in_time = int(LONGEST_WAIT / self._mean) if self._mean else 1
        return max(1, min(self._depth, in_time))

    def bearable(self, now: float) -> int:
        """How many jobs we let wait for a slot: we may have asked for them a moment ago, and jobs that were on their way
        to us before that come besides."""
        return OVERLAP * self.count * self._each if now - self._short_at < ON_THEIR_WAY else 0

    @property
    def waiting(self) -> list[Assignment]:
        """Those that have not begun, first come first."""
        return list(self._waiting.values())

    @property
    def busy(self) -> bool:
        """Whether something is executed."""
        return bool(self._begun)

    def waits(self, job: str) -> bool:
        """Whether this job has not begun."""
        return job in self._waiting

    def add(self, assignment: Assignment) -> None:
        """A job has come."""
        self._waiting[assignment.id] = assignment

    def begin(self, now: float) -> list[Assignment]:
        """Those for which there is a slot: they begin now."""
        new = self.waiting[: max(0, self.count - len(self._begun))]
        for one in new:
            del self._waiting[one.id]
            self._begun[one.id] = now
        if new and self._empty_since is not None:
            if now - self._empty_since < SHORT:  # else there was no work
                self._depth = min(MOST_AHEAD, self._depth + 1)
            self._empty_since = None
        return new

    def drop(self, job: str) -> None:
        """A job does not begin after all."""
        self._waiting.pop(job, None)
        self._begun.pop(job, None)

    def ended(self, job: str, now: float) -> float | None:
        """A job has come to its end: how long it had a slot, None if it never had one."""
        begun = self._begun.pop(job, None)
        if begun is None:
            return None
        self._short = now - begun < SHORT
        self._short_at = now if self._short else self._short_at
        self._mean += WEIGHT * (now - begun - self._mean)
        if not self._short:
            self._depth = 1
        elif not self._waiting:
            self._empty_since = now
        return now - begun
