"""The judge of campaigns and simulations: reads the event stream, the records and the results, and finds what must not
have happened.

The stream is played against a model of the queue: each move must be one that was possible there and then, and each claim
must have taken the first of those that waited and were never tried.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from copilot.job import Event, EventKind, JobRecord, State

ENDS = (EventKind.DONE, EventKind.FAILED)
# Within a job's life: from which states to which. A report of an attempt that went back already may send it back again.
MOVES = {
    EventKind.RUNNING: ({State.RUNNING}, State.RUNNING),
    EventKind.HANDED_BACK: ({State.RUNNING}, State.WAITING),
    EventKind.REQUEUED: ({State.RUNNING, State.WAITING}, State.WAITING),
    EventKind.REVIVED: ({State.WAITING}, State.RUNNING),
}


class Expected(Protocol):
    """A job that was submitted, and whose end and result are known beforehand."""

    @property
    def id(self) -> str: ...

    @property
    def priority(self) -> int: ...

    @property
    def state(self) -> State:
        """What becomes of it."""
        ...

    def stdout(self, attempt: int) -> str:
        """What this attempt must have written."""
        ...


@dataclass(slots=True, kw_only=True)
class Found:
    """What is wrong, one line each.

    `lost`: submitted, and its result is not there, or is not the right one. `twice`: accepted or published more than
    once, or the result of another attempt. `stuck`: not over, or its result not in its place. `order`: moves that were
    not possible.
    """

    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    order: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Job:
    """A job in the model."""

    place: tuple[int, int, str]  # who comes first: the priority, negated, then the age
    state: State = State.WAITING
    attempt: int = 0
    published: bool = False


class Model:
    """The queue as the stream tells of it."""

    def __init__(self, works: Mapping[str, Expected], found: Found) -> None:
        self._works, self._found = works, found
        self._jobs: dict[str, _Job] = {}
        self._waiting: list[tuple[int, int, str]] = []

    def play(self, events: Iterable[Event]) -> None:
        """All events, oldest first."""
        for event in events:
            if event.kind is EventKind.QUARANTINED:
                continue  # it tells of an agent
            if event.kind is EventKind.SUBMITTED:
                self._submitted(event)
            elif event.job in self._jobs:
                self._moved(event, self._jobs[event.job])
            else:
                self._wrong(event, "it was never submitted")

    def _submitted(self, event: Event) -> None:
        if event.job in self._jobs or event.job not in self._works:
            self._wrong(event, "it was there before, or nobody submitted it")
            return
        job = _Job((-self._works[event.job].priority, len(self._jobs), event.job))
        self._jobs[event.job] = job
        bisect.insort(self._waiting, job.place)

    def _moved(self, event: Event, job: _Job) -> None:
        if event.kind is EventKind.CLAIMED:
            self._claimed(event, job)
        elif event.attempt != job.attempt:
            self._wrong(event, f"its attempt was {job.attempt}")
        elif event.kind in ENDS:
            if job.state.final:
                self._found.twice.append(f"{event.job}: {event.kind} when it was {job.state}")
            self._now(job, State(event.kind.value))
        elif event.kind is EventKind.PUBLISHED:
            self._published(event, job)
        elif event.kind in MOVES:
            before, after = MOVES[event.kind]
            if job.state not in before or job.attempt == 0:
                self._wrong(event, f"it was {job.state}")
            self._now(job, after)
        else:
            self._wrong(event, "nobody wanted that")

    def _published(self, event: Event, job: _Job) -> None:
        if not job.state.final:
            self._wrong(event, f"it was {job.state}")
        if job.published:
            self._found.twice.append(f"{event.job}: published again")
        job.published = True

    def _claimed(self, event: Event, job: _Job) -> None:
        if event.attempt != job.attempt + 1 or job.state is not State.WAITING:
            self._wrong(event, f"it was {job.state} with attempt {job.attempt}")
        else:
            # One that was tried already may have to wait, or is left to another agent.
            untried = next(
                place for place in self._waiting if self._jobs[place[2]].attempt == 0 or place == job.place
            )
            if untried < job.place:
                self._wrong(event, f"{untried[2]} came before it")
        job.attempt = event.attempt
        self._now(job, State.RUNNING)

    def _now(self, job: _Job, state: State) -> None:
        if job.state is State.WAITING:
            del self._waiting[bisect.bisect_left(self._waiting, job.place)]
        job.state = state
        if state is State.WAITING:
            bisect.insort(self._waiting, job.place)

    def _wrong(self, event: Event, why: str) -> None:
        self._found.order.append(f"{event.job}, attempt {event.attempt}: {event.kind}, but {why}")


def judge(
    works: Sequence[Expected],
    events: Iterable[Event],
    records: Mapping[str, JobRecord],
    results: Mapping[str, str | None],
) -> Found:
    """`works` were submitted; `results` are what they have written, as it lies in the place of results."""
    found = Found()
    Model({work.id: work for work in works}, found).play(events)
    for work in works:
        _judge_result(work, records.get(work.id), results.get(work.id), found)
    return found


def _judge_result(work: Expected, record: JobRecord | None, result: str | None, found: Found) -> None:
    if record is None:
        found.lost.append(f"{work.id}: the queue does not know it")
    elif not record.state.final or not record.published:
        found.stuck.append(f"{work.id}: {record.state}, attempt {record.attempt} of {record.agent}")
    elif record.state is not work.state:
        found.lost.append(f"{work.id}: {record.state} instead of {work.state}: {record.outcome}")
    elif result is None:
        found.lost.append(f"{work.id}: {record.state}, but its result is not there")
    elif result != work.stdout(record.attempt):
        of_another = any(result == work.stdout(attempt) for attempt in range(1, record.attempt + 2))
        (found.twice if of_another else found.lost).append(
            f"{work.id}: the record says attempt {record.attempt}, and the result says {result!r}"
        )
