"""Several logics in one program: the generic manager is a job manager and a storage manager at once, and every daemon
also answers the heartbeat. What carries out their effects is composed likewise."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from copilot.runtime.component import Action, Actions, Component, Event, NoEffects, Performer


class Parts:
    """A component made of components. Each gets every event; all that they want is done.

    A command from the wire concerns one of them (they take different commands), the rest return nothing for it.
    """

    def __init__(self, parts: Sequence[Component]) -> None:
        self._parts = tuple(parts)

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        """As `Component.handle`."""
        done: list[Action] = []
        later: list[Awaitable[Actions]] = []
        for part in self._parts:
            result = part.handle(event, now)
            if isinstance(result, Awaitable):
                later.append(result)
            else:
                done.extend(result)
        if not later:
            return done
        return later[0] if len(later) == 1 and not done else _gather(done, later)

    def wakeup(self) -> float | None:
        """The earliest of all."""
        return min((when for part in self._parts if (when := part.wakeup()) is not None), default=None)


class Performers:
    """A performer made of performers: each carries out the effects of its own classes, `rest` all others."""

    def __init__(self, own: Mapping[type, Performer], rest: Performer | None = None) -> None:
        self._own = dict(own)
        self._rest = rest or NoEffects()

    def perform(self, effect: Any) -> Awaitable[Any] | None:
        """As `Performer.perform`."""
        return self._own.get(type(effect), self._rest).perform(effect)


async def _gather(done: list[Action], later: Sequence[Awaitable[Actions]]) -> Actions:
    """All to their end: none goes on unseen when another one fails."""
    for actions in await asyncio.gather(*later, return_exceptions=True):
        if isinstance(actions, BaseException):
            raise actions
        done.extend(actions)
    return done
