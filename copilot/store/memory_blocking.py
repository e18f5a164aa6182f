"""Jobs that wait for others, in memory: as blocking.lua has it. See `copilot.store.blocking`."""

from __future__ import annotations

import abc
from collections import defaultdict
from collections.abc import Sequence

from copilot.job import Event, EventKind, JobRecord, JobSpec, State
from copilot.store import rules
from copilot.store.arrays import Slice
from copilot.store.blocking import Awaited, Blocking, Until, told, wishes_of
from copilot.store.memory_arrays import MemoryArrays
from copilot.store.memory_rows import Job

Name = tuple[Until, str]


class MemoryBlocking(MemoryArrays, Blocking, abc.ABC):
    """Part of `MemoryStore`."""

    round_trips: int
    _jobs: dict[str, Job]

    def __init__(self) -> None:
        super().__init__()
        self._awaits: dict[str, set[Name]] = {}
        self._awaited: defaultdict[Name, set[str]] = defaultdict(set)
        self._letting_in: dict[Name, float] = {}

    @abc.abstractmethod
    def _put_in_queue(self, job: Job, until: float | None = None) -> None: ...

    @abc.abstractmethod
    def _block(self, job: Job, time: float) -> None: ...

    @abc.abstractmethod
    def _write(self, record: JobRecord, kind: EventKind, time: float, *, text: str = "") -> Event: ...

    async def awaits(self, job: str) -> Sequence[Awaited]:
        """What a job waits for yet: see `Blocking.awaits`."""
        self.round_trips += 1
        names = sorted(self._awaits.get(job, ()))
        return tuple(Awaited(job=other, until=until, state=self._state_of(other)) for until, other in names)

    def _waits(self, job: str) -> bool:
        return job in self._awaits

    def _state_of(self, job: str) -> State | None:
        if job in self._arrays:
            return self._arrays[job].record.state
        return self._jobs[job].record.state if job in self._jobs else None

    def _unknown_wish(self, new: Sequence[JobSpec]) -> tuple[str, str] | None:
        """The first job that waits for one that nobody knows, and that one."""
        earlier: set[str] = set()
        for spec in new:
            for _, other in wishes_of(spec):
                known = self._jobs.get(other)
                is_job = known is not None and known.record.spec.index is None
                if other not in earlier and not is_job and other not in self._arrays:
                    return spec.id, other
            earlier.add(spec.id)
        return None

    def _begin_waiting(self, spec: JobSpec) -> bool:
        """Whether it has to wait for others."""
        names = {name for name in wishes_of(spec) if not name[0].is_so(self._state_of(name[1]))}
        for name in names:
            self._awaited[name].add(spec.id)
        if names:
            self._awaits[spec.id] = names
        return bool(names)

    def _end_waiting(self, job: str) -> None:
        for name in self._awaits.pop(job, ()):
            self._forget_awaited(name, job)

    def _put_back_in_line(self, job: Job, time: float) -> State:
        if job.record.spec.id in self._awaits:
            self._block(job, time)
            return State.BLOCKED
        self._put_in_queue(job)
        return State.WAITING

    def _let_others_in(self, job: str, state: State, time: float) -> None:
        """A job has ended so."""
        left = rules.LET_IN_AT_ONCE
        if state is State.DONE:
            left -= self._let_in((Until.DONE, job), left, time)
        if left > 0:
            self._let_in((Until.OVER, job), left, time)
        elif self._awaited.get((Until.OVER, job)):
            self._letting_in[Until.OVER, job] = time

    def _let_in(self, name: Name, most: int, time: float) -> int:
        found = sorted(self._awaited.get(name, ()))[:most]
        for ident in found:
            self._forget_awaited(name, ident)
            self._awaits[ident].discard(name)
            if not self._awaits[ident]:
                del self._awaits[ident]
                self._unblock(ident, told(*name), time)
        if len(found) == most and name in self._awaited:
            self._letting_in[name] = time
        elif found:
            self._letting_in.pop(name, None)
        return len(found)

    def _unblock(self, ident: str, text: str, time: float) -> None:
        if ident in self._arrays:
            if self._unblock_array(ident):
                every = Slice(begin=0, end=self._arrays[ident].spec.array)
                self._append_of(ident, EventKind.RELEASED, time, "", f"{every.text} {text}")
            return
        job = self._jobs[ident]
        if job.record.state is State.BLOCKED:
            self._put_in_queue(job)
            self._write(job.record, EventKind.RELEASED, time, text=text)

    def _go_on_letting_in(self, time: float) -> None:
        left = rules.LET_IN_AT_ONCE
        while left > 0 and self._letting_in:
            _, name = min((when, name) for name, when in self._letting_in.items())
            found = self._let_in(name, left, time)
            left -= found
            if not found:
                del self._letting_in[name]

    def _forget_awaited(self, name: Name, job: str) -> None:
        self._awaited[name].discard(job)
        if not self._awaited[name]:
            del self._awaited[name]

    def _is_awaited(self, job: str) -> bool:
        return any((until, job) in self._awaited for until in Until)
