"""The state of the queue, for whoever wants to know: the store is asked at most once a second, however many they are."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from copilot.errors import CopilotError
from copilot.store.base import Store

FRESH = 1.0  # s
ANSWER_WITHIN = 2.0  # s; a scrape must not fail because the store is away


class Queue:
    """What the store said last. `now()` is in seconds of a clock that never jumps."""

    def __init__(
        self, store: Store, now: Callable[[], float], *, answer_within: float = ANSWER_WITHIN
    ) -> None:
        self.states: Mapping[str, int] = {}  # how many jobs are in each; empty while the store is away
        self.up = False
        self._store = store
        self._now = now
        self._answer_within = answer_within
        self._asked = float("-inf")
        self._asking = asyncio.Lock()

    async def refresh(self) -> None:
        """Ask if the last answer is too old. Never raises for what the store may do."""
        async with self._asking:
            if self._now() - self._asked >= FRESH:
                await self._ask()
                self._asked = self._now()

    async def _ask(self) -> None:
        try:
            async with asyncio.timeout(self._answer_within):
                counts = await self._store.counts()
        except (CopilotError, TimeoutError):
            self.states, self.up = {}, False
        else:
            self.states, self.up = {state.value: number for state, number in counts.items()}, True
