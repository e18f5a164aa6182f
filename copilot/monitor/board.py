"""What the dashboard shows, as plain data, and the port that it is asked from.

Everything here is an aggregate or a page: nothing grows with the number of jobs or agents. Times are seconds since the
epoch by the store's clock, spans are seconds, sizes are bytes. Jobs, agents and owners stand here under the names that
they gave themselves, so whoever shows them escapes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Protocol

from copilot.job import Attempt, Event, JobRecord, State
from copilot.records import dataclass

SHOWN = 20  # rows of each list in `Now`; the totals beside it count all
MOST_ROWS = 200  # of one page


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Events a second, over the last `Now.rates_over` seconds."""

    submitted: float = 0.0
    claimed: float = 0.0
    done: float = 0.0
    failed: float = 0.0  # for good
    requeued: float = 0.0  # went back to the queue: requeued or handed back


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """From the submission to the first claim, of the jobs first claimed in the last 10 minutes; None: there was none.

    `oldest` is for how long the job has waited that has waited for longest, of those that still do."""

    p50: float | None = None
    p90: float | None = None
    p99: float | None = None
    longest: float | None = None
    claims: int = 0
    oldest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Agents that have a job or wait for one, and their slots. A slot is busy if a job is claimed for it."""

    online: int = 0
    busy: int = 0  # agents with at least one job
    idle: int = 0  # agents without any
    quarantined: int = 0
    slots: int = 0
    slots_busy: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupRow:
    """Waiting jobs with the same requirements ("": any host will do), and the age of the first of them."""

    requirements: str
    waiting: int
    oldest: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerRow:
    """Jobs of one owner ("": none was named)."""

    owner: str
    waiting: int
    running: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ComponentRow:
    """A component that reports to the monitor: `jobmanager.generic.alpha`, say. `heard`: when it did so last."""

    name: str
    heard: float
    silent: bool  # it should have reported meanwhile
    values: Mapping[str, float] = field(default_factory=dict)
    """What it said last of each: `system.load.1min`, …"""
    counts: Mapping[str, int] = field(default_factory=dict)  # events since the monitor was started


@dataclass(frozen=True, slots=True, kw_only=True)
class Volume:
    """Room somewhere: a disk of a component, or the memory of the queue's server. `of`: where."""

    name: str
    of: str
    used: int
    available: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Now:
    """All that the front page shows at one moment. `store_up`: whether the store answers; if not, the rest is what it
    said last."""

    time: float
    store_up: bool
    version: str
    jobs: Mapping[State, int]
    rates: Rates = Rates()
    rates_over: float = 10.0
    waits: Waits = Waits()
    failures: Mapping[str, int] = field(default_factory=dict)
    """Attempts that ended badly in the last hour, by cause."""
    fleet: Fleet = Fleet()
    groups: tuple[GroupRow, ...] = ()  # the largest first
    groups_total: int = 0
    owners: tuple[OwnerRow, ...] = ()  # the busiest first
    owners_total: int = 0
    components: tuple[ComponentRow, ...] = ()
    components_total: int = 0
    storage: tuple[Volume, ...] = ()
    unpublished: int = 0  # results that their finisher has not taken yet
    newest: tuple[Event, ...] = ()  # the last few moves of jobs, newest first


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Time series with one value for each of `times`, which are `step` seconds apart; None where nothing is known.

    Keys of `series`: `waiting`, `running`, `held` (jobs at that time), `submitted`, `done`, `failed` (a second, since the
    time before), `wait_p50`, `wait_p90` (seconds, as in `Waits`)."""

    step: float
    times: tuple[float, ...]
    series: Mapping[str, tuple[float | None, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRow:
    """A job that an agent has. `phase`: `fetch`, `run`, `upload`, or "" as long as it has not said."""

    job: str
    attempt: int
    phase: str
    claimed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentRow:
    """An agent (bare JID) with some of the jobs that it has. `quarantine`: seconds that it still gets none, 0 for none."""

    agent: str
    slots: int
    jobs: int
    held: tuple[HeldRow, ...] = ()  # at most `SHOWN`
    idle_since: float | None = None
    quarantine: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPage:
    """Agents by name. `next` is where the page after this one begins; "" for none."""

    total: int
    rows: tuple[AgentRow, ...]
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRow:
    """A job in a list. `since`: when it came into its state; `cause` of a job that has ended."""

    job: str
    owner: str
    state: State
    attempt: int
    agent: str
    since: float
    cause: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobPage:
    """Jobs in one state. `next` is where the page after this one begins; "" for none."""

    state: State
    total: int
    rows: tuple[JobRow, ...]
    next: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Why a job is where it is: a word, a sentence, and what to do next."""

    code: str
    text: str
    next: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """All of one job: its record, how its attempts ended, what happened when (as far as the event stream goes back), and `why` it is
    where it is, if that is known."""

    record: JobRecord
    attempts: tuple[Attempt, ...]
    events: tuple[Event, ...]
    cancelling: bool = False
    why: Why | None = None


class Board(Protocol):
    """What the dashboard asks. All but `now` and `history` raise `StoreUnavailable` while the store is away, and
    `ValueError` for what cannot be asked for."""

    async def now(self) -> Now:
        """The front page; at most a second old, however many ask."""
        ...

    def history(self, span: float) -> History:
        """The last `span` seconds (60 to 86400), in at most 300 steps."""
        ...

    async def agents(self, *, after: str = "", search: str = "", limit: int = 50) -> AgentPage:
        """Agents by name, those behind the place `after`, whose name contains `search`."""
        ...

    async def jobs(self, state: State, *, after: str = "", limit: int = 50) -> JobPage:
        """Jobs in a state: those that wait in the order of the queue, those that have ended newest first."""
        ...

    async def job(self, job: str) -> JobView | None:
        """One job; None if there is none of that id."""
        ...
