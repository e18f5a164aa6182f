"""Blocking work of the same moment goes to a thread together: one thread, and one write to the disk, for all.

While one batch is at work, the next one gathers. So nobody waits for company, and under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

MOST_AT_ONCE = 64
T = TypeVar("T")
R = TypeVar("R")


class Gathered(Generic[T, R]):
    """Hands things to `work`, which says what came of each, or the exception that it ended with. Belongs to one event
    loop."""

    def __init__(self, work: Callable[[Sequence[T]], Sequence[R | Exception]], *, pause: float = 0.0) -> None:
        """`pause` (s) is between two batches: more gather then, and what comes after a longer one still waits for nobody."""
        self._work = work
        self._pause = pause
        self._waiting: list[tuple[T, asyncio.Future[R]]] = []
        self._worker: asyncio.Task[None] | None = None

    async def do(self, thing: T) -> R:
        """What came of it. Raises what it ended with. What is under way is not broken off by a cancellation."""
        done: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((thing, done))
        if self._worker is None:
            self._worker = asyncio.create_task(self._do_all())
        return await done

    async def _do_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._do(batch)
                if self._pause:
                    await asyncio.sleep(self._pause)
        finally:
            self._worker = None

    async def _do(self, batch: Sequence[tuple[T, asyncio.Future[R]]]) -> None:
        results: Sequence[R | Exception]
        try:
            results = await asyncio.to_thread(self._work, [thing for thing, _ in batch])
        except Exception as error:  # noqa: BLE001  # it goes to those who wait
            results = [error] * len(batch)
        for (_, done), result in zip(batch, results, strict=True):
            if done.done():  # who waited for it was cancelled
                continue
            if isinstance(result, Exception):
                done.set_exception(result)
            else:
                done.set_result(result)
