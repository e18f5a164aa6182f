"""Why a job is where it is, for who asks from afar: one at a time, for it takes a twentieth of a second on a large fleet."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from copilot.records import dataclass

MOST_EXPLAINED = 10  # that wait for their turn


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """A word, a sentence, and what to do next."""

    code: str
    text: str
    next: str


class Explainer:
    """Belongs to one event loop."""

    def __init__(self, explain: Callable[[str], Awaitable[Why]] | None) -> None:
        """`explain` says why the job of this id is where it is; None: nobody does."""
        self._explain = explain
        self._one = asyncio.Lock()
        self._waiting = 0

    async def why(self, job: str) -> Why | None:
        """None if too many ask, or nobody knows. Raises what the store raises."""
        if self._explain is None or self._waiting > MOST_EXPLAINED:
            return None
        self._waiting += 1
        try:
            async with self._one:
                return await self._explain(job)
        finally:
            self._waiting -= 1
