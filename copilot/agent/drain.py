"""When an agent takes nothing new any more, and how long what it has may go on.

    open ──a signal, `drain`, idle too long, jobs enough, life nearly over──▶ closed

The limits of its life are the operator's (`AGENT_MAX_IDLE`, `AGENT_MAX_JOBS`, `AGENT_LIFETIME`). How it parts from what
it still has when the time is over is `goodbye.py`'s.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import replace

from copilot.records import dataclass

log = logging.getLogger("copilot.agent")

# s that the end takes: payloads get 10 s after SIGTERM, 2 s for what they left behind, packing what there is, and then
# the manager has some seconds to acknowledge the goodbye.
LAST_STEPS = 20.0
_DIGITS = 12  # of a time that can be one


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long an agent stays: seconds, or jobs; None: no limit.

    `grace`: what runs may take so long after a signal, or before the end of its `lifetime`, which began at `born`, by the
    clock of `now`.
    """

    grace: float = 0.0
    max_idle: float | None = None
    max_jobs: int | None = None
    lifetime: float | None = None
    born: float = 0.0


NO_LIMITS = Limits()


def lifetime_here(configured: float | None, environ: Mapping[str, str], wall: float) -> float | None:
    """How long this agent lives: no longer than its batch system lets it, where that says so (Slurm: SLURM_JOB_END_TIME, in seconds
    since the epoch, as `wall` is)."""
    said = environ.get("SLURM_JOB_END_TIME", "")
    if not (said.isascii() and said.isdigit() and len(said) <= _DIGITS):
        return configured
    left = max(0.0, int(said) - wall)
    log.info("The batch system ends this agent in %.0f s.", left)
    return left if configured is None else min(configured, left)


class Draining:
    """The way to the end of one agent."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        life = math.inf if limits.lifetime is None else limits.lifetime
        self._until = limits.born + life - LAST_STEPS
        self._taken = 0
        self.over = False  # whether what still runs has to be given back
        self._idle_since: float | None = limits.born
        self.closed: float | None = None  # when

    def change(self, limits: Limits) -> None:
        """Other limits, for an agent that is not leaving yet; how long it lives was settled at its start."""
        self._limits = replace(limits, lifetime=self._limits.lifetime, born=self._limits.born)

    def wakeup(self) -> float | None:
        """When `tick` has something to do; None: never."""
        if self.over:
            return None
        closing = min(self._idle_until(), self._until - self._limits.grace)
        when = closing if self.closed is None else self._until
        return when if when < math.inf else None

    def _idle_until(self) -> float:
        if self._idle_since is None or self._limits.max_idle is None:
            return math.inf
        return self._idle_since + self._limits.max_idle

    def holds(self, jobs: int, now: float) -> None:
        """So many jobs are held now."""
        if jobs:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now

    def taken(self, now: float) -> None:
        """One job more was begun."""
        self._taken += 1
        if self._limits.max_jobs is not None and self._taken >= self._limits.max_jobs:
            self.close(f"it has taken {self._taken} jobs, as many as it may", now)

    def too_long(self, run_time: float | None, now: float) -> bool:
        """Whether a job of this limit cannot end in our life, although it could in the life of an agent like us."""
        if run_time is None or self._limits.lifetime is None:
            return False
        return now + run_time > self._until and run_time <= self._limits.lifetime - LAST_STEPS

    def left(self, now: float) -> int | None:
        """How many seconds a job may take that begins now; None: as many as it likes."""
        return None if self._limits.lifetime is None else max(0, math.floor(self._until - now))

    def tick(self, now: float) -> None:
        """Close, and then let go, when it is time."""
        if self._idle_until() <= now:
            self.close("it has had no job for as long as it may be idle", now)
        if self._until - self._limits.grace <= now:
            self.close("its life is nearly over", now)
        self.over = self.closed is not None and self._until <= now

    def stop(self, now: float) -> None:
        """A signal: what runs has the grace left."""
        self._until = min(self._until, now + self._limits.grace)
        self.close(f"it was asked to stop; what runs has {self._until - now:g} s", now)

    def close(self, why: str, now: float) -> None:
        """Take nothing new; what runs may go on."""
        if self.closed is None:
            self.closed = now
            log.info("The agent takes nothing new: %s", why)
