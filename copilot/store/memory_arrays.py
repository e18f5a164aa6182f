"""Arrays in memory: each element is a job from the begin, which is what arrays in Redis are to look like. See `copilot.store.arrays`."""

from __future__ import annotations

import abc
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from copilot.job import (
    Cause,
    Event,
    EventKind,
    JobRecord,
    JobSpec,
    Outcome,
    State,
    element_id,
    split_element,
)
from copilot.matching.groups import group_of
from copilot.records import dataclass
from copilot.store import rules
from copilot.store.arrays import ArrayRecord, Arrays, Operated, Slice, Wish
from copilot.store.base import Changed
from copilot.store.memory_rows import Job

_KINDS = {
    Wish.CANCEL: EventKind.CANCELLED,
    Wish.HOLD: EventKind.HELD,
    Wish.RELEASE: EventKind.RELEASED,
    Wish.RETRY: EventKind.RETRIED,
}


@dataclass(slots=True, kw_only=True)
class Family:
    """What the elements of an array have in common."""

    spec: JobSpec
    text: str
    submitted: float
    first_event: str
    counts: Counter[State]
    removed: int = 0
    unpublished: int = 0
    finished: float | None = None

    @property
    def record(self) -> ArrayRecord:
        """As others see it."""
        return ArrayRecord(
            spec=self.spec,
            counts={state: self.counts[state] for state in State},
            submitted=self.submitted,
            first_event=self.first_event,
            finished=self.finished,
            removed=self.removed,
            unpublished=self.unpublished,
        )


