"""Time in a simulation: what happens when, and how a coroutine waits in it."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable, Coroutine, Generator
from types import coroutine
from typing import Any

JUMP = 3600.0  # s that the store's clock is put forward


class Time:
    """What happens when; also the store's clock."""

    def __init__(self) -> None:
        self.now = self._ahead = 0.0
        self._numbers = itertools.count()
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now + self._ahead

    def jump(self) -> None:
        """Somebody puts the store's clock forward."""
        self._ahead += JUMP

    def later(self, seconds: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (self.now + seconds, next(self._numbers), what))

    def turn(self) -> None:
        """The next thing happens."""
        self.now, _, what = heapq.heappop(self._agenda)
        what()


@coroutine
def pause() -> Generator[None, None, None]:
    """Where a coroutine waits, and where its instance may die."""
    yield


def at_once(work: Coroutine[Any, Any, Any]) -> Any:
    """The result of a coroutine that waits for nothing."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    raise AssertionError("it waits")
