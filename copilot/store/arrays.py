"""Arrays: many jobs that are one entry of the queue (decision 21), and what is wanted of slices of them."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from typing import Protocol

from copilot.job import Event, JobRecord, JobSpec, State, split_element
from copilot.patterns import pattern
from copilot.records import dataclass

_CURSOR = pattern(r"([pgr][0-9]{1,8})?\Z")
_SLICE = pattern(r"\[([0-9]{1,7}):([0-9]{1,7})(?::([1-9][0-9]{0,6}))?\](?: |\Z)")
_ORDER = (State.RUNNING, State.WAITING, State.BLOCKED, State.HELD, State.FAILED, State.CANCELLED)


class Wish(enum.StrEnum):
    """What somebody may want of jobs; the words of slice.lua."""

    CANCEL = "cancel"
    HOLD = "hold"
    RELEASE = "release"
    RETRY = "retry"


@dataclass(frozen=True, slots=True, kw_only=True)
class Slice:
    """Every `step`th element from `begin` to before `end`, counted from 0."""

    begin: int
    end: int
    step: int = 1

    def __post_init__(self) -> None:
        if not (0 <= self.begin <= self.end and self.step >= 1):
            raise ValueError(
                f"slice {self.begin}:{self.end}:{self.step}: expected 0 <= begin <= end and a step from 1"
            )

    def __contains__(self, index: int) -> bool:
        return self.begin <= index < self.end and (index - self.begin) % self.step == 0

    @property
    def text(self) -> str:
        """As it is written."""
        return f"[{self.begin}:{self.end}{f':{self.step}' if self.step > 1 else ''}]"


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayRecord:
    """An array: how many of its elements are in each state. Times are seconds since the epoch; `finished`: when the last one ended.
    `removed` elements are counted as they ended; of `unpublished` ones the finisher has not taken the result yet."""

    spec: JobSpec
    counts: Mapping[State, int]
    submitted: float
    first_event: str
    finished: float | None = None
    removed: int = 0
    unpublished: int = 0

    @property
    def state(self) -> State:
        """Running if an element is, else waiting, blocked or held if one is; else failed or cancelled if one has ended so."""
        return state_of(self.counts)

    @property
    def told(self) -> tuple[str, ...]:
        """How many elements are in each state, as messages have it: `done=2`, `waiting=98`."""
        return tuple(f"{state}={number}" for state, number in self.counts.items() if number)

    @property
    def record(self) -> JobRecord:
        """As a job among others."""
        state = self.state
        return JobRecord(
            spec=self.spec,
            state=state,
            attempt=0,
            attempts_used=0,
            agent=None,
            submitted=self.submitted,
            first_event=self.first_event,
            finished=self.finished if state.final else None,
            published=state.final and not self.unpublished,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Operated:
    """What became of a wish for a slice: of an array of `size` elements so many were changed, and so many are as they were. `next` is to
    be asked for the rest, "" if there is none."""

    size: int
    changed: int
    same: int
    next: str = ""


class Arrays(Protocol):
    """Part of `Store`; errors are those of its methods."""

    async def array(self, array: str) -> ArrayRecord | None:
        """An array; None if there is none of that id."""
        ...

    async def operate_slice(
        self,
        array: str,
        part: Slice,
        wish: Wish,
        *,
        reason: str = "",
        states: Sequence[State] = (),
        after: str = "",
        now: float | None = None,
    ) -> Operated:
        """What `cancel`, `hold`, `release` or `retry` does, for the elements of a slice that are in one of `states` (none: in any); of size 0 if
        there is no such array. Those that no agent ever had go by their parts, hundreds of these in a call (an array that is in one piece goes in
        one call, if `part.step` is 1); the others a thousand a call: call it with `after` as `next` has it until that is "". Whoever is stopped
        between two calls does it once more."""
        ...


def is_about(event: Event, job: str) -> bool:
    """Whether an event tells of a job: by its name, or as one of the elements that an event of its array names in front of its text."""
    if event.job == job:
        return True
    named = split_element(job)
    if named is None or event.job != named[0] or (told := _SLICE.match(event.text)) is None:
        return False
    part = Slice(begin=int(told[1]), end=int(told[2]), step=int(told[3] or 1))
    return named[1] in part


def check_cursor(text: str) -> str:
    """Return `text` if a slice may be gone on with there: "" or what the call before has said. Raises `ValueError`."""
    if not _CURSOR.match(text):
        raise ValueError(f"place {text[:40]!r}: expected '' or the place that the call before has told")
    return text


def state_of(counts: Mapping[State, int]) -> State:
    """The state of an array whose elements are in these states."""
    return next((state for state in _ORDER if counts.get(state)), State.DONE)
