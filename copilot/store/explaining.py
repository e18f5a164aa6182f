"""What the store knows of why a job does not run: who was there lately, and how one job stands. It is read, nothing is changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from copilot.job import State
from copilot.matching.resources import Free
from copilot.records import dataclass

# hosts.lua has the first three numbers.
HOSTS_KEPT = 24 * 3600.0  # s for which it is known that an agent was there
ONLINE_FOR = 600.0  # s for which an agent that was heard counts as there: an idle one asks every 8 minutes
MOST_OLD_AT_ONCE = 10  # entries of agents that are forgotten in one step
MOST_MACHINES = 2000  # that are looked at to explain something
MOST_GROUPS = 100  # of which the jobs that come before another one are counted
MOST_EVENTS = 1000  # that are read for the pace
PACE_OVER = 600.0  # s back


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """An agent (full JID) that asked for work lately; times in seconds since the epoch, None: it did not.

    `asked` for work last; `parked` since then; `renewed` its leases last. It has `slots` for jobs and so much `free` since then,
    and `leased`: it renews leases. `host` is what it says of itself (JDL). In quarantine until then, and
    `probation`: it gets one job at a time; `leaves`: somebody wants it to; `out`: its account is no longer good.
    """

    jid: str
    agent: str
    asked: float
    parked: float | None = None
    renewed: float | None = None
    slots: int = 0
    free: Free | None = None
    leased: bool | None = None
    host: str = ""
    quarantine: float = 0.0
    probation: bool = False
    leaves: bool = False
    out: bool = False

    def online(self, now: float) -> bool:
        """Whether it was heard lately."""
        heard = max(self.asked, self.renewed or 0.0)
        return self.parked is not None or heard > now - ONLINE_FOR


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """Those that asked last, first, and how many there are in all; `now` is the store's time."""

    now: float
    total: int
    rows: Sequence[Machine]


@dataclass(frozen=True, slots=True, kw_only=True)
class Before:
    """Of a group with these requirements ("": any host will do) so many jobs come before another one."""

    requirements: str
    jobs: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How many jobs were started lately, `group` of them of one group, in so many seconds since the first of these starts."""

    started: int
    group: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Circumstances:
    """How one job stands; times in seconds since the epoch, None for what is not so.

    `delayed` until, `held` since, `cancelling`: somebody wants it to end since; `deadline` and `lease` (s) of what runs, `confirmed` by its agent at that time. `failed_at` are agents that
    are left out for a moment after `struck`. `place`: how many jobs of its own group come before it, `before` of other
    groups, and `more` groups were not looked at. `passed_over`, for it did not fit, since; `reserved`: this agent (full JID) takes nothing else.
    """

    now: float
    state: State
    delayed: float | None = None
    held: float | None = None
    deadline: float | None = None
    cancelling: float | None = None
    lease: float | None = None
    confirmed: float | None = None
    phase: str = ""
    suspected: bool = False
    failed_at: tuple[str, ...] = ()
    struck: float | None = None
    place: int | None = None
    more: int = 0
    before: tuple[Before, ...] = ()
    passed_over: float | None = None
    reserved: str = ""
    pace: Pace = Pace(started=0, group=0, seconds=0.0)


class Explaining(Protocol):
    """Part of `Survey`; errors are those of its methods."""

    async def machines(self, limit: int = MOST_MACHINES, *, now: float | None = None) -> Machines:
        """Agents that asked for work within `HOSTS_KEPT`, those that asked last first, at most `limit` (1 to 5000); two round trips."""
        ...

    async def circumstances(
        self, job: str, *, groups: int = MOST_GROUPS, now: float | None = None
    ) -> Circumstances | None:
        """How a job stands; None if there is none of that name. Of at most so many groups (0 to 1000) jobs are counted."""
        ...


def check_limit(limit: int) -> int:
    """Return `limit` if so many machines may be asked for. Raises `ValueError`."""
    if not 1 <= limit <= 5000:
        raise ValueError(f"limit {limit}: expected 1 to 5000")
    return limit


def check_groups(groups: int) -> int:
    """Return `groups` if so many may be looked at. Raises `ValueError`."""
    if not 0 <= groups <= 1000:
        raise ValueError(f"groups {groups}: expected 0 to 1000")
    return groups
