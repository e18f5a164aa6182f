"""What onlookers ask, in memory: see `copilot.store.survey`. Each method looks at all jobs; nobody keeps a million here."""

from __future__ import annotations

import abc
import itertools
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from typing import TypeVar

from copilot.job import Attempt, Event, JobSpec, State
from copilot.matching.groups import is_plain
from copilot.matching.host import slots_of
from copilot.matching.needs import needed
from copilot.store import rules
from copilot.store.arrays import is_about
from copilot.store.memory_arrays import Family, entry_name, is_untouched, range_name
from copilot.store.memory_explaining import MemoryExplaining
from copilot.store.memory_rows import Job, ParkedAgent
from copilot.store.places import Place, check_head, entry_order, read_place
from copilot.store.survey import (
    Group,
    Groups,
    Idle,
    Line,
    Load,
    Oldest,
    Owner,
    Owners,
    Page,
    Part,
    Records,
    Survey,
    Told,
    Work,
)

T = TypeVar("T")
R = TypeVar("R")


class MemorySurvey(MemoryExplaining, Survey, abc.ABC):
    """Part of `MemoryStore`, over its tables."""

    round_trips: int
    _jobs: dict[str, Job]
    _parked: dict[str, ParkedAgent]
    _hosts: dict[str, tuple[float, str]]
    _delayed: dict[str, float]
    _unpublished: set[str]
    _attempts: defaultdict[str, deque[Attempt]]
    _events: deque[Event]
    _arrays: dict[str, Family]

    @abc.abstractmethod
    def _family_of(self, job: str) -> str | None:
        """The array of an element."""

    @abc.abstractmethod
    def _begin(self, now: float | None) -> float:
        """A call begins; the time."""

    @abc.abstractmethod
    def _is_in_queue(self, job: Job) -> bool:
        """Whether it waits there."""

    async def groups(self, limit: int = 20) -> Groups:
        """The largest requirement groups: see `Survey.groups`."""
        rules.check_count("limit", limit)
        self.round_trips += 1
        by_group: defaultdict[str, list[Job]] = defaultdict(list)
        for job in sorted(self._queued(), key=_turn):
            by_group[job.group].append(job)
        # Of equally large ones that whose turn is first; jobs without requirements stand before all others.
        order = sorted(
            by_group, key=lambda name: (-len(by_group[name]), not is_plain(name), _turn(by_group[name][0]))
        )
        rows = (_group(name, by_group[name]) for name in order[:limit])
        return Groups(total=len(by_group), rows=tuple(rows))

    async def oldest(self, after: str = "", count: int = 100) -> Oldest:
        """The oldest job of all groups at once: see `Survey.oldest`."""
        check_head(after)
        rules.check_count("count", count)
        self.round_trips += 1
        times = (job.record.submitted for job in self._queued())
        return Oldest(submitted=min(times, default=None), next="")

    async def owners(self, limit: int = 20) -> Owners:
        """The owners with the most jobs: see `Survey.owners`."""
        rules.check_count("limit", limit)
        self.round_trips += 1
        waiting = Counter(self._owners(State.WAITING) + self._owners(State.BLOCKED))
        running = Counter(self._owners(State.RUNNING))
        both = waiting + running
        order = sorted(both, key=lambda owner: (both[owner], owner.encode()), reverse=True)
        rows = (Owner(owner=owner, waiting=waiting[owner], running=running[owner]) for owner in order[:limit])
        return Owners(total=len(both), rows=tuple(rows))

    def _owners(self, state: State) -> list[str]:
        return [rules.owner_of(job.record.spec) for job in self._jobs.values() if job.record.state is state]

    async def holders(self, after: str = "", count: int = 1000) -> Part[Work]:
        """Running attempts: see `Survey.holders`."""
        self.round_trips += 1
        return _part(sorted(self._in(State.RUNNING), key=_ident), _work, after, count)

    async def work(self, jobs: Sequence[str]) -> tuple[Work, ...]:
        """Those of these jobs that run: see `Survey.work`."""
        rules.check_jobs(jobs)
        self.round_trips += 1
        known = (self._jobs[job] for job in jobs if job in self._jobs)
        return tuple(_work(job) for job in known if job.record.state is State.RUNNING)

    async def idle(self, after: str = "", count: int = 1000, *, now: float | None = None) -> Part[Idle]:
        """Parked agents: see `Survey.idle`."""
        time = self._begin(now)
        there = [one for one in self._parked.values() if one.since + rules.PARKED_FOR > time]
        return _part(sorted(there, key=lambda one: one.to.jid), _idle, after, count)

    async def declared(self, jids: Sequence[str]) -> tuple[int, ...]:
        """Slots of agents: see `Survey.declared`."""
        rules.check_agents(jids)
        self.round_trips += 1
        return tuple(slots_of(self._hosts.get(jid, (0.0, ""))[1]) for jid in jids)

    async def page(self, state: State, *, after: str = "", limit: int = 50, whole: bool = False) -> Page:
        """Jobs in a state: see `Survey.page`."""
        rules.check_count("limit", limit)
        place = read_place(state, after)
        self.round_trips += 1
        jobs = self._in_order(state)
        found = self._one_of_each_array(jobs) if whole and state is State.WAITING else jobs
        found = found[place.skip :]
        if place.job:
            behind = float(place.time), self._name_of(place.job)
            found = [job for job in jobs if _stands(job) < behind]
        if whole and state is not State.WAITING:
            return self._whole_page(place, found, len(jobs), limit)
        shown = found[:limit]
        return Page(
            total=len(jobs),
            rows=tuple(map(self._line, shown)),
            next=place.after(len(shown), limit, _last_place(shown)),
        )

    def _whole_page(self, place: Place, found: Sequence[Job], total: int, limit: int) -> Page:
        """A page ends before the first row that has no room."""
        rows = self._one_of_each_array(found)
        gone_through = found[: found.index(rows[limit])] if len(rows) > limit else ()
        behind = (
            str(place.skip + len(gone_through)) if place.state is State.RUNNING else _last_place(gone_through)
        )
        return Page(
            total=total, rows=tuple(map(self._line, rows[:limit])), next=behind if gone_through else ""
        )

    def _one_of_each_array(self, jobs: Sequence[Job]) -> list[Job]:
        """Those that are elements of none, and the first of each array."""
        rows, met = list[Job](), set[str]()
        for job in jobs:
            family = self._family_of(_ident(job))
            if family is None or family not in met:
                rows.append(job)
            if family is not None:
                met.add(family)
        return rows

    def _name_of(self, job: str) -> str:
        """By which it stands, or stood, among jobs of the same time."""
        known = self._jobs.get(job)
        if known is None:
            return job if self._family_of(job) is None else range_name(job)
        return entry_name(known)

    def _in_order(self, state: State) -> list[Job]:
        if state is State.WAITING:
            delayed = sorted((until, job) for job, until in self._delayed.items())
            return sorted(self._queued(), key=_turn) + [self._jobs[job] for _, job in delayed]
        if state is State.RUNNING:
            return sorted(self._in(state), key=lambda job: (job.deadline, _ident(job)))
        return sorted(self._in(state), key=_stands, reverse=True)

    def _line(self, job: Job) -> Line:
        record = job.record
        since = _entered(job)
        if record.state is State.WAITING:
            attempts = self._attempts.get(_ident(job))
            since = attempts[-1].ended if attempts else record.submitted
        return Line(
            job=_ident(job),
            owner=rules.owner_of(record.spec),
            state=record.state,
            attempt=record.attempt,
            agent=record.agent or "",
            since=since,
            cause=record.outcome.cause.value if record.state.final and record.outcome else "",
        )

    async def told(self, job: str, *, after: str = "0", count: int = 1000) -> Told:
        """What is told of a job: see `Survey.told`."""
        rules.check_count("count", count)
        behind = entry_order(rules.check_entry(after))
        self.round_trips += 1
        later = (event for event in self._events if entry_order(event.id) > behind)
        entries = list(itertools.islice(later, count))
        found = tuple(event for event in entries if is_about(event, job))
        return Told(looked_at=len(entries), last=entries[-1].id if entries else "", events=found)

    async def records(
        self,
        after: str = "",
        count: int = 1000,
        *,
        states: Sequence[State] = (),
        owner: str | None = None,
        words: Sequence[str] = (),
    ) -> Records:
        """Records of jobs: see `Survey.records`."""
        self.round_trips += 1
        found = [
            (one.record, one.text, {one.record.state}) for one in self._jobs.values() if not is_untouched(one)
        ]
        found += [
            (one.record.record, one.text, {state for state in State if one.counts[state]})
            for one in self._arrays.values()
        ]
        found.sort(key=lambda one: one[0].spec.id)
        part = _part(found, lambda one: one, after, count)
        rows = (
            record
            for record, text, inside in part.rows
            if (not states or inside & set(states))
            and owner in (None, rules.owner_of(record.spec))
            and all(word in text for word in words)
        )
        return Records(looked_at=len(part.rows), rows=tuple(rows), next=part.next)

    async def load(self) -> Load:
        """How full it is: see `Survey.load`. What the process uses is not known here."""
        self.round_trips += 1
        return Load(used=0, limit=0, unpublished=len(self._unpublished))

    def _queued(self) -> list[Job]:
        return [job for job in self._jobs.values() if self._is_in_queue(job)]

    def _in(self, state: State) -> list[Job]:
        return [job for job in self._jobs.values() if job.record.state is state]


