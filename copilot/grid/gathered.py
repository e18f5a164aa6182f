"""Blocking work of the same moment goes to a thread together: one thread, and one write to the disk, for all.

While one batch is at work, the next one gathers. So nobody waits for company, and under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

MOST_AT_ONCE = 64
T = TypeVar("T")


class Gathered(Generic[T]):
    """Hands things to `work`, which says of each why it could not be done (None: it was). Belongs to one event loop."""

    def __init__(self, work: Callable[[Sequence[T]], Sequence[Exception | None]]) -> None:
        self._work = work
        self._waiting: list[tuple[T, asyncio.Future[None]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def do(self, thing: T) -> None:
        """Done when that is done. Raises what it failed of. What is under way is not broken off by a cancellation."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._do_all())
        await done

    async def _do_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._do(batch)
        finally:
            self._worker = None

    async def _do(self, batch: Sequence[tuple[T, asyncio.Future[None]]]) -> None:
        try:
            results = await asyncio.to_thread(self._work, [thing for thing, _ in batch])
        except Exception as error:  # noqa: BLE001  # it goes to those who wait
            results = [error] * len(batch)
        for (_, done), result in zip(batch, results, strict=True):
            if done.done():  # who waited for it was cancelled
                continue
            if result is None:
                done.set_result(None)
            else:
                done.set_exception(result)
