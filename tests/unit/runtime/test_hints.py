"""Hints of the queue on their way to the loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import cast

import pytest

from copilot.errors import ConfigError, CopilotError, StoreUnavailable
from copilot.runtime import hints
from copilot.runtime.hints import hinted
from copilot.runtime.loop import Loop
from copilot.store.memory import MemoryStore
from tests.patience import PATIENCE_S


class Troubled(MemoryStore):
    """Its first listener hears of trouble, the next one a hint."""

    def __init__(self, trouble: CopilotError) -> None:
        super().__init__()
        self._trouble: CopilotError | None = trouble

    async def hints(self) -> AsyncIterator[str]:
        if self._trouble is not None:
            trouble, self._trouble = self._trouble, None
            raise trouble
        yield "orders"
        await asyncio.Event().wait()


class Hears:
    """Stands in for a loop."""

    def __init__(self) -> None:
        self.heard = asyncio.Event()
        self.what = ""

    def hint(self, what: str) -> None:
        self.what = what
        self.heard.set()


@pytest.mark.parametrize("trouble", [StoreUnavailable("away"), ConfigError("no right to listen")])
async def test_after_trouble_it_listens_again(trouble: CopilotError, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hints, "LISTEN_AGAIN", 0.0)
    loop = Hears()
    async with hinted(cast("Loop", loop), Troubled(trouble)):
        await asyncio.wait_for(loop.heard.wait(), PATIENCE_S)
    assert loop.what == "orders"


async def test_it_ends_with_what_it_was_begun_for() -> None:
    before = asyncio.all_tasks()
    async with hinted(cast("Loop", Hears()), MemoryStore()):
        assert asyncio.all_tasks() != before
    assert asyncio.all_tasks() == before
