"""Which of the jobs that an agent holds are executed, and which wait for that.

First come, first begun: where a job does not fit, none that came later goes before it.

While its jobs are short, an agent takes more than it can execute: then no core waits for the network between two jobs, nor
for the disk of the queue. It begins with one for each core, takes one more whenever a core stood empty all the same, and
never so many that the last one would wait for long: another agent may be idle.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from typing import TypeVar

from copilot.agent.capacity import Capacity, Room, Share, request_of, total
from copilot.agent.effects import Assignment
from copilot.matching.resources import Free, Request
from copilot.protocol.commands import Job
from copilot.records import dataclass

SHORT = 1.0  # s; so long a job took if the next one is to wait for its end at the agent
OVERLAP = (
    3  # times as many may come: what was promised before, at most twice, and what we have asked for then
)
MOST_AHEAD = 8  # for each core
LONGEST_WAIT = 0.25  # s of work that may wait for a core, if that is more than one job
WEIGHT = 0.2  # of the last job in the mean time of jobs
ON_THEIR_WAY = 30.0  # s that a job may be on its way to us that we have asked for while jobs were short

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Begun:
    """A job that is executed: since when, what it takes, and what it got."""

    since: float
    request: Request
    share: Share


class Slots:
    """The jobs of one agent, and what it has for them."""

    def __init__(self, capacity: Capacity) -> None:
        self.capacity = capacity
        self._begun: dict[str, _Begun] = {}  # by job
        self._waiting: dict[str, Assignment] = {}  # in the order in which they came
        self._depth = 1  # jobs ahead for each core that keep it from standing empty
        self._mean = 0.0  # s that a job takes
        self._empty_since: float | None = None  # when a short job ended and no other one was here
        self._short = False
        self._short_at = -math.inf  # when it was so last

    @property
    def ahead(self) -> int:
        """How many jobs of one core we want to have here that wait for one."""
        large = any(one.needs.cores > 1 for one in self._waiting.values())  # they would wait behind that
        return self.capacity.places * self._each if self._short and not large else 0

    @property
    def _each(self) -> int:
        in_time = int(LONGEST_WAIT / self._mean) if self._mean else 1
        return max(1, min(self._depth, in_time))

    def bearable(self, now: float) -> int:
        """How many jobs of one core we let wait: we may have asked for them a moment ago, and jobs that were on their way
        to us before that come besides."""
        short = now - self._short_at < ON_THEIR_WAY
        return OVERLAP * self.capacity.places * self._each if short else 0

    def jobs(self, held: Collection[Assignment], *, ahead: bool) -> int:
        """How many jobs we can take besides `held`: also what is to wait, if we are to have some `ahead`. Asked for at each event."""
        extra = self.ahead if ahead else 0
        cores = self.capacity.cores - sum([one.needs.cores for one in held])
        return max(0, min(self.capacity.jobs + extra - len(held), cores + extra))

    def room(self, held: Collection[Assignment], *, ahead: bool, time: int | None = None) -> Room:
        """The same, with what is free for them. `time`: s until we leave."""
        mine, needs = self.capacity, [one.needs for one in held]
        cores = mine.cores - sum([one.cores for one in needs])
        extra = self.ahead if ahead else 0
        free = Free(
            cores=max(0, cores),
            ahead=max(0, extra + min(0, cores)),  # some wait already
            most=mine.most,
            gpus=max(0, len(mine.gpus) - sum([one.gpus for one in needs])),
            memory=self._left(mine.memory, [(one.memory, one.cores) for one in needs]),
            disk=self._left(mine.disk, [(one.disk, one.cores) for one in needs]),
            time=time,
        )
        return Room(jobs=self.jobs(held, ahead=ahead), free=free)

    def _left(self, amount: int | None, taken: Iterable[tuple[int, int]]) -> int | None:
        """Of memory or disk: a job that does not say what it needs may use the share of its cores."""
        if amount is None:
            return None
        each = self.capacity.share(amount, 1) or 0
        return max(0, amount - sum([said or min(amount, each * cores) for said, cores in taken]))

    def why_not(self, job: Job, held: Collection[Assignment], now: float) -> str | None:
        """Why this job is not to come to those that are `held`; None if it begins at once, or waits for no long."""
        mine, needs = self.capacity, request_of(job)
        never = mine.why_never(needs)
        if never is not None:
            return never
        taken, bearable = total(one.needs for one in held), self.bearable(now)
        if len(held) >= mine.jobs + bearable:
            return f"all {mine.jobs} slots of this agent are taken"
        if taken.cores + needs.cores > mine.cores + bearable:
            return f"it takes {needs.cores} cores, and {max(0, mine.cores - taken.cores)} of {mine.cores} are free"
        if bearable or _fits(mine, taken, needs):
            return None
        return f"it takes more than this agent has free: {self.room(held, ahead=False).free.text}"

    @property
    def waiting(self) -> list[Assignment]:
        """Those that have not begun, first come first."""
        return list(self._waiting.values())

    @property
    def busy(self) -> bool:
        """Whether something is executed."""
        return bool(self._begun)

    @property
    def cores_used(self) -> int:
        """How many cores those have that are executed."""
        return sum(one.request.cores for one in self._begun.values())

    def waits(self, job: str) -> bool:
        """Whether this job has not begun."""
        return job in self._waiting

    def add(self, assignment: Assignment) -> None:
        """A job has come."""
        self._waiting[assignment.id] = assignment

    def begin(self, now: float) -> list[tuple[Assignment, Share]]:
        """Those for which there is room: they begin now, with what each of them gets."""
        new: list[tuple[Assignment, Share]] = []
        while self._waiting and len(self._begun) < self.capacity.jobs:
            one = next(iter(self._waiting.values()))
            needs = one.needs
            if not _fits(self.capacity, total(begun.request for begun in self._begun.values()), needs):
                break
            del self._waiting[one.id]
            share = self._share(needs, one)
            self._begun[one.id] = _Begun(since=now, request=needs, share=share)
            new.append((one, share))
        if new and self._empty_since is not None:
            if now - self._empty_since < SHORT:  # else there was no work
                self._depth = min(MOST_AHEAD, self._depth + 1)
            self._empty_since = None
        return new

    def _share(self, needs: Request, one: Assignment) -> Share:
        """Cores and GPUs that nobody else has."""
        begun = [other.share for other in self._begun.values()]
        cpus = _unused(self.capacity.cpus, (cpu for share in begun for cpu in share.cpus), needs.cores)
        gpus = _unused(self.capacity.gpus, (gpu for share in begun for gpu in share.gpus or ()), needs.gpus)
        return Share(cores=needs.cores, cpus=cpus, gpus=gpus if one.resources else None)

    def drop(self, job: str) -> None:
        """A job does not begin after all."""
        self._waiting.pop(job, None)
        self._begun.pop(job, None)

    def ended(self, job: str, now: float) -> float | None:
        """A job has come to its end: how long it was executed, None if it never was."""
        begun = self._begun.pop(job, None)
        if begun is None:
            return None
        took = now - begun.since
        self._short = took < SHORT
        self._short_at = now if self._short else self._short_at
        self._mean += WEIGHT * (took - self._mean)
        if not self._short:
            self._depth = 1
        elif not self._waiting:
            self._empty_since = now
        return took


def _fits(capacity: Capacity, taken: Request, needs: Request) -> bool:
    """Whether there is room beside what is taken. A job that does not say what memory and disk it needs fits by its cores."""
    pairs = (
        (taken.cores + needs.cores, capacity.cores),
        (taken.gpus + needs.gpus, len(capacity.gpus)),
        (taken.memory + needs.memory, capacity.memory),
        (taken.disk + needs.disk, capacity.disk),
    )
    return all(most is None or together <= most for together, most in pairs)


def _unused(whole: Collection[T], used: Iterable[T], count: int) -> tuple[T, ...]:
    """The first so many that nobody uses."""
    taken = set(used)
    return tuple(one for one in whole if one not in taken)[:count]
