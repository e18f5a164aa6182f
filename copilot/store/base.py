"""The port to the queue. Every method is one atomic step and, in Redis, one round trip; `claim` and `dispatch` take more
of both when they meet requirements or hosts for the first time.

What has been answered is durable as far as the store can make it so (Redis: `appendfsync always`). All times
are seconds since the epoch by the store's own clock; `now` overrides it in tests and simulations.
"""

from __future__ import annotations

import enum
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from copilot.job import Attempt, Cause, Event, JobRecord, JobSpec, Outcome, State
from copilot.matching.resources import Free
from copilot.records import dataclass
from copilot.store.accounts import AccountStore
from copilot.store.arrays import Arrays
from copilot.store.audit import AuditTrail
from copilot.store.blocking import Blocking
from copilot.store.controls import Controls
from copilot.store.reach import Reachable
from copilot.store.shares import Shares
from copilot.store.survey import Survey
from copilot.store.trial import Trial
from copilot.store.usage import UsageSums
from copilot.store.watched import Watched


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A job that was given to an agent, under a new attempt number, for a `lease` in seconds (None: the agent renews
    none). `again`: not now, but when the same request came before. `submitted` is in seconds since the epoch, as `claimed`.
    `cores` are those of the agent that it may use."""

    spec: JobSpec
    attempt: int
    submitted: float
    claimed: float
    lease: float | None = None
    again: bool = False
    cores: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """Answer to what an operator wants of a job: whether it changed anything, and the state after it (None: no such
    job)."""

    changed: bool
    state: State | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Parking:
    """An agent that gets jobs later if there are none now: its full JID, the features that it has announced, and in secure mode
    the session in which it has asked (`Received.session`), by which any instance can speak to it."""

    jid: str
    features: tuple[str, ...] = ()
    session: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dispatched:
    """A job that was just given to a parked agent."""

    to: Parking
    claimed: Claimed


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """An attempt and the agent (bare JID) that has it."""

    job: str
    attempt: int
    agent: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An attempt that an agent says it holds, and what it is at: `fetch`, `run` or `upload`."""

    job: str
    attempt: int
    phase: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Renewed:
    """Answer to `renew`: what the agent does not hold and must stop, and what was taken from it and is its own again.
    The leases of all but the former have begun anew."""

    lost: tuple[Held, ...] = ()
    revived: tuple[Held, ...] = ()


class Verdict(enum.StrEnum):
    """What became of a report about an attempt."""

    ACCEPTED = "accepted"
    REPEATED = "repeated"  # the same attempt was settled before; nothing changed
    STALE = "stale"  # another attempt has the job, or had it later; nothing changed
    UNKNOWN = "unknown"  # no such job


