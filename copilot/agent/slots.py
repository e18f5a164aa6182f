"""Which of the jobs that an agent holds are executed, and which wait for that.

While its jobs are short, an agent takes one more for each slot: then no slot waits for the network between two jobs.
"""

from __future__ import annotations

import math

from copilot.agent.effects import Assignment

SHORT = 1.0  # s; so long a job took if the next one is to wait for its end at the agent
OVERLAP = 3  # for each slot: two that were promised before, and one that we have asked for then
ON_THEIR_WAY = 30.0  # s that a job may be on its way to us that we have asked for while jobs were short


class Slots:
    """The slots of one agent, `count` of them."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._begun: dict[str, float] = {}  # when, by job
        self._waiting: dict[str, Assignment] = {}  # in the order in which they came
        self._short = False
        self._short_at = -math.inf  # when it was so last

    @property
    def ahead(self) -> int:
        """How many jobs we want to have here that wait for a slot."""
        return self.count if self._short else 0

    def bearable(self, now: float) -> int:
        """How many jobs we let wait for a slot: we may have asked for them a moment ago, and jobs that were on their way
        to us before that come besides."""
        return OVERLAP * self.count if now - self._short_at < ON_THEIR_WAY else 0

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
        return new

    def drop(self, job: str) -> None:
        """A job does not begin after all."""
        self._waiting.pop(job, None)
        self._begun.pop(job, None)

    def ended(self, job: str, now: float) -> None:
        """A job has come to its end."""
        begun = self._begun.pop(job, None)
        if begun is not None:
            self._short = now - begun < SHORT
            self._short_at = now if self._short else self._short_at
