"""Why a job does not run, as the queue in memory tells it: see `copilot.store.explaining`."""

from __future__ import annotations

import abc
import itertools
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import field

from copilot.job import Event, EventKind, State
from copilot.matching.needs import needed
from copilot.records import dataclass
from copilot.store.explaining import (
    HOSTS_KEPT,
    MOST_EVENTS,
    MOST_GROUPS,
    MOST_MACHINES,
    ONLINE_FOR,
    PACE_OVER,
    Before,
    Circumstances,
    Explaining,
    Machine,
    Machines,
    Pace,
    check_groups,
    check_limit,
)
from copilot.store.memory_rows import Job, ParkedAgent
from copilot.store.trial import Trial, Trials
from copilot.store.turns import Passed


@dataclass(slots=True)
class Presence:
    """Who was there lately: agents (full JIDs) by when they asked for work, bare JIDs by when they renewed leases."""

    asked: dict[str, float] = field(default_factory=dict)
    renewed: dict[str, float] = field(default_factory=dict)

    def ask(self, jid: str, now: float) -> None:
        """An agent asks for work."""
        self.asked = {one: when for one, when in self.asked.items() if when > now - HOSTS_KEPT}
        self.asked[jid] = now

    def is_there(self, jid: str, now: float) -> bool:
        """Whether an agent has asked for work lately."""
        return self.asked.get(jid, 0.0) > now - ONLINE_FOR

    def leave(self, jid: str, parked_for: float, now: float) -> None:
        """It is not there, unless it has asked within so many seconds."""
        if jid in self.asked and self.asked[jid] <= now - parked_for:
            self.asked[jid] = min(self.asked[jid], now - ONLINE_FOR)
            self.renewed[jid.partition("/")[0]] = now - ONLINE_FOR


class MemoryExplaining(Explaining, abc.ABC):
    """Part of `MemoryStore`, over its tables."""

    _jobs: dict[str, Job]
    _parked: dict[str, ParkedAgent]
    _hosts: dict[str, tuple[float, str]]
    _presence: Presence
    _delayed: dict[str, float]
    _draining: dict[str, float]
    _cancelling: dict[str, None]
    _events: deque[Event]
    _trials: Trials
    _passed: Passed

    @abc.abstractmethod
    def _begin(self, now: float | None) -> float:
        """A call begins; the time."""

    @abc.abstractmethod
    def _is_in_queue(self, job: Job) -> bool:
        """Whether it waits there."""

    @abc.abstractmethod
    def _may_be_kept(self, name: str, time: float) -> bool:
        """Whether an agent (full or bare JID) is there and gets jobs at all."""

    @abc.abstractmethod
    def _welcome(self, agent: str, now: float) -> bool:
        """Whether its account is good for jobs."""

    async def machines(self, limit: int = MOST_MACHINES, *, now: float | None = None) -> Machines:
        """Who was there lately: see `Explaining.machines`."""
        time = self._begin(now)
        asked = self._presence.asked
        order = sorted(asked, key=lambda jid: (asked[jid], jid), reverse=True)
        rows = [self._machine(jid, time) for jid in order[: check_limit(limit)]]
        return Machines(now=time, total=len(asked), rows=rows)

    def _machine(self, jid: str, now: float) -> Machine:
        agent, parked = jid.partition("/")[0], self._parked.get(jid)
        trial = self._trials.trials.get(agent, Trial(agent=agent))
        return Machine(
            jid=jid,
            agent=agent,
            asked=self._presence.asked[jid],
            parked=None if parked is None else parked.since,
            renewed=self._presence.renewed.get(agent),
            slots=0 if parked is None else parked.slots,
            free=None if parked is None else parked.asker(now).free,
            leased=None if parked is None else parked.lease is not None,
            host=self._hosts.get(jid, (0.0, ""))[1],
            quarantine=trial.ends if trial.ends > now else 0.0,
            probation=trial.level > 0,
            leaves=self._draining.get(agent, 0.0) > now,
            out=not self._welcome(agent, now),
        )

    async def circumstances(
        self, job: str, *, groups: int = MOST_GROUPS, now: float | None = None
    ) -> Circumstances | None:
        """How a job stands: see `Explaining.circumstances`."""
        check_groups(groups)
        time, known = self._begin(now), self._jobs.get(job)
        if known is None:
            return None
        state, record = known.record.state, known.record
        runs, ahead = state is State.RUNNING, self._ahead(known)
        others = [(group, number) for group, number in ahead.items() if group[0] != known.group]
        looked_at = others[:groups]
        turn = -record.spec.priority, known.place
        passed, reserved = (
            self._passed.of(known.group, turn, time, self._may_be_kept)
            if self._is_in_queue(known)
            else (None, "")
        )
        return Circumstances(
            now=time,
            state=state,
            delayed=self._delayed.get(job),
            held=known.held if state is State.HELD else None,
            deadline=known.deadline if runs else None,
            cancelling=known.cancelling if job in self._cancelling else None,
            lease=known.lease,
            confirmed=known.confirmed,
            phase=known.phase,
            suspected=known.suspected == record.attempt > 0,
            failed_at=known.failed_at,
            struck=known.struck or None,
            place=ahead[known.group, needed(record.spec)] if self._is_in_queue(known) else None,
            more=len(others) - len(looked_at),
            before=tuple(Before(requirements=text, jobs=number) for (_, text), number in looked_at),
            passed_over=passed,
            reserved=reserved,
            pace=self._pace(known, time),
        )

    def _ahead(self, known: Job) -> Counter[tuple[str, str]]:
        """Of each group and its requirements how many jobs come before it, in the order of their first ones."""
        if not self._is_in_queue(known):
            return Counter()
        turns = sorted(
            (turn, (job.group, needed(job.record.spec)))
            for job in self._jobs.values()
            if self._is_in_queue(job) and (turn := _turn(job)) < _turn(known)
        )
        return Counter(group for _, group in turns)

    def _pace(self, known: Job, now: float) -> Pace:
        if known.record.state is not State.WAITING:
            return Pace(started=0, group=0, seconds=0.0)
        late = _since(itertools.islice(reversed(self._events), MOST_EVENTS), now - PACE_OVER)
        claims = [one for one in late if one.kind is EventKind.CLAIMED]
        began, starts = claims[-1].time if claims else now, [one.job for one in claims]
        of_group = sum(job in self._jobs and self._jobs[job].group == known.group for job in starts)
        return Pace(started=len(starts), group=of_group, seconds=now - began)


def _since(events: Iterable[Event], begin: float) -> Iterable[Event]:
    return itertools.takewhile(lambda one: one.time >= begin, events)


def _turn(job: Job) -> tuple[int, int]:
    return -job.record.spec.priority, job.place
