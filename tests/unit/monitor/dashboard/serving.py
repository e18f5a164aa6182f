"""A dashboard over the board in memory, and questions to it over real connections."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp

from copilot.monitor.dashboard.server import Dashboard
from tests.browser import world

HOST = "127.0.0.1"
NOON = 1_800_000_000.0  # s since the epoch


def board(**more: int) -> world.MemoryBoard:
    """A small busy system whose clock stands."""
    return world.board(lambda: NOON, agents=120, **more)


@dataclass
class Asker:
    """Somebody with an HTTP client."""

    session: aiohttp.ClientSession
    base: str

    def get(self, path: str, **more: Any) -> Any:
        return self.session.get(self.base + path, **more)

    async def json(self, path: str, status: int = 200) -> Any:
        async with self.get(path) as answer:
            assert answer.status == status, await answer.text()
            assert answer.headers["Content-Type"] == "application/json"
            return await answer.json()


@asynccontextmanager
async def asker(shown: world.MemoryBoard, **more: Any) -> AsyncIterator[Asker]:
    dashboard = Dashboard(shown, **more)
    port = await dashboard.start(HOST, 0)
    try:
        async with aiohttp.ClientSession() as session:
            yield Asker(session, f"http://{HOST}:{port}")
    finally:
        await dashboard.stop()
