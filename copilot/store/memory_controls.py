"""What operators stop, in memory: see `copilot.store.controls`."""

from __future__ import annotations

import abc
from dataclasses import field

from copilot.job import Cause, Event, EventKind
from copilot.records import dataclass
from copilot.store import rules
from copilot.store.controls import (
    ASKS_AGAIN,
    MOST_SET_ASIDE,
    Controls,
    Gate,
    Pause,
    SetAside,
    aside_text,
    pause_text,
    too_many,
)


@dataclass(slots=True)
class ControlTables:
    """What is kept."""

    paused: dict[Gate, Pause] = field(default_factory=dict)
    aside: dict[str, SetAside] = field(default_factory=dict)

    def gets_nothing(self, agent: str, now: float) -> bool:
        """Whether this agent gets no job now."""
        return Gate.DISPATCH in self.paused or self.seconds(agent, now) > 0

    def seconds(self, agent: str, now: float) -> float:
        """For how long it is told to stay away."""
        known = self.aside.get(agent)
        if known is None:
            return 0.0
        return ASKS_AGAIN if known.ends is None else min(ASKS_AGAIN, max(0.0, known.ends - now))

    def tidy(self, now: float) -> None:
        """What is over goes."""
        self.aside = {name: one for name, one in self.aside.items() if one.ends is None or one.ends > now}


class MemoryControls(Controls, abc.ABC):
    """Part of `MemoryStore`."""

    round_trips: int
    _controls: ControlTables

    @abc.abstractmethod
    def _begin(self, now: float | None) -> float:
        """A call begins; the time."""

    @abc.abstractmethod
    def _give_hint(self, word: str = "") -> None:
        """There is something to do: see `Store.hints`."""

    @abc.abstractmethod
    def _write_of(self, agent: str, kind: EventKind, time: float, cause: Cause | None, text: str) -> Event:
        """An event that is not of a job."""

    async def pause(self, gate: Gate, *, by: str = "", reason: str = "", now: float | None = None) -> bool:
        """Stop the queue: see `Controls.pause`."""
        time = self._begin(now)
        if gate in self._controls.paused:
            return False
        self._controls.paused[gate] = Pause(gate=gate, by=by, reason=reason, since=time)
        self._write_of("", EventKind.PAUSED, time, None, pause_text(gate, by, reason))
        return True

    async def resume(self, gate: Gate, *, by: str = "", reason: str = "", now: float | None = None) -> bool:
        """Let it go on: see `Controls.resume`."""
        time = self._begin(now)
        if self._controls.paused.pop(gate, None) is None:
            return False
        self._write_of("", EventKind.RESUMED, time, None, pause_text(gate, by, reason))
        self._give_hint()
        return True

    async def paused(self) -> tuple[Pause, ...]:
        """What is stopped."""
        self.round_trips += 1
        return tuple(self._controls.paused[gate] for gate in Gate if gate in self._controls.paused)

    async def set_aside(
        self,
        agent: str,
        *,
        seconds: float | None = None,
        by: str = "",
        reason: str = "",
        now: float | None = None,
    ) -> None:
        """Put an agent in quarantine: see `Controls.set_aside`."""
        if seconds is not None:
            rules.check_seconds("seconds", seconds)
        time, tables = self._begin(now), self._controls
        tables.tidy(time)
        if len(tables.aside) >= MOST_SET_ASIDE and agent not in tables.aside:
            raise too_many()
        ends = None if seconds is None else time + seconds
        tables.aside[agent] = SetAside(agent=agent, ends=ends, by=by, reason=reason, since=time)
        self._write_of(agent, EventKind.QUARANTINED, time, None, aside_text(seconds, by, reason))

    async def asides(self, *, now: float | None = None) -> tuple[SetAside, ...]:
        """All of these agents: see `Controls.asides`."""
        time = self._begin(now)
        found = sorted(self._controls.aside.values(), key=lambda one: one.agent)
        return tuple(one for one in found if one.ends is None or one.ends > time)
