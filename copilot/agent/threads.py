"""Work that blocks, in a thread where one can be had."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(work: Callable[[], T]) -> T:
    """The result of `work`. Where a payload has left no room for one more thread, it is done on the spot: it is what ends that
    payload, or cleans up after it. `work` may then be done twice."""
    try:
        return await asyncio.to_thread(work)
    except RuntimeError as error:  # the only word that `threading` has for it
        if "start new thread" not in str(error):
            raise
        return work()
