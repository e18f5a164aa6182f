"""One snapshot for all viewers."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import replace

import pytest

from copilot.errors import StoreUnavailable
from copilot.monitor.board import Now
from copilot.monitor.dashboard.live import Live, TooManyViewers
from tests.browser import world
from tests.unit.monitor.dashboard.serving import board

QUICK = 0.001  # s


class Unready(world.MemoryBoard):
    """A board that has not heard of its store yet."""

    ready = False
    broken = False

    async def now(self) -> Now:
        if self.broken:
            raise RuntimeError("a bug")
        if not self.ready:
            raise StoreUnavailable("Redis does not answer")
        return await super().now()


async def test_nobody_watches_then_nobody_asks() -> None:
    shown = board()
    live = Live(shown, period=QUICK)
    async with aclosing(live.watch()) as one, aclosing(live.watch()) as other:
        assert await anext(one) == await anext(other)
        assert live.viewers == 2
    assert live.viewers == 0
    assert all(task.get_name() != "dashboard" for task in asyncio.all_tasks())


async def test_a_viewer_misses_what_came_between_and_gets_the_newest() -> None:
    shown = board()
    live = Live(shown, period=QUICK)
    async with aclosing(live.watch()) as slow, aclosing(live.watch()) as quick:
        await anext(slow)
        for turn in range(5):
            shown.front = replace(shown.front, unpublished=turn)
            while b'"unpublished":%d' % turn not in await anext(quick):
                pass
        assert b'"unpublished":4' in await anext(slow)


async def test_time_alone_is_no_change() -> None:
    moments = iter(range(1_000_000))
    shown = world.board(lambda: next(moments), agents=3)
    live = Live(shown, period=QUICK, keep_alive=0.05)
    async with aclosing(live.watch()) as viewer:
        assert await anext(viewer)
        asked = shown.asked
        assert await anext(viewer) == b""
        assert shown.asked > asked


async def test_there_are_so_many_places() -> None:
    live = Live(board(), most=1, period=QUICK)
    async with aclosing(live.watch()) as viewer:
        await anext(viewer)
        with pytest.raises(TooManyViewers):
            await anext(live.watch())
    async with aclosing(live.watch()) as viewer:
        await anext(viewer)


async def test_a_viewer_may_come_before_the_store(caplog: pytest.LogCaptureFixture) -> None:
    shown = Unready(world.empty(0), clock=lambda: 0.0)
    live = Live(shown, period=QUICK, keep_alive=0.05)
    with pytest.raises(StoreUnavailable):
        await live.now()
    async with aclosing(live.watch()) as viewer:
        assert await anext(viewer) == b""
        shown.broken = True
        assert await anext(viewer) == b""
        assert caplog.text.count("could not be brought up to date: a bug") == 1
        shown.broken = False
        shown.ready = True
        assert b'"store_up":true' in await anext(viewer)
        shown.ready = False
        assert b'"store_up":false' in await anext(viewer)
