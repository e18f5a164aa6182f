"""Where agents are, in Redis: see `copilot.store.reach`. Redis' own clock counts."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from typing import Any

from copilot.store import rules
from copilot.store.keys import Keys
from copilot.store.reach import REACH_KEPT, Reach, Reachable


class RedisReach(Reachable, abc.ABC):
    """Part of `RedisStore`."""

    _keys: Keys

    @abc.abstractmethod
    async def _send(self, command: str, *arguments: str | float | bytes, wait: float = 0.0) -> Any:
        """Send a command."""

    async def heard(self, agent: str, reach: Reach, *, now: float | None = None) -> None:  # noqa: ARG002
        """An agent has spoken: see `Reachable.heard`."""
        if reach.session:
            rules.check_session(reach.session)
        key = self._keys.reach(agent)
        await self._send("SET", key, reach.to_json(), "EX", round(REACH_KEPT))

    async def reach(self, agents: Sequence[str], *, now: float | None = None) -> Mapping[str, Reach]:  # noqa: ARG002
        """Where these agents are: see `Reachable.reach`."""
        rules.check_agents(agents)
        if not agents:
            return {}
        texts = await self._send("MGET", *map(self._keys.reach, agents))
        return {agent: Reach.from_json(text) for agent, text in zip(agents, texts, strict=True) if text}
