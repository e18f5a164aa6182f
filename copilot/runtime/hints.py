"""Brings the queue's hints to a loop: there may be work for agents that are parked."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence

from copilot.errors import CopilotError
from copilot.log import rate_limited
from copilot.runtime.loop import Loop
from copilot.store.base import Store

log = logging.getLogger("copilot.hints")

LISTEN_AGAIN = 1.0  # s after the store went away; the component asks by itself meanwhile


@contextlib.asynccontextmanager
async def hinted(loop: Loop, store: Store, *also: Callable[[], object]) -> AsyncIterator[None]:
    """The loop hears of hints while inside, and each of `also` is called when there may be something to dispatch, or an account has
    changed."""
    task = asyncio.create_task(_relay(loop, store, also))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _relay(loop: Loop, store: Store, also: Sequence[Callable[[], object]]) -> None:
    while True:
        try:
            async for what in store.hints():
                loop.hint(what)
                for hear in also if not what else ():
                    hear()
        except CopilotError as error:
            rate_limited(log, "hints", logging.WARNING, "no hints from the queue for now: %s", error)
        await asyncio.sleep(LISTEN_AGAIN)
