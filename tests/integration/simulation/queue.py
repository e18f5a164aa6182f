"""The store as a manager sees it: each call waits before and after, and may fail before or after its effect."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from copilot.errors import StoreUnavailable
from copilot.store.base import Settled, Verdict
from tests.integration.simulation.agenda import pause
from tests.integration.simulation.lines import STORE

if TYPE_CHECKING:
    from tests.integration.simulation.world import World


class Queue:
    """The store, from one machine."""

    def __init__(self, world: World, machine: str) -> None:
        self._world = world
        self._machine = machine

    def __getattr__(self, name: str) -> Callable[..., Coroutine[Any, Any, Any]]:
        async def call(*args: Any, **options: Any) -> Any:
            await pause()
            self._travel(self._machine, STORE)
            result = await getattr(self._world.store, name)(*args, **options)
            if isinstance(result, Settled) and result.verdict is Verdict.ACCEPTED:
                self._world.note_accepted(*args[:2])
            if name == "reap":
                self._world.check_taken(result)
            self._travel(STORE, self._machine)
            await pause()
            return result

        return call

    def _travel(self, sender: str, receiver: str) -> None:
        away = self._world.happens(self._world.weather.store_away)
        if away or not self._world.lines.carry(sender, receiver):
            raise StoreUnavailable("the queue is away")
