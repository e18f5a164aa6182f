"""Brings the queue's hints to a loop: there may be work for agents that are parked."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

from copilot.errors import StoreUnavailable
from copilot.runtime.loop import Loop
from copilot.store.base import Store

LISTEN_AGAIN = 1.0  # s after the store went away; the component asks by itself meanwhile


@contextlib.asynccontextmanager
async def hinted(loop: Loop, store: Store) -> AsyncIterator[None]:
    """The loop hears of hints while inside."""
    task = asyncio.create_task(_relay(loop, store))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _relay(loop: Loop, store: Store) -> None:
    while True:
        with contextlib.suppress(StoreUnavailable):
            async for _ in store.hints():
                loop.hint()
        await asyncio.sleep(LISTEN_AGAIN)
