"""Jobs that wait for others: `JobSpec.after` and `after_any` (decision 21).

Such a job is `blocked` until each job of `after` is done and each of `after_any` over. The step that ends the last one of them lets it into
its queue. One whose dependency failed stays blocked: the other may be retried, or somebody releases or cancels it.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from typing import Protocol

from copilot.job import JobSpec, State
from copilot.records import dataclass


class Until(enum.StrEnum):
    """What a job waits for of another one."""

    DONE = "done"
    OVER = "over"  # however it ended

    def is_so(self, state: State | None) -> bool:
        """Whether that is so for a job in this state."""
        return state is State.DONE or (self is Until.OVER and state is not None and state.final)


@dataclass(frozen=True, slots=True, kw_only=True)
class Awaited:
    """A job that another one waits for yet, and its state."""

    job: str
    until: Until
    state: State | None

    @property
    def failed(self) -> bool:
        """Whether it will not come true unless somebody does something: the job is over, but not done."""
        return self.until is Until.DONE and self.state is not None and self.state.final


class Blocking(Protocol):
    """Part of `Store`; errors are those of its methods."""

    async def awaits(self, job: str) -> Sequence[Awaited]:
        """What a job waits for yet, at most `job.MAX_AFTER`; nothing for one that waits for no other job, or is not known."""
        ...


def wishes_of(spec: JobSpec) -> tuple[tuple[Until, str], ...]:
    """What a job waits for, each once."""
    wishes = [(Until.DONE, job) for job in spec.after] + [(Until.OVER, job) for job in spec.after_any]
    return tuple(dict.fromkeys(wishes))


def told(until: Until, job: str) -> str:
    """In the event stream, that it is so."""
    return f"job {job} is {until}"