@dataclass(frozen=True, slots=True, kw_only=True)
class Settled:
    """Answer to `finish`: the verdict, the job's state after it (None if unknown), its record if this report has ended
    it, and the events that it wrote."""

    verdict: Verdict
    state: State | None
    record: JobRecord | None = None
    events: tuple[Event, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What the store says of itself: name and version, and what an operator should know about its durability."""

    server: str
    warnings: tuple[str, ...] = ()


class Store(
    Survey,
    Shares,
    AccountStore,
    Controls,
    UsageSums,
    Arrays,
    Blocking,
    Reachable,
    Watched,
    AuditTrail,
    Protocol,
):
    """The queue. All methods raise `StoreUnavailable` when the store cannot answer; then nothing is known to
    have happened, and the same call may be made again. They raise `ConfigError` if it refuses our password or rights,
    and `ValueError` for numbers out of range (`count` and `limit`: 1 to 1000)."""

    async def check(self) -> Facts:
        """Look at the server's version and settings. Raises `ConfigError` if it must not be used."""
        ...

    async def take_over(self) -> None:
        """A manager of this version begins: from now on those of the version before change nothing here. Raises `ConfigError` for
        a queue of a newer version; nothing has changed then."""
        ...

    async def submit(
        self, specs: Sequence[JobSpec], *, most: int | None = None, now: float | None = None
    ) -> None:
        """Put up to 1000 jobs and arrays on the queue, all or none. The same specification again changes nothing. `most`: how many
        jobs of each owner may wait or run then.

        Raises `JobExists` if an id is taken by a different specification, `BadName` for an id not to be submitted,
        `BadRequirements` for requirements that cannot be read, `QueueFull` if there is no room for new ones, `IntakePaused`
        if none are taken,
        `TooManyJobs` if an owner would have more than `most`, `UnknownJob` if one is to wait for a job that is neither known nor before it
        in `specs`.
        """
        ...

    async def waiting(self) -> int:
        """How many jobs wait to be claimed: not those that wait longer because they were handed back too often."""
        ...

    async def claim(
        self,
        *,
        agent: str,
        request: str,
        dispatch_limit: float,
        count: int = 1,
        holder: str = "",
        lease: float | None = None,
        host: str = "",
        park: Parking | None = None,
        free: Free | None = None,
        now: float | None = None,
    ) -> tuple[Claimed, ...]:
        """Give up to `count` waiting jobs to `agent` (bare JID) that fit on what it has `free` (None: jobs of one core alone): highest
        priority first, then by turns of their owners (decision 20), then oldest; none while it is in quarantine, see `trials`. A job that failed there just now is left to other agents for some seconds, an
        exclusive one to agents with a `lease`, and one with requirements to hosts that meet them.

        `host` is what the agent says of its host (JDL); "": what it said last in a claim with `park` under the same full
        JID, within `rules.HOST_MEMORY`, or nothing.

        The same `request` (message id) of the same agent within 10 minutes gets the same jobs again as long as
        those attempts still run. An attempt that is not confirmed by `confirm` within `dispatch_limit` seconds
        is handed back by `reap`. `holder` is the full JID of an agent that takes one job at a time, see `suspect`;
        `lease` the seconds within which the agent will renew, see `renew`.
        With `park` the agent waits for what it did not get of `count`: `dispatch` may give it that within
        `rules.PARKED_FOR` seconds. Each claim with `park` takes the place of the one before.
        """
        ...

    async def dispatch(
        self, *, dispatch_limit: float, limit: int = 100, now: float | None = None
    ) -> tuple[Dispatched, ...]:
        """Give at most `limit` (1 to 1000) waiting jobs to parked agents, those that have waited for longest first, as
        `claim` would. Whoever calls this has to tell them; an attempt that is not confirmed is handed back by `reap`."""
        ...

    async def unpark(self, jid: str, *, parked_for: float = 0.0, now: float | None = None) -> bool:
        """The agent with this full JID is not there: `dispatch` gives it nothing until it asks again. False if it was not
        parked, or for less than so many seconds."""
        ...

    def hints(self) -> AsyncIterator[str]:
        """Yields when there may be something to do: "" for `dispatch`, "orders" for what agents are to be told (`cancelling`,
        `draining`, `wanted`). One may get lost, and some come for nothing. Raises `StoreUnavailable` when it can hear nothing
        any more."""
        ...

    async def suspect(self, holder: str, *, now: float | None = None) -> int:
        """`holder` asks for work, which it does only when it holds none: its attempts that were claimed
        `rules.SUSPECT_AFTER` ago are lost unless they are reported within `rules.SUSPECT_GRACE`.

        Returns how many running attempts it was given.
        """
        ...

    async def confirm(self, job: str, attempt: int, *, max_run_time: float, now: float | None = None) -> bool:
        """The agent has the job; from now on its lease runs, or, if it has none, it may run for `max_run_time` seconds,
        or the job's own limit if that is shorter. False if the attempt no longer holds the job. Saying it twice
        changes nothing."""
        ...

    async def renew(self, agent: str, held: Sequence[Held], *, now: float | None = None) -> Renewed:
        """`agent` (bare JID) lives and holds these (at most 1000): their leases begin anew, and what was taken from it but
        not claimed since is its own again."""
        ...

    async def hand_back(
        self, job: str, attempt: int, *, cause: Cause, now: float | None = None
    ) -> Event | None:
        """The attempt never began: back to the front of its age in the queue, not counted; but from the 6th time in a
        row on after a delay, which grows up to 5 minutes. Returns the event that it wrote; None if the attempt no
        longer holds the job, or was confirmed or renewed: then it has begun."""
        ...

    async def leave(self, agent: str, held: Sequence[Held], *, now: float | None = None) -> tuple[Event, ...]:
        """`agent` (bare JID) says goodbye and gives these back (at most 1000): those that it holds go to their old places
        in the queue at once, not counted, and are its own no more, whatever it says later. Who wanted it to leave
        (`drain`) has his wish. Returns the events that it wrote: one for each that went back."""
        ...

    async def drain(self, agents: Sequence[str], *, now: float | None = None) -> None:
        """Somebody wants these agents (bare JIDs, at most 1000) to leave, within `rules.DRAIN_WANTED` seconds from now:
        the managers tell them (`draining`)."""
        ...

    async def draining(self, *, skip: int = 0, limit: int = 100, now: float | None = None) -> tuple[str, ...]:
        """Agents (bare JIDs) that somebody wants to leave, those that were named first first and without the first
        `skip`."""
        ...

    async def get(self, job: str) -> JobRecord | None:
        """The record of a job, or None. That of an array says what its elements are at (`Arrays.array`)."""
        ...

    async def attempts(self, job: str) -> tuple[Attempt, ...]:
        """How the attempts of a job ended, oldest first, the last `rules.ATTEMPTS_KEPT`; also those that never began."""
        ...

    async def finish(
        self,
        job: str,
        attempt: int,
        outcome: Outcome,
        *,
        package: str | None = None,
        now: float | None = None,
    ) -> Settled:
        """Settle an attempt: `done`, `failed`, or back to `waiting` (attempts left for its cause).

        Idempotent: see `Verdict`. A result that goes back to `waiting` drops its output. `package` is the output itself
        in base64, if it is so small that the store keeps it until `publish`.
        """
        ...

    async def package(self, job: str) -> str | None:
        """The output of a settled job, if `finish` was given it and `publish` has not been called."""
        ...

    async def cancel(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Somebody wants the job to end: at once if it is not running, else when its agent has stopped it, which the
        managers tell it (`cancelling`). A report that comes before counts."""
        ...

    async def cancelling(self, limit: int = 100) -> tuple[Running, ...]:
        """Running attempts that somebody wants to end."""
        ...

    async def hold(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Keep a waiting or blocked job out of the queue."""
        ...

    async def release(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Let a held job wait again, at its old place, or for others if it did; let a blocked one wait for nobody any more."""
        ...

    async def retry(self, job: str, *, reason: str = "", now: float | None = None) -> Changed:
        """Have a job that failed or was cancelled run once more with all its attempts, when its finisher has taken the
        result."""
        ...

    async def publish(self, job: str, *, now: float | None = None) -> bool:
        """The finisher has taken the result to its place. False if it was known before, or if the job is not
        settled."""
        ...

    async def unpublished(self, limit: int = 100) -> tuple[JobRecord, ...]:
        """Settled jobs that their finisher has not taken yet, oldest first."""
        ...

    async def ended(
        self, state: State, before: float, *, skip: int = 0, limit: int = 100
    ) -> tuple[JobRecord, ...]:
        """Jobs in `state`, a final one, that ended before that time, oldest first and without the first `skip`."""
        ...

    async def remove(self, job: str) -> bool:
        """Forget a job that is over and whose result its finisher has taken. False: it stays, for others wait for it or it is not over, or
        it is not known.

        No event tells of it. Its id should not be used again: its attempts would be counted from 1 once more.
        """
        ...

    async def reap(
        self, *, limit: int = 100, up_for: float = math.inf, now: float | None = None
    ) -> tuple[Event, ...]:
        """Take back attempts that ran out of time: unconfirmed ones are handed back, the others requeued or,
        when no attempts are left, failed: with `policy-run-time`, or `infra-lost` if their agent was suspected or has
        not renewed its lease. No confirmed attempt is taken from an agent that had less time to renew than its own lease,
        nor does it keep others from being looked at: `up_for` says for how many seconds agents could reach us and we the
        store. Returns the events that it wrote."""
        ...

    async def trials(self) -> tuple[Trial, ...]:
        """All agents at which jobs have failed lately with no success since, and which of them are in quarantine for
        that; by their names. Such entries go by themselves."""
        ...

    async def quarantine(self, agent: str, *, now: float | None = None) -> float:
        """For how many seconds an agent (bare JID) is still in quarantine, 0.0 if it is not; at most `controls.ASKS_AGAIN` for one
        that was set aside."""
        ...

    async def pardon(self, agent: str, *, reason: str = "", now: float | None = None) -> bool:
        """Somebody knows that the agent is well: nothing is held against it any more, nor is it set aside. False if nothing was."""
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