class MemoryArrays(Arrays, abc.ABC):
    """Part of `MemoryStore`."""

    round_trips: int
    _jobs: dict[str, Job]

    def __init__(self) -> None:
        super().__init__()
        self._arrays: dict[str, Family] = {}

    @abc.abstractmethod
    def _begin(self, now: float | None) -> float: ...

    @abc.abstractmethod
    def _set(self, job: Job) -> None: ...

    @abc.abstractmethod
    def _put_in_queue(self, job: Job, until: float | None = None) -> None: ...

    @abc.abstractmethod
    def _block(self, job: Job, time: float) -> None: ...

    @abc.abstractmethod
    def _keep_out(self, job: Job, time: float) -> None: ...

    @abc.abstractmethod
    def _let_others_in(self, job: str, state: State, time: float) -> None: ...

    @abc.abstractmethod
    def _waits(self, job: str) -> bool: ...

    @abc.abstractmethod
    def _operate(self, wish: Wish, job: str, reason: str, time: float) -> Changed: ...

    @abc.abstractmethod
    def _append_of(self, job: str, kind: EventKind, time: float, cause: str, text: str) -> Event: ...

    async def array(self, array: str) -> ArrayRecord | None:
        """An array: see `Arrays.array`."""
        self.round_trips += 1
        return self._arrays[array].record if array in self._arrays else None

    async def operate_slice(
        self,
        array: str,
        part: Slice,
        wish: Wish,
        *,
        reason: str = "",
        states: Sequence[State] = (),
        after: str = "",  # noqa: ARG002  # nothing is left
        now: float | None = None,
    ) -> Operated:
        """All of it at once: see `Arrays.operate_slice`."""
        time, family = self._begin(now), self._arrays.get(array)
        if family is None:
            return Operated(size=0, changed=0, same=0)
        size = family.spec.array
        part = replace(part, begin=min(part.begin, size), end=min(part.end, size))
        jobs = [self._jobs[one] for one in self._elements(array, part) if one in self._jobs]
        changed, moved = 0, 0
        for job in [job for job in jobs if is_untouched(job)]:
            if not states or job.record.state in states:
                moved += self._move_untouched(job, wish, reason, time) is not None
        if moved:
            cause = Cause.CANCELLED.value if wish is Wish.CANCEL else ""
            text = f"{part.text} {rules.event_text(reason)}"
            self._append_of(array, _KINDS[wish], time, cause, text)
            if wish is Wish.CANCEL:
                self._note_end_of(array, time)
        for job in [job for job in jobs if not is_untouched(job)]:
            if not states or job.record.state in states:
                changed += self._operate(wish, job.record.spec.id, reason, time).changed
        return Operated(size=size, changed=changed + moved, same=len(jobs) - changed - moved)

    def _elements(self, array: str, part: Slice) -> Iterator[str]:
        return (element_id(array, index) for index in range(part.begin, part.end, part.step))

    def _add_array(self, spec: JobSpec, text: str, first: JobRecord, places: range, *, blocked: bool) -> None:
        """`first` is the record of each but for what it is; `places` are those of its elements."""
        self._arrays[spec.id] = Family(
            spec=spec,
            text=text,
            submitted=first.submitted,
            first_event=first.first_event,
            counts=Counter(),
        )
        group = group_of(spec)
        for index, place in enumerate(places):
            record = replace(first, spec=spec.element(index))
            job = Job(record=record, text=text, place=place, group=group)
            if spec.hold:
                self._keep_out(job, first.submitted)
            elif blocked:
                self._block(job, first.submitted)
            else:
                self._put_in_queue(job)

    def _in_the_way(self, spec: JobSpec) -> str | None:
        """The id of a job that is in the way of this new one."""
        if self._family_of(spec.id) is not None or spec.id in self._arrays or spec.id in self._jobs:
            return spec.id
        ids = (element_id(spec.id, index) for index in range(spec.array))
        return next((one for one in ids if one in self._jobs), None)

    def _family_of(self, job: str) -> str | None:
        """The array of an element."""
        named = split_element(job)
        if named is None or named[0] not in self._arrays or named[1] >= self._arrays[named[0]].spec.array:
            return None
        return named[0]

    def _move_untouched(self, job: Job, wish: Wish, reason: str, time: float) -> State | None:
        """An element that no agent ever had goes where somebody wants it; None if it cannot. No event tells of it."""
        state = self._goal(job, wish)
        if state is State.WAITING:
            self._put_in_queue(_begun_again(job))
        elif state is State.BLOCKED:
            self._block(_begun_again(job), time)
        elif state is State.HELD:
            self._set(replace(job, record=replace(job.record, state=state), held=time))
        elif state is State.CANCELLED:
            outcome = rules.cancelled(reason)
            record = replace(job.record, state=state, finished=time, outcome=outcome, published=True)
            self._set(replace(job, record=record))
        return state

    def _goal(self, job: Job, wish: Wish) -> State | None:
        state = job.record.state
        line = State.BLOCKED if self._waits(job.record.spec.submitted_as) else State.WAITING
        if wish is Wish.RETRY:
            return line if state is State.CANCELLED else None
        if wish is Wish.RELEASE:
            return {State.HELD: line, State.BLOCKED: State.WAITING}.get(state)
        if wish is Wish.HOLD:
            return State.HELD if state in (State.WAITING, State.BLOCKED) else None
        return None if state is State.CANCELLED else State.CANCELLED

    def _operate_untouched(self, job: Job, wish: Wish, reason: str, time: float) -> Changed:
        state = self._move_untouched(job, wish, reason, time)
        if state is None:
            return Changed(changed=False, state=job.record.state)
        cause = Cause.CANCELLED.value if state is State.CANCELLED else ""
        self._append_of(job.record.spec.id, _KINDS[wish], time, cause, rules.event_text(reason))
        if state is State.CANCELLED:
            self._note_end_of(job.record.spec.submitted_as, time)
        return Changed(changed=True, state=state)

    def _note_end_of(self, array: str, time: float) -> None:
        """An element has ended. If it was the last one, so has the array."""
        family = self._arrays[array]
        state = family.record.state
        if state.final:
            family.finished = time
            self._let_others_in(array, state, time)

    def _count_element(self, job: Job, number: int) -> None:
        spec = job.record.spec
        if spec.index is not None and spec.submitted_as in self._arrays:
            self._arrays[spec.submitted_as].counts[job.record.state] += number

    def _unblock_array(self, array: str) -> bool:
        """Whether any element was blocked."""
        every = Slice(begin=0, end=self._arrays[array].spec.array)
        jobs = [self._jobs[one] for one in self._elements(array, every) if one in self._jobs]
        blocked = [job for job in jobs if job.record.state is State.BLOCKED]
        for job in blocked:
            self._put_in_queue(job)
        return bool(blocked)

    def _forget_element(self, job: JobSpec) -> bool:
        """One element more is forgotten; whether the array is with it."""
        family = self._arrays[job.submitted_as]
        family.removed += 1
        if family.removed < family.spec.array:
            return False
        del self._arrays[job.submitted_as]
        return True


def first_clash(new: Sequence[JobSpec]) -> str | None:
    """The first of these new jobs that would have an id of another one."""
    sizes: dict[str, int] = {}
    lowest: dict[str, int] = {}
    for spec in new:
        name, index = split_element(spec.id) or ("", 0)
        if index < sizes.get(name, 0) or lowest.get(spec.id, spec.array) < spec.array:
            return spec.id
        sizes[spec.id] = spec.array
        if name:
            lowest[name] = min(index, lowest.get(name, index))
    return None


def is_untouched(job: Job) -> bool:
    """Whether it is an element that no agent ever had."""
    return job.record.spec.index is not None and job.record.attempt == 0


def entry_name(job: Job) -> str:
    """By which jobs of the same time are in order in indexes."""
    return range_name(job.record.spec.id) if is_untouched(job) else job.record.spec.id


def range_name(element: str) -> str:
    """As an entry of an index that begins with this element."""
    array, _, index = element.rpartition(".")
    return f"+{array}/{int(index):07d}"


def _begun_again(job: Job) -> Job:
    outcome: Outcome | None = None
    record = replace(job.record, outcome=outcome, finished=None, published=False)
    return replace(job, record=record)
