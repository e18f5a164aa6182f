"""The waiting jobs of the queue in memory: whose turn it is, what fits, who may run. See decision 20."""

from __future__ import annotations

import abc
import heapq
import math
from collections import Counter, defaultdict
from collections.abc import Sequence

from copilot.job import State
from copilot.matching.groups import request_of
from copilot.matching.matcher import suits
from copilot.matching.resources import Fit, Request, cores_for, fits, take_off
from copilot.store import rules, trial
from copilot.store.memory_rows import Asker, Job
from copilot.store.shares import Share, Shares, check_share, whose
from copilot.store.trial import Trials
from copilot.store.turns import Passed, Turns

Entry = tuple[int, int, str]  # rank (priority, negated), place, id
Given = list[tuple[Job, int]]  # jobs, and how many cores each gets


class MemoryQueue(Shares, abc.ABC):
    """Part of `MemoryStore`."""

    round_trips: int
    _jobs: dict[str, Job]
    _trials: Trials

    def __init__(self) -> None:
        super().__init__()
        # Waiting jobs by their groups, best first. A job that is settled while it waits leaves its entry behind, and so does one whose
        # delay has begun; entries of jobs that do not wait, or are not known by this place any more, are skipped.
        self._queues: dict[str, list[Entry]] = {}
        self._turns = Turns()
        self._passed = Passed()
        self._shares: dict[str, Share] = {}

    @abc.abstractmethod
    def _is_in_queue(self, job: Job) -> bool:
        """Whether it waits there."""

    @abc.abstractmethod
    def _may_be_kept(self, name: str, time: float) -> bool:
        """Whether an agent (full or bare JID) is there and gets jobs at all."""

    async def set_share(self, share: Share) -> None:
        """What somebody may have: see `Shares.set_share`."""
        check_share(share)
        self.round_trips += 1
        limits = Share(whose=share.whose, shares=share.shares, jobs=share.jobs, cores=share.cores)
        self._shares.pop(share.whose, None)
        if limits != Share(whose=share.whose):
            self._shares[share.whose] = limits

    async def shares(self, names: tuple[str, ...] = ()) -> tuple[Share, ...]:
        """What somebody may have, and has: see `Shares.shares`."""
        rules.check_agents(names)
        self.round_trips += 1
        return tuple(self._share(name) for name in names or sorted(self._shares, key=str.encode))

    def _share(self, name: str) -> Share:
        jobs, cores = Counter[str](), Counter[str]()
        for job in self._jobs.values():
            if job.record.state is State.RUNNING:
                for one in _names(job):
                    jobs[one] += 1
                    cores[one] += job.record.cores
        known = self._shares.get(name, Share(whose=name))
        return Share(
            whose=name,
            shares=known.shares,
            jobs=known.jobs,
            cores=known.cores,
            running=jobs[name],
            used=cores[name],
        )

    def _push(self, job: Job) -> None:
        queue = self._queues.setdefault(job.group, [])
        heapq.heappush(queue, (-job.record.spec.priority, job.place, job.record.spec.id))

    def _first(self, group: str) -> Entry | None:
        """The first entry of a queue. Those that mean nothing any more go, and with the last one the queue."""
        queue = self._queues[group]
        while queue:
            _, place, ident = queue[0]
            job = self._jobs.get(ident)
            if job is not None and job.place == place and self._is_in_queue(job):
                return queue[0]
            heapq.heappop(queue)
        del self._queues[group]
        return None

    def _pop(self, asker: Asker, count: int, time: float) -> Given:
        """The first jobs that match and fit, without those that are to be left to other agents; what they take is off `asker.free`."""
        found: Given = []
        left: list[Job] = []
        passed: set[str] = set()  # groups: they fit no more when less is free
        # What is claimed together counts for quotas before it runs.
        taken: Counter[str] = Counter()
        while len(found) < count and len(left) < trial.MOST_LEFT:
            best = self._best(asker, passed, taken, time)
            if best is None:
                break
            job, room = best
            if job.record.spec.exclusive and asker.lease is None:  # so are all of its group
                passed.add(job.group)
                continue
            self._take_first(self._queues[job.group])
            if self._is_for_others(job, asker, time):
                left.append(job)
                continue
            request = request_of(job.group)
            cores = cores_for(job.record.spec, asker.free, room) if request.cores >= 1 else 1
            asker.free = take_off(asker.free, request, cores)
            for name in _names(job):
                taken[name] += 1
                taken[f"cores of {name}"] += cores
            if request != Request():
                self._passed.end(job.group)
            found.append((job, cores))
        self._note_starts([job for job, _ in found])
        for job in left:
            self._push(job)  # no news for anybody who is parked
        return found

    def _note_starts(self, jobs: Sequence[Job]) -> None:
        ranks: defaultdict[int, list[Job]] = defaultdict(list)
        for job in jobs:
            ranks[-job.record.spec.priority].append(job)
        for rank, started in ranks.items():
            firsts = [
                entry for group in tuple(self._queues) if (entry := self._first(group)) and entry[0] == rank
            ]
            cores = sum(request_of(job.group).cores for job in started)
            first = min(firsts)[1] if firsts else None
            self._turns.note_start(rank, max(job.place for job in started), cores, first)

    @staticmethod
    def _take_first(queue: list[Entry]) -> None:
        """All of the first job: one that was put back twice is there twice."""
        first = queue[0]
        while queue and queue[0] == first:
            heapq.heappop(queue)

    def _is_for_others(self, job: Job, asker: Asker, time: float) -> bool:
        return self._trials.is_for_others(asker.agent, job.failed_at, job.struck, time)

    def _best(
        self, asker: Asker, passed: set[str], taken: Counter[str], time: float
    ) -> tuple[Job, float] | None:
        """The first job that fits and may run, and how many cores it may have."""
        if asker.free.is_full:
            return None
        firsts = [
            (first, group)
            for group in tuple(self._queues)
            if group not in passed and (first := self._first(group))
        ]
        for (rank, place, ident), group in sorted(firsts):
            job, request = self._jobs[ident], request_of(group)
            if not suits(job.record.spec, asker.host):
                continue
            room = self._room(job, taken)
            if room >= request.cores:
                fit = fits(asker.free, request)
                if fit is Fit.NOW:
                    is_for_other = job.record.spec.rank and asker.prefers_other and asker.prefers_other(job)
                    return None if is_for_other else (job, room)
                if (
                    fit is Fit.LATER
                    and request != Request()
                    and not asker.is_silent
                    and self._passed.is_kept_for(asker.name, group, (rank, place), time, self._may_be_kept)
                ):
                    return None
                if fit is Fit.NEVER and asker.free.time is not None:
                    self._passed.end_keeping(asker.name, group, (rank, place))
            passed.add(group)
        return None

    def _room(self, job: Job, taken: Counter[str]) -> float:
        """How many cores more it may use, for its owner and its project."""
        room = math.inf
        for name in _names(job):
            if name in self._shares:
                share = self._share(name)
                running, used = share.running + taken[name], share.used + taken[f"cores of {name}"]
                if share.jobs is not None and running >= share.jobs:
                    return 0
                room = room if share.cores is None else min(room, share.cores - used)
        return room


def _names(job: Job) -> tuple[str, ...]:
    spec = job.record.spec
    return whose(rules.owner_of(spec), rules.words_of(spec.project))
