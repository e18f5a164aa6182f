"""What onlookers ask of the queue: aggregates and pages, none longer than it was asked for, however many jobs there are.

They change nothing. Like all of the store each is one step and one round trip; those that read in parts are one for
each part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, Protocol, TypeVar

from copilot.job import Event, JobRecord, State
from copilot.records import dataclass
from copilot.store.explaining import Explaining

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Jobs in the queue that are alike to all agents (`copilot.matching.groups`): their requirements ("": any host will do), owner,
    project and rank ("": for none), and when the oldest one was submitted."""

    requirements: str
    waiting: int
    oldest: float
    name: str = ""
    owner: str = ""
    project: str = ""
    rank: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Groups:
    """How many groups have jobs in queues, and the largest ones."""

    total: int
    rows: tuple[Group, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """How many jobs of an owner wait, in a queue or for others, and run ("": those that name none)."""

    owner: str
    waiting: int
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Owners:
    """How many owners have jobs that wait or run, and those who have most."""

    total: int
    rows: tuple[Owner, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """A running attempt, the agent (bare JID) that has it and since when; `phase` as in `Held`; the `cores` that it was given."""

    job: str
    attempt: int
    agent: str
    claimed: float
    phase: str
    cores: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """A parked agent: its full and its bare JID, how many jobs it can take, and when it asked for them last."""

    jid: str
    agent: str
    slots: int
    since: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Part(Generic[T_co]):
    """Part of what there is, in no order; `next` is to be asked for the next part, "" after the last one.

    What is there from the first part to the last one is in one of them, or in two."""

    rows: Sequence[T_co]
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Oldest:
    """When the oldest job of some groups was submitted (None: they have none); `next` is to be asked for the next groups, ""
    after the last ones."""

    submitted: float | None
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A job in a list. `since`: when it came into its state, as far as that is known; `cause` of a job that is over."""

    job: str
    owner: str
    state: State
    attempt: int
    agent: str
    since: float
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Jobs in one state, and how many there are in all. `next`: behind which place the next page begins; "" for none."""

    total: int
    rows: tuple[Line, ...]
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What a part of the event stream tells of a job: how many entries were looked at, and the id of the last one."""

    looked_at: int
    last: str
    events: tuple[Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Records:
    """Part of the records of jobs, in no order: how many were looked at, those that are meant, and `next`, to be asked for the next
    part ("": this was the last one). What is there from the first part to the last one is in one of them, or in two."""

    looked_at: int
    rows: tuple[JobRecord, ...]
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Bytes of memory that the store uses and that it may use, or its machine has (0: not known), and how many settled jobs their
    finisher has not taken yet."""

    used: int
    limit: int
    unpublished: int


class Survey(Explaining, Protocol):
    """Part of `Store`; errors are those of its methods."""

    async def groups(self, limit: int = 20) -> Groups:
        """The requirement groups with the most jobs in queues, the largest first."""
        ...

    async def oldest(self, after: str = "", count: int = 100) -> Oldest:
        """The oldest job in the queues of `count` groups."""
        ...

    async def owners(self, limit: int = 20) -> Owners:
        """The owners with the most jobs that wait or run, those who have most first."""
        ...

    async def holders(self, after: str = "", count: int = 1000) -> Part[Work]:
        """Running attempts, about `count` at once."""
        ...

    async def work(self, jobs: Sequence[str]) -> tuple[Work, ...]:
        """Those of these jobs (at most 1000) that run."""
        ...

    async def idle(self, after: str = "", count: int = 1000, *, now: float | None = None) -> Part[Idle]:
        """Parked agents, about `count` at once."""
        ...

    async def declared(self, jids: Sequence[str]) -> tuple[int, ...]:
        """How many slots each of these agents (full JIDs, 1 to 1000) has by what it says of its host; 0: it does not say. It may
        ask for more jobs than that, to have them at hand, and it is known only of those that are parked when idle."""
        ...

    async def page(self, state: State, *, after: str = "", limit: int = 50, whole: bool = False) -> Page:
        """Jobs in a state: those that wait in the order in which they are claimed, then those that are delayed (no further than
        `places.DEEPEST`); running ones by the end of their time; others with the newest first.

        `whole`: each array is one row of a page, for its first element there, however many stand there. Where an array is in tens of thousands
        of pieces a page may be shorter than its `limit`; in a queue, what stands behind so many is not shown."""
        ...

    async def told(self, job: str, *, after: str = "0", count: int = 1000) -> Told:
        """Which of the `count` entries of the event stream behind `after` are about a job; of an element also those of its array."""
        ...

    async def records(
        self,
        after: str = "",
        count: int = 1000,
        *,
        states: Sequence[State] = (),
        owner: str | None = None,
        words: Sequence[str] = (),
    ) -> Records:
        """Records of jobs, and one for each array, but none of elements that no agent ever had; about `count` (1 to 1000) looked at: those in one of `states`, or with elements that are
        (none: in any), of `owner` (None: of anybody), in whose specification, as JSON, each of `words` stands."""
        ...

    async def load(self) -> Load:
        """How full the store is."""
        ...
