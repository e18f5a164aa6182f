"""One snapshot of the board for all who watch, made anew twice a second as long as anybody does.

Nothing is kept for a viewer who is slow: whoever is ready for more gets the newest snapshot, and misses those between.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator
from dataclasses import replace

from copilot.errors import StoreUnavailable
from copilot.log import rate_limited
from copilot.monitor.board import Board, Now
from copilot.monitor.dashboard.plain import as_json

PERIOD = 0.5  # s between two looks at the board, which itself looks at the store once a second
KEEP_ALIVE = 15.0  # s after which a viewer is told that nothing has changed
MOST_VIEWERS = 100

_log = logging.getLogger("copilot.dashboard")


class TooManyViewers(Exception):
    """All places are taken; whoever asks may do so now and then instead."""


class Live:
    """The newest snapshot, as JSON. `period` and `keep_alive` in seconds."""

    def __init__(
        self,
        board: Board,
        *,
        most: int = MOST_VIEWERS,
        period: float = PERIOD,
        keep_alive: float = KEEP_ALIVE,
    ) -> None:
        self._board = board
        self._most = most
        self._period = period
        self._keep_alive = keep_alive
        self._viewers = 0
        self._last: Now | None = None
        self._text = b""
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None

    @property
    def viewers(self) -> int:
        """How many watch."""
        return self._viewers

    async def now(self) -> bytes:
        """The snapshot for somebody who asks once. Raises `StoreUnavailable` if the board never had one."""
        if self._looking is None or self._last is None:
            await self._look()
        return self._text

    async def watch(self) -> AsyncGenerator[bytes, None]:
        """The newest snapshot now and after each change; empty if nothing has changed for `keep_alive` seconds.

        Raises `TooManyViewers`."""
        if self._viewers >= self._most:
            raise TooManyViewers
        self._viewers += 1
        try:
            if self._looking is None:
                self._looking = asyncio.create_task(self._go_on_looking(), name="dashboard")
            shown = b""
            while True:
                if shown is not self._text:
                    shown = self._text
                    yield shown
                    continue
                try:
                    async with asyncio.timeout(self._keep_alive):
                        await self._changed.wait()
                except TimeoutError:
                    yield b""
        finally:
            self._viewers -= 1
            if not self._viewers:
                await self._stop_looking()

    async def _stop_looking(self) -> None:
        if self._looking is not None:
            looking, self._looking = self._looking, None
            looking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await looking

    async def _go_on_looking(self) -> None:
        while True:
            try:
                await self._look()
            except StoreUnavailable as error:
                _log.debug("Nothing to show yet: %s", error)
            except Exception as error:  # noqa: BLE001  # a bug in one look must not end the page for all
                text = "The dashboard shows what was before, it could not be brought up to date: %s"
                rate_limited(_log, "look", logging.ERROR, text, error, exc_info=error)
            await asyncio.sleep(self._period)  # nothing tells that the board has changed

    async def _look(self) -> None:
        try:
            now = await self._board.now()
        except StoreUnavailable:
            if self._last is None:
                raise
            now = replace(self._last, store_up=False)
        if self._last is None or replace(now, time=0) != replace(self._last, time=0):
            self._text = as_json(now)
            changed, self._changed = self._changed, asyncio.Event()
            changed.set()
        self._last = now
