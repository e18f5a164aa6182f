"""All agents that have jobs or wait for some, as they were a moment ago.

Read from the store in parts, so that no part keeps it from its work; nothing is kept in Redis for this but what is there
anyhow (decision 15). What moves between two parts may be missing or stand twice until the next look: a second or two.
"""

from __future__ import annotations

import bisect
from collections.abc import Sequence
from dataclasses import dataclass, field

from copilot.monitor.board import MOST_ROWS, SHOWN, AgentPage, AgentRow, Fleet, HeldRow
from copilot.store.base import Store
from copilot.store.survey import Work
from copilot.store.trial import Trial

PART = 1000  # jobs or agents at once


@dataclass(slots=True)
class Crew:
    """One agent: how many more jobs it can take, how many it has, and the first few of them."""

    free: int = 0
    jobs: int = 0
    held: list[HeldRow] = field(default_factory=list)
    asked: float | None = None


class FleetView:
    """A look at all agents."""

    def __init__(self, crews: dict[str, Crew], trials: Sequence[Trial]) -> None:
        self._crews = crews
        self._names = sorted(crews)
        self._until = {one.agent: one.ends for one in trials}

    def totals(self, now: float) -> Fleet:
        """How many there are."""
        crews = self._crews.values()
        busy = sum(1 for crew in crews if crew.jobs)
        jobs = sum(crew.jobs for crew in crews)
        return Fleet(
            online=len(crews),
            busy=busy,
            idle=len(crews) - busy,
            quarantined=sum(1 for ends in self._until.values() if ends > now),
            slots=jobs + sum(crew.free for crew in crews),
            slots_busy=jobs,
        )

    def page(self, now: float, *, after: str, search: str, limit: int) -> AgentPage:
        """Agents by name. Raises `ValueError`."""
        if not 1 <= limit <= MOST_ROWS:
            raise ValueError(f"limit {limit}: expected 1 to {MOST_ROWS}")
        names = [name for name in self._names if search in name] if search else self._names
        first = bisect.bisect_right(names, after) if after else 0
        shown = names[first : first + limit]
        more = first + limit < len(names)
        rows = tuple(self._row(name, now) for name in shown)
        return AgentPage(total=len(names), rows=rows, next=shown[-1] if more else "")

    def _row(self, name: str, now: float) -> AgentRow:
        crew = self._crews[name]
        return AgentRow(
            agent=name,
            slots=crew.jobs + crew.free,
            jobs=crew.jobs,
            held=tuple(sorted(crew.held, key=lambda row: (row.claimed, row.job))),
            idle_since=None if crew.jobs else crew.asked,
            quarantine=max(0.0, self._until.get(name, 0.0) - now),
        )


async def look_at_fleet(store: Store) -> FleetView:
    """Read all. Raises as `Store.holders`."""
    crews: dict[str, Crew] = {}
    seen: set[str] = set()
    place = ""
    while True:
        jobs = await store.holders(place, PART)
        for work in jobs.rows:
            if work.job not in seen:
                seen.add(work.job)
                _note_work(crews, work)
        if not (place := jobs.next):
            break
    parked: set[str] = set()
    while True:
        agents = await store.idle(place, PART)
        for one in agents.rows:
            if one.jid not in parked:
                parked.add(one.jid)
                crew = crews.setdefault(one.agent, Crew())
                crew.free += one.slots
                crew.asked = min(one.since, crew.asked or one.since)
        if not (place := agents.next):
            break
    return FleetView(crews, await store.trials())


def _note_work(crews: dict[str, Crew], work: Work) -> None:
    crew = crews.setdefault(work.agent, Crew())
    crew.jobs += 1
    if len(crew.held) < SHOWN:
        row = HeldRow(job=work.job, attempt=work.attempt, phase=work.phase, claimed=work.claimed)
        crew.held.append(row)
