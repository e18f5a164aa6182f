"""What operators stop, in Redis: see `copilot.store.controls`."""

from __future__ import annotations

import abc
import json
import time
from typing import Any

from copilot.store import rules
from copilot.store.controls import (
    MOST_SET_ASIDE,
    Controls,
    Gate,
    Pause,
    SetAside,
    aside_text,
    pause_text,
    too_many,
)
from copilot.store.keys import Keys


class RedisControls(Controls, abc.ABC):
    """Part of `RedisStore`."""

    _keys: Keys

    @abc.abstractmethod
    async def _run(self, name: str, now: float | None, *arguments: str | float | bytes) -> Any:
        """Run a script."""

    @abc.abstractmethod
    async def _ask(self, command: str, *arguments: str) -> Any:
        """Send one command."""

    async def pause(self, gate: Gate, *, by: str = "", reason: str = "", now: float | None = None) -> bool:
        """Stop the queue: see `Controls.pause`."""
        text = pause_text(gate, by, reason)
        return bool(await self._run("pause", now, gate.value, "1", by, reason, text))

    async def resume(self, gate: Gate, *, by: str = "", reason: str = "", now: float | None = None) -> bool:
        """Let it go on: see `Controls.resume`."""
        return bool(await self._run("pause", now, gate.value, "", by, reason, pause_text(gate, by, reason)))

    async def paused(self) -> tuple[Pause, ...]:
        """What is stopped."""
        lines = {
            gate: json.loads(line) for gate, line in (await self._ask("HGETALL", self._keys.paused)).items()
        }
        return tuple(
            Pause(gate=gate, by=said["by"], reason=said["reason"], since=float(said["since"]))
            for gate in Gate
            if (said := lines.get(gate.value)) is not None
        )

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
        limit = "" if seconds is None else rules.check_seconds("seconds", seconds)
        text = aside_text(seconds, by, reason)
        if not await self._run("set_aside", now, agent, limit, by, reason, text, MOST_SET_ASIDE):
            raise too_many()

    async def asides(self, *, now: float | None = None) -> tuple[SetAside, ...]:
        """All of these agents: see `Controls.asides`."""
        lines = await self._ask("HGETALL", self._keys.set_aside)
        there = time.time() if now is None else now
        found = (_aside(agent, json.loads(line)) for agent, line in sorted(lines.items()))
        return tuple(one for one in found if one.ends is None or one.ends > there)


def _aside(agent: str, said: dict[str, str]) -> SetAside:
    ends = float(said["ends"]) if said["ends"] else None
    return SetAside(agent=agent, ends=ends, by=said["by"], reason=said["reason"], since=float(said["since"]))
