"""Sources are kept going: what one does to itself never ends the manager, and they end when it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from copilot.clock import SystemClock
from copilot.errors import StoreUnavailable
from copilot.grid import running as module
from copilot.grid.base import Intake, JobSource
from copilot.grid.running import running
from tests.patience import PATIENCE_S

INTAKE: Any = None


class Source:
    """Does each of `acts` in turn, then waits to be cancelled."""

    def __init__(self, *acts: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.acts = list(acts)
        self.lives = 0
        self.waits, self.ended = asyncio.Event(), asyncio.Event()

    async def run(self, intake: Intake) -> None:
        assert intake is INTAKE
        self.lives += 1
        try:
            if self.acts:
                await self.acts.pop(0)()
            else:
                self.waits.set()
                await asyncio.Event().wait()
        finally:
            self.ended.set()


def raises(error: BaseException) -> Callable[[], Coroutine[Any, Any, None]]:
    async def act() -> None:
        raise error

    return act


async def returns() -> None:
    """Ends without a word."""


async def fails_in_a_group() -> None:
    async with asyncio.TaskGroup() as group:  # on Python 3.11 it leaves a request to cancel behind
        group.create_task(raises(ValueError("in a group"))())


def at_work(sources: dict[str, JobSource], random: Callable[[], float] = lambda: 0.0005) -> Any:
    return running(sources, INTAKE, clock=SystemClock(), random=random)


async def test_a_source_is_run_again_whatever_ends_it(caplog: pytest.LogCaptureFixture) -> None:
    source = Source(
        raises(RuntimeError("boom")),
        raises(StoreUnavailable("Redis is away")),
        raises(SystemExit(3)),
        raises(asyncio.CancelledError()),
        returns,
        fails_in_a_group,
    )
    other = Source()
    async with at_work({"bad": source, "good": other}):
        await asyncio.wait_for(source.waits.wait(), PATIENCE_S)
        assert (source.lives, other.lives) == (7, 1)
        source.ended.clear()
    assert source.ended.is_set()
    assert other.ended.is_set()
    assert "source bad: Redis is away" in caplog.text
    assert "RuntimeError: boom" in caplog.text


async def test_waits_grow_and_are_bounded_and_jittered(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    sleep, enough = asyncio.sleep, asyncio.Event()

    async def note(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 8:
            enough.set()
        await sleep(0)

    monkeypatch.setattr(module.asyncio, "sleep", note)
    source = Source(*[raises(RuntimeError("boom"))] * 8)
    async with at_work({"bad": source}, random=lambda: 0.5):
        await asyncio.wait_for(enough.wait(), PATIENCE_S)
    assert waits[:8] == [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0]


async def test_a_source_that_does_not_want_to_end_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "STOP_LIMIT", 0.01)
    may = asyncio.Event()

    async def stays() -> None:
        while not may.is_set():
            try:
                await may.wait()
            except asyncio.CancelledError:
                continue

    source = Source(stays)
    async with at_work({"stubborn": source}):
        while not source.lives:
            await asyncio.sleep(0)
    assert "source stubborn does not end when it is cancelled" in caplog.text
    may.set()
    await asyncio.wait_for(source.ended.wait(), PATIENCE_S)


async def test_no_sources_are_no_work() -> None:
    async with at_work({}):
        pass