def _part(rows: Sequence[T], show: Callable[[T], R], after: str, count: int) -> Part[R]:
    begin, size = int(rules.check_scan(after) or 0), rules.check_count("count", count)
    end = begin + size
    return Part(rows=[show(row) for row in rows[begin:end]], next=str(end) if end < len(rows) else "")


def _work(job: Job) -> Work:
    record = job.record
    return Work(
        job=_ident(job),
        attempt=record.attempt,
        agent=record.agent or "",
        claimed=_entered(job),
        phase=job.phase,
        cores=record.cores,
    )


def _group(name: str, jobs: Sequence[Job]) -> Group:
    spec = jobs[0].record.spec
    return Group(
        requirements=needed(spec),
        waiting=len(jobs),
        oldest=min(job.record.submitted for job in jobs),
        name=name,
        owner=rules.owner_of(spec),
        project=rules.words_of(spec.project),
        rank=spec.rank,
    )


def _idle(one: ParkedAgent) -> Idle:
    return Idle(jid=one.to.jid, agent=one.agent, slots=one.slots, since=one.since)


def _turn(job: Job) -> tuple[int, int]:
    spec: JobSpec = job.record.spec
    return -spec.priority, job.place


def _entered(job: Job) -> float:
    """When a job came into its state, if it does not wait."""
    record = job.record
    when = {State.RUNNING: record.claimed, State.HELD: job.held, State.BLOCKED: job.held}.get(
        record.state, record.finished
    )
    return when or 0.0


def _last_place(jobs: Sequence[Job]) -> str:
    """The place behind these, in an index; "" if there are none."""
    return f"{_entered(jobs[-1])!r}:{_ident(jobs[-1])}" if jobs else ""


def _stands(job: Job) -> tuple[float, str]:
    """Where it stands in an index."""
    return _entered(job), entry_name(job)


def _ident(job: Job) -> str:
    return job.record.spec.id
