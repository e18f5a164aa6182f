"""The first jobs of a list, in the order in which the queue has them: bounded, however many there are."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from copilot.client.filters import Filter
from copilot.job import JobRecord, State
from copilot.store.base import Store
from copilot.store.survey import Line

# Those that are not over, what runs first.
ACTIVE = (State.RUNNING, *(state for state in State if not state.final and state is not State.RUNNING))
MOST_LOOKED_AT = 2000  # jobs of each state, of which some are left out
PAGE = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A job as the list has it, and its record (None: it was removed in between)."""

    line: Line
    record: JobRecord | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """`counts`: how many jobs are in each state, whatever was asked for. `more`: how many jobs are behind the last row, if all were
    asked for that are in these states; else None, and `cut` says whether there may be more."""

    rows: tuple[Row, ...]
    counts: Mapping[State, int]
    more: int | None
    cut: bool


async def first(store: Store, wanted: Filter, *, limit: int = 50) -> Listing:
    """The first `limit` jobs that are meant. Raises as `Store.page`."""
    counts = await store.counts()
    states = wanted.states or ACTIVE
    rows: list[Row] = []
    cut, now = False, time.time()
    for state in states:
        found, ended = (
            await _of_state(store, state, wanted, limit - len(rows), now)
            if len(rows) < limit
            else ([], not counts[state])
        )
        rows += found
        cut = cut or not ended
    all_of_them = not wanted.owners and not wanted.narrows
    more = max(0, sum(counts[state] for state in states) - len(rows)) if all_of_them else None
    return Listing(rows=tuple(rows), counts=counts, more=more, cut=cut)


async def _of_state(
    store: Store, state: State, wanted: Filter, limit: int, now: float
) -> tuple[list[Row], bool]:
    """At most `limit` of them, and whether these are all."""
    rows: list[Row] = []
    place, looked_at = "", 0
    plain = not wanted.owners and not wanted.narrows
    while True:
        page = await store.page(state, after=place, limit=min(limit, PAGE) if plain else PAGE)
        looked_at += len(page.rows)
        lines = [line for line in page.rows if not wanted.owners or line.owner in wanted.owners]
        if not wanted.narrows:
            lines = lines[: limit - len(rows)]
        for line, record in zip(lines, await _records(store, lines), strict=True):
            if record is not None and (plain or wanted.takes(record, now)):
                rows.append(Row(line=line, record=record))
        if len(rows) >= limit:
            return rows[:limit], False
        if not page.next or looked_at >= MOST_LOOKED_AT:
            return rows, looked_at >= page.total
        place = page.next


async def _records(store: Store, lines: Sequence[Line]) -> list[JobRecord | None]:
    return list(await asyncio.gather(*(store.get(line.job) for line in lines)))
