"""Between the network and the disk: what arrives is hashed and written in a thread, a batch at a time, while more comes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from copilot.files.base import BATCH

Part = bytes | bytearray


class Spool:
    """An asynchronous context manager around `write`, which runs in a thread; all is written when it is left.

    What `write` raises comes from a later `add`, or from leaving. However the block is left, what was added is written, and
    the thread's end is waited for.
    """

    def __init__(self, write: Callable[[Sequence[Part]], None]) -> None:
        self._write = write
        self._parts: list[Part] = []
        self._size = 0
        self._under_way: asyncio.Task[None] | None = None

    async def add(self, part: Part) -> None:
        """Take `part`, which nobody changes any more."""
        self._parts.append(part)
        self._size += len(part)
        if self._size >= BATCH:
            await self._hand_over()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            await self._hand_over()  # what came before a connection broke, or stalled, counts
            await self._written()
        finally:
            if self._under_way is not None:
                await asyncio.gather(asyncio.shield(self._under_way), return_exceptions=True)

    async def _hand_over(self) -> None:
        await self._written()
        if self._parts:
            parts, self._parts, self._size = self._parts, [], 0
            self._under_way = asyncio.create_task(asyncio.to_thread(self._write, parts))

    async def _written(self) -> None:
        """Wait for the batch before."""
        if self._under_way is not None:
            await asyncio.shield(self._under_way)
            self._under_way = None
