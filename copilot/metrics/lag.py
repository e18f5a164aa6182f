"""How late the event loop of a program comes to what is due: by how much a sleeper oversleeps."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

from copilot.histogram import MOMENTS, Histogram

LOOK_EVERY = 1.0  # s


class Lag:
    """The lateness of one event loop, in seconds. `now()` is of a clock that never jumps."""

    def __init__(self, now: Callable[[], float]) -> None:
        self.seconds = Histogram(MOMENTS)
        self._now = now

    @contextlib.asynccontextmanager
    async def measured(self, every: float = LOOK_EVERY) -> AsyncIterator[None]:
        """Look every so many seconds while inside."""
        looking = asyncio.create_task(self._look(every))
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])

    async def _look(self, every: float) -> None:
        while True:
            due = self._now() + every
            await asyncio.sleep(every)  # what is measured is by how much it oversleeps
            self.seconds.observe(self._now() - due)
