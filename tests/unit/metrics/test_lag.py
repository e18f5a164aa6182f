"""How late an event loop is."""

from __future__ import annotations

import asyncio
import time

from copilot.metrics.lag import Lag
from tests.patience import PATIENCE_S


async def until_looked(lag: Lag, times: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while lag.seconds.count < times:
            await asyncio.sleep(0)


async def test_a_loop_that_somebody_keeps_busy_is_late_by_that() -> None:
    lag = Lag(time.monotonic)
    async with lag.measured(0.001):
        await asyncio.sleep(0)
        end = time.monotonic() + 0.1
        while time.monotonic() < end:
            pass
        await until_looked(lag, 1)
    assert lag.seconds.sum > 0.05


async def test_nothing_of_it_is_left() -> None:
    before = asyncio.all_tasks()
    lag = Lag(time.monotonic)
    async with lag.measured(0.001):
        await until_looked(lag, 3)
    assert asyncio.all_tasks() == before
