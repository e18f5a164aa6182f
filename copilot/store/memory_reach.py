"""Where agents are, in memory: see `copilot.store.reach`."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence

from copilot.store import rules
from copilot.store.reach import REACH_KEPT, Reach, Reachable


class MemoryReach(Reachable, abc.ABC):
    """Part of `MemoryStore`, over its tables."""

    _reach: dict[str, tuple[float, Reach]]

    @abc.abstractmethod
    def _begin(self, now: float | None) -> float:
        """A call begins; the time."""

    async def heard(self, agent: str, reach: Reach, *, now: float | None = None) -> None:
        """An agent has spoken: see `Reachable.heard`."""
        if reach.session:
            rules.check_session(reach.session)
        self._reach[agent] = self._begin(now) + REACH_KEPT, reach

    async def reach(self, agents: Sequence[str], *, now: float | None = None) -> Mapping[str, Reach]:
        """Where these agents are: see `Reachable.reach`."""
        rules.check_agents(agents)
        time = self._begin(now)
        known = ((agent, self._reach[agent]) for agent in agents if agent in self._reach)
        return {agent: reach for agent, (until, reach) in known if until > time}
