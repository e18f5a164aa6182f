"""The port to the queue. Every method is one atomic step and, in Redis, one round trip.

What has been answered is durable as far as the store can make it so (Redis: `appendfsync always`). All times
are seconds since the epoch by the store's own clock; `now` overrides it in tests and simulations.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from copilot.job import Cause, Event, JobRecord, JobSpec, Outcome, State


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A job that was just given to an agent, under a new attempt number."""

    spec: JobSpec
    attempt: int
    claimed: float


class Verdict(enum.StrEnum):
    """What became of a report about an attempt."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"  # the same attempt was settled before; nothing changed
    STALE = "stale"  # another attempt has the job, or had it later; nothing changed
    UNKNOWN = "unknown"  # no such job


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Answer to `finish`: the verdict, the job's state after it (None if unknown), and its record if this report
    has ended it."""

    verdict: Verdict
    state: State | None
    record: JobRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the store says of itself: name and version, and what an operator should know about its durability."""

    server: str
    warnings: tuple[str, ...] = ()


class Store(Protocol):
    """The queue. All methods raise `StoreUnavailable` when the store cannot answer; then nothing is known to
    have happened, and the same call may be made again. They raise `ConfigError` if it refuses our password or rights,
    and `ValueError` for numbers out of range (`count` and `limit`: 1 to 1000)."""

    async def check(self) -> Facts:
        """Look at the server's version and settings. Raises `ConfigError` if it must not be used."""
        ...

    async def submit(self, specs: Sequence[JobSpec], *, now: float | None = None) -> None:
        """Put up to 1000 jobs on the queue, all or none. The same specification again changes nothing.

        Raises `JobExists` if an id is taken by a different specification, `BadName` for an id not to be submitted.
        """
        ...

    async def waiting(self) -> int:
        """How many jobs wait."""
        ...

    async def claim(
        self,
        *,
        agent: str,
        request: str,
        dispatch_limit: float,
        count: int = 1,
        holder: str = "",
        now: float | None = None,
    ) -> tuple[Claimed, ...]:
        """Give up to `count` waiting jobs to `agent` (bare JID): highest priority first, then oldest.

        The same `request` (message id) of the same agent within 10 minutes gets the same jobs again as long as
        those attempts still run. An attempt that is not confirmed by `confirm` within `dispatch_limit` seconds
        is handed back by `reap`. `holder` is the full JID of an agent that takes one job at a time, see `suspect`.
        """
        ...

    async def suspect(self, holder: str, *, now: float | None = None) -> int:
        """`holder` asks for work, which it does only when it holds none: its attempts that were claimed
        `rules.SUSPECT_AFTER` ago are lost unless they are reported within `rules.SUSPECT_GRACE`.

        Returns how many running attempts it was given.
        """
        ...

    async def confirm(self, job: str, attempt: int, *, max_run_time: float, now: float | None = None) -> bool:
        """The agent has the job; from now on it may run for `max_run_time` seconds, or the job's own limit if that is
        shorter. False if the attempt no longer holds the job. Saying it twice changes nothing."""
        ...

    async def hand_back(self, job: str, attempt: int, *, cause: Cause, now: float | None = None) -> bool:
        """The attempt never began: back to the front of its age in the queue, not counted. False if it no longer
        holds the job."""
        ...

    async def get(self, job: str) -> JobRecord | None:
        """The record of a job, or None."""
        ...

    async def finish(self, job: str, attempt: int, outcome: Outcome, *, now: float | None = None) -> Settled:
        """Settle an attempt: `done`, `failed`, or back to `waiting` (retryable cause, attempts left).

        Idempotent: see `Verdict`. A result that goes back to `waiting` drops its output.
        """
        ...

    async def publish(self, job: str, *, now: float | None = None) -> bool:
        """The finisher has taken the result to its place. False if it was known before, or if the job is not
        settled."""
        ...

    async def unpublished(self, limit: int = 100) -> tuple[JobRecord, ...]:
        """Settled jobs that their finisher has not taken yet, oldest first."""
        ...

    async def reap(self, *, limit: int = 100, now: float | None = None) -> tuple[Event, ...]:
        """Take back attempts that ran out of time: unconfirmed ones are handed back, the others requeued or,
        when no attempts are left, failed with `policy-run-time`, suspected ones with `infra-lost`. Returns the
        events that it wrote."""
        ...

    async def events(self, *, after: str = "0", block: float = 0.0, count: int = 100) -> tuple[Event, ...]:
        """Entries of the event stream with an id above `after` ("0": from the beginning, "$": only new ones),
        oldest first; waits up to `block` seconds for the first one. The stream is bounded (about 100,000)."""
        ...

    async def counts(self) -> Mapping[State, int]:
        """How many jobs there are in each state."""
        ...

    async def close(self) -> None:
        """Give connections back. Idempotent."""
        ...
