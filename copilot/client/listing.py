"""The first jobs of a list, in the order in which the queue has them: bounded, however many there are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

from copilot.client.filters import Filter
from copilot.job import JobRecord, State, split_element
from copilot.records import dataclass
from copilot.store.arrays import ArrayRecord
from copilot.store.base import Store
from copilot.store.survey import Line

# Those that are not over, what runs first.
ACTIVE = (State.RUNNING, *(state for state in State if not state.final and state is not State.RUNNING))
PAGE = 500
MOST_PAGES = 4  # of each state, where some rows are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job as the list has it, and its record (None: it was removed in between). `array`: it stands for the elements."""

    line: Line
    record: JobRecord | None
    array: ArrayRecord | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """`counts`: how many jobs are in each state, whatever was asked for. `more`: how many jobs are behind the last row, if all were
    asked for that are in these states; else None, and `cut` says whether there may be more."""

    rows: tuple[Row, ...]
    counts: Mapping[State, int]
    more: int | None
    cut: bool


class _Arrays:
    """Arrays that a list has come across: each is one row, at the place of its first element."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._known: dict[str, ArrayRecord | None] = {}
        self.shown: set[str] = set()

    async def of(self, lines: Sequence[Line]) -> list[ArrayRecord | None]:
        """The array of each line; None for a job that is an element of none."""
        named = [split_element(line.job) for line in lines]
        new = {name[0] for name in named if name is not None} - self._known.keys()
        self._known |= zip(new, await asyncio.gather(*map(self._store.array, new)), strict=True)
        return [self._array(name) for name in named]

    def _array(self, name: tuple[str, int] | None) -> ArrayRecord | None:
        array = None if name is None else self._known[name[0]]
        return array if array is not None and name is not None and name[1] < array.spec.array else None

    def is_new(self, array: ArrayRecord) -> bool:
        """Whether it has no row yet; it has one from now on."""
        new = array.spec.id not in self.shown
        self.shown.add(array.spec.id)
        return new

    def counted(self, states: Sequence[State]) -> int:
        """How many of their elements that are shown are in these states."""
        shown = (self._known[array] for array in self.shown)
        return sum(array.counts.get(state, 0) for array in shown if array is not None for state in states)


async def elements(store: Store, jobs: Sequence[str]) -> Listing:
    """These jobs, as far as they are known, in this order."""
    counts, records = await asyncio.gather(store.counts(), asyncio.gather(*(store.get(job) for job in jobs)))
    arrays = await asyncio.gather(
        *(store.array(one.spec.id) for one in records if one is not None and one.spec.is_array)
    )
    by_id = {array.spec.id: array for array in arrays if array is not None}
    rows = [
        Row(line=_line(one), record=one, array=by_id.get(one.spec.id)) for one in records if one is not None
    ]
    return Listing(rows=tuple(rows), counts=counts, more=0, cut=False)


def _line(job: JobRecord) -> Line:
    since = job.claimed if job.state is State.RUNNING else job.finished
    return Line(
        job=job.spec.id,
        owner=job.spec.owner,
        state=job.state,
        attempt=job.attempt,
        agent=job.agent or "",
        since=since or job.submitted,
    )


async def first(store: Store, wanted: Filter, *, limit: int = 50, whole: bool = True) -> Listing:
    """The first `limit` jobs that are meant; `whole`: each array is one of them. Raises as `Store.page`."""
    counts = await store.counts()
    states = wanted.states or ACTIVE
    rows: list[Row] = []
    cut, now, arrays = False, time.time(), _Arrays(store) if whole else None
    for state in states:
        found, ended = (
            await _of_state(store, state, wanted, limit - len(rows), now, arrays)
            if len(rows) < limit and counts[state]
            else ([], not counts[state])
        )
        rows += found
        cut = cut or not ended
    all_of_them = not wanted.owners and not wanted.narrows
    in_rows = sum(row.array is None for row in rows) + (arrays.counted(states) if arrays is not None else 0)
    more = max(0, sum(counts[state] for state in states) - in_rows) if all_of_them else None
    return Listing(rows=tuple(rows), counts=counts, more=more, cut=cut)


async def _of_state(
    store: Store, state: State, wanted: Filter, limit: int, now: float, arrays: _Arrays | None
) -> tuple[list[Row], bool]:
    """At most `limit` of them, and whether these are all."""
    rows: list[Row] = []
    place, there = "", dict[str, int]()
    plain = not wanted.owners and not wanted.narrows
    # Arrays that have a row among those of another state get none here.
    size = min(limit + len(arrays.shown if arrays is not None else ()), PAGE) if plain else PAGE
    for _ in range(MOST_PAGES):
        page = await store.page(state, after=place, limit=size, whole=arrays is not None)
        families = await arrays.of(page.rows) if arrays is not None else [None] * len(page.rows)
        there |= {
            line.job if array is None else array.spec.id: _jobs_of(array, state)
            for line, array in zip(page.rows, families, strict=True)
        }
        one_each = [
            (line, array)
            for line, array in zip(page.rows, families, strict=True)
            if (not wanted.owners or line.owner in wanted.owners)
            and (array is None or arrays is None or arrays.is_new(array))
        ]
        if not wanted.narrows:
            one_each = one_each[: limit - len(rows)]
        records = await asyncio.gather(*(_record(store, line, array) for line, array in one_each))
        for (line, array), record in zip(one_each, records, strict=True):
            if record is not None and (plain or _takes(wanted, record, line, array, now)):
                rows.append(Row(line=line, record=record, array=array))
        if len(rows) >= limit:
            return rows[:limit], False
        if not page.next:
            break
        place = page.next
    return rows, sum(there.values()) >= page.total


def _jobs_of(array: ArrayRecord | None, state: State) -> int:
    """How many jobs in this state a line stands for."""
    return 1 if array is None else array.counts.get(state, 0)


async def _record(store: Store, line: Line, array: ArrayRecord | None) -> JobRecord | None:
    return await store.get(line.job) if array is None else array.record


def _takes(wanted: Filter, record: JobRecord, line: Line, array: ArrayRecord | None, now: float) -> bool:
    """An array is meant where one of its elements is in the state."""
    return wanted.takes(record if array is None else replace(record, state=line.state), now)
