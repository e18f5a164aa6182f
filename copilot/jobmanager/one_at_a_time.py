"""Questions that take a while, a twentieth of a second each on a large fleet: one is answered at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

MOST_WAITING = 10  # questions that wait for their turn

T = TypeVar("T")


class OneAtATime:
    """Belongs to one event loop."""

    def __init__(self) -> None:
        self._one = asyncio.Lock()
        self._waiting = 0

    async def answer(self, ask: Callable[[], Awaitable[T]]) -> T | None:
        """What `ask` comes to; None if too many wait. Raises what `ask` raises."""
        if self._waiting > MOST_WAITING:
            return None
        self._waiting += 1
        try:
            async with self._one:
                return await ask()
        finally:
            self._waiting -= 1
