"""What the queue in memory keeps of jobs, requests and agents."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from copilot.job import Cause, JobRecord, Outcome, State
from copilot.matching.resources import Free
from copilot.records import dataclass
from copilot.store import rules
from copilot.store.base import Parking
from copilot.store.usage import Charge


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A record and what the store alone needs to know; the fields of `keys.FIELDS` of the same names."""

    record: JobRecord
    text: str  # the spec's JSON: what "the same specification" means
    place: int
    group: str
    deadline: float = 0.0
    lease: float | None = None
    confirmed: float | None = None
    handed_back: int = 0
    hand_backs: int = 0
    failed_at: tuple[str, ...] = ()
    struck: float = 0.0
    suspected: int = 0
    settled: int = 0
    held: float = 0.0  # or blocked, since when
    phase: str = ""
    cancel: Outcome | None = None
    charged: Charge | None = None
    cancelling: float | None = None  # since when

    def holds(self, attempt: int) -> bool:
        return self.record.state is State.RUNNING and self.record.attempt == attempt

    @property
    def time_to_renew(self) -> float:
        return rules.LEAST_UP_TIME if self.lease is None else self.lease

    @property
    def attempts_left(self) -> bool:
        return self.record.attempts_used < self.record.spec.max_attempts

    def again(self, cause: Cause) -> bool:
        """Whether it runs once more after an attempt that ended so."""
        if cause.own:
            return self.record.user_failures < self.record.spec.max_user_attempts
        return cause.retryable and self.attempts_left


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a request for jobs was given, and when."""

    time: float
    given: tuple[tuple[str, int], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ParkedAgent:
    """An idle agent: under what it is known (`to`), its bare JID, how many jobs it can take, and what its host is."""

    to: Parking
    agent: str
    slots: int
    lease: float | None
    host: str
    since: float
    free: Free | None = None
    free_at: float = 0.0  # when it had said so

    def asker(self, time: float) -> Asker:
        """It wants jobs now; the time that it has left has gone on."""
        free = self.free
        if free is not None and free.time is not None:
            free = replace(free, time=max(0, math.floor(self.free_at + free.time - time)))
        return Asker(
            agent=self.agent,
            name=self.to.jid,
            lease=self.lease,
            host=self.host,
            free=Free.unsaid(self.slots) if free is None else free,
            is_silent=free is None,
        )


@dataclass(slots=True, kw_only=True)
class Asker:
    """Who wants jobs: the bare JID of an agent, under what it is known, the lease that it keeps, what it says of its host, and what it has
    free, which becomes less; one that `is_silent` does not say that. `prefers_other`, where there is one, says whether a job with a rank is for another agent."""

    agent: str
    name: str
    lease: float | None
    host: str
    free: Free
    is_silent: bool = False
    prefers_other: Callable[[Job], bool] | None = None
