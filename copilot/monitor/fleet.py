"""All agents that have jobs or wait for some, as they were a moment ago.

Who has a job is known from events (holdings.py); who waits for one is read from the store in parts, so that no part keeps it
from its work. Nothing is kept in Redis for this but what is there anyhow (decision 15).
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field

from copilot.monitor.board import MOST_ROWS, SHOWN, AgentPage, AgentRow, Fleet, HeldRow
from copilot.monitor.holdings import Holdings
from copilot.monitor.slots import Slots
from copilot.records import dataclass
from copilot.store.base import Store
from copilot.store.survey import Idle, Work
from copilot.store.trial import Trial

PART = 1000  # agents, or jobs of a page, at once


@dataclass(slots=True)
class Crew:
    """One agent: how many jobs it has, the first few of them, how many more it can take, how many it says that it runs at
    the same time (0: it does not), and when it asked for more."""

    free: int = 0
    jobs: int = 0
    declared: int = 0
    first: list[str] = field(default_factory=list)
    asked: float | None = None

    @property
    def slots(self) -> int:
        """Jobs that it has at hand beyond its slots take none."""
        return self.declared or self.jobs + self.free

    @property
    def slots_busy(self) -> int:
        """At most all."""
        return min(self.jobs, self.slots)


class FleetView:
    """A look at all agents. `slots` is what they say of themselves, by bare JID."""

    def __init__(
        self,
        holdings: Holdings,
        idle: Iterable[Idle],
        trials: Sequence[Trial],
        slots: Mapping[str, int],
    ) -> None:
        self._crews: dict[str, Crew] = {}
        for job, holding in holdings.jobs.items():
            crew = self._crew(holding.agent)
            crew.jobs += 1
            if len(crew.first) < SHOWN:
                crew.first.append(job)
        for one in idle:
            crew = self._crew(one.agent)
            crew.free += one.slots
            crew.asked = min(one.since, crew.asked or one.since)
        for agent, crew in self._crews.items():
            crew.declared = slots.get(agent, 0)
        self._names = sorted(self._crews)
        self._until = {one.agent: one.ends for one in trials}

    def _crew(self, agent: str) -> Crew:
        crew = self._crews.get(agent)
        if crew is None:
            crew = self._crews[agent] = Crew()
        return crew

    def totals(self, now: float) -> Fleet:
        """How many there are."""
        crews = self._crews.values()
        busy = sum(1 for crew in crews if crew.jobs)
        return Fleet(
            online=len(crews),
            busy=busy,
            idle=len(crews) - busy,
            quarantined=sum(1 for ends in self._until.values() if ends > now),
            slots=sum(crew.slots for crew in crews),
            slots_busy=sum(crew.slots_busy for crew in crews),
        )

    async def page(self, store: Store, now: float, *, after: str, search: str, limit: int) -> AgentPage:
        """Agents by name, with what the store says of their jobs. Raises `ValueError`, and as `Store.work`."""
        if not 1 <= limit <= MOST_ROWS:
            raise ValueError(f"limit {limit}: expected 1 to {MOST_ROWS}")
        names = [name for name in self._names if search in name] if search else self._names
        first = bisect.bisect_right(names, after) if after else 0
        shown = names[first : first + limit]
        jobs = [job for name in shown for job in self._crews[name].first]
        held: dict[str, list[Work]] = {}
        for at in range(0, len(jobs), PART):
            for work in await store.work(jobs[at : at + PART]):
                held.setdefault(work.agent, []).append(work)
        rows = tuple(self._row(name, held.get(name, ()), now) for name in shown)
        more = first + limit < len(names)
        return AgentPage(total=len(names), rows=rows, next=shown[-1] if more else "")

    def _row(self, name: str, held: Sequence[Work], now: float) -> AgentRow:
        crew = self._crews[name]
        return AgentRow(
            agent=name,
            slots=crew.slots,
            jobs=crew.jobs,
            held=tuple(map(_held, sorted(held, key=lambda work: (work.claimed, work.job)))),
            idle_since=None if crew.jobs else crew.asked,
            quarantine=max(0.0, self._until.get(name, 0.0) - now),
        )


def _held(work: Work) -> HeldRow:
    return HeldRow(job=work.job, attempt=work.attempt, phase=work.phase, claimed=work.claimed)


async def look_at_fleet(store: Store, holdings: Holdings, slots: Slots, now: float) -> FleetView:
    """All agents; `now` is that of a clock that never jumps. Raises as `Store.idle`."""
    await holdings.look(store, now)
    idle: dict[str, Idle] = {}
    place = ""
    while True:
        part = await store.idle(place, PART)
        idle.update((one.jid, one) for one in part.rows)
        if not (place := part.next):
            break
    await slots.look(store, idle.values(), {one.agent for one in holdings.jobs.values()}, now)
    return FleetView(holdings, idle.values(), await store.trials(), slots.by_agent())
