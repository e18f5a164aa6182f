"""The dashboard of a running system with thousands of agents, which are simulated: raw sockets of one process, each with an account
and a session of its own on a real ejabberd, that ask for work, are parked, and hold what they get (`bench/simulated`).

`make see` runs it with ten thousand, in four minutes; without AGENTS there are a thousand.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

import copilot
from bench.fleet import SPARE_DESCRIPTORS, Fleet
from bench.simulated.crowd import Crowd
from bench.simulated.ours import Ours
from bench.system import BenchSystem
from copilot.clock import SystemClock
from copilot.job import JobSpec, State
from copilot.local.ejabberd import Ejabberd
from copilot.local.redis import Redis
from copilot.monitor.storeboard import StoreBoard
from copilot.store.base import Store
from tests.browser.looking import Look

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server("chromium")]

AGENTS = int(os.environ.get("AGENTS", "1000"))
BUSY = AGENTS * 3 // 5
WAITING = 20_000  # for hosts that there are none of, in 40 groups, of 7 owners
SOON = 2.0  # s in which a change must be on the page
BATCH = 1000
LIMIT_S = 600.0
# What the monitor has by itself, and not from the store; and what moves between two looks.
OWN = ("components.total", "components.load", "components.memory", "storage.used")
MOVES = ("waits.oldest", "groups.oldest", "rates.submitted", "rates.claimed", "rates.done", "rates.failed")
CHARTS = ("chart.waits.wait_p50", "chart.waits.wait_p90", "chart.rates.submitted", "chart.rates.done")
PACE = ("pace.claimed", "pace.requeued", "chart.rates.failed", "waits.p99", "waits.longest")


@pytest.fixture
def descriptors() -> None:
    """One for each agent, here and in the server."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most < AGENTS + SPARE_DESCRIPTORS:
        pytest.skip(f"{AGENTS} agents need more open files than the {most} that `ulimit -Hn` allows")
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


@pytest_asyncio.fixture(loop_scope="module")
async def system(
    descriptors: None, ejabberd: Ejabberd, redis_server: Redis, open_directory: Path
) -> AsyncIterator[BenchSystem]:
    """Servers of its own, two managers and a monitor; those of the run are asked for to skip where there are none."""
    system = BenchSystem(open_directory / "system", server="ejabberd", managers=2, monitor=True)
    async with system.running():
        yield system


@contextlib.asynccontextmanager
async def watched(store: Store) -> AsyncIterator[StoreBoard]:
    """What the page must show, by a board of our own."""
    board = StoreBoard(store, clock=SystemClock(), version=copilot.__version__)
    task = asyncio.create_task(board.run())
    try:
        yield board
    finally:
        task.cancel()
        await asyncio.wait([task])


async def submit(store: Store, specs: Sequence[JobSpec]) -> None:
    for start in range(0, len(specs), BATCH):
        await store.submit(specs[start : start + BATCH])


@pytest.mark.timeout(LIMIT_S)
@pytest.mark.usefixtures("descriptors")
async def test_the_page_of_a_large_fleet_is_right_live_and_light(
    system: BenchSystem, browser: Browser, screenshots: Path
) -> None:
    crowd, server, store = Crowd(), system.server(), system.store()
    agents = [
        Ours(crowd, server, account, lasts=True, quiet=True) for account in await system.accounts(AGENTS)
    ]
    fleet = Fleet(system, crowd, agents)
    turning = asyncio.Event()

    async def turn() -> None:
        """Agents answer and renew while the page is looked at."""
        while not turning.is_set():
            await asyncio.to_thread(crowd.turn, 0.05)

    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(store.close)
        stack.callback(crowd.close)
        await asyncio.to_thread(fleet.log_in_once)
        await asyncio.to_thread(fleet.park)
        answering = asyncio.create_task(turn())
        stack.push_async_callback(asyncio.wait, [answering])
        stack.callback(turning.set)
        hopeless = [
            JobSpec(
                id=f"w-{n}",
                command="true",
                owner=f"o{n % 7}",
                requirements=f"other.Memory >= {10**6 + n % 40}",
            )
            for n in range(WAITING)
        ]
        await submit(store, hopeless)
        await submit(store, [JobSpec(id=f"r-{n}", command="true", owner="runner") for n in range(BUSY)])
        board = await stack.enter_async_context(watched(store))
        look = await Look.open(browser, system.dashboard)
        stack.push_async_callback(look.close)
        await look.is_live()
        async with asyncio.timeout(LIMIT_S):
            while sum(agent.holds for agent in agents) < BUSY:
                await asyncio.sleep(0.1)
        await look.shows(board, limit=30.0, but=(*OWN, *MOVES, *CHARTS, *PACE))
        counts, shown = await store.counts(), await look.numbers()
        assert shown["jobs.running"][0].value == counts[State.RUNNING] == BUSY
        assert shown["jobs.waiting"][0].value == counts[State.WAITING] == WAITING
        assert [shown[f"fleet.{name}"][0].value for name in ("online", "busy", "idle", "slots", "slots_busy")] == [
            AGENTS, BUSY, AGENTS - BUSY, AGENTS, BUSY,
        ]  # fmt: skip
        assert shown["groups.total"][0].value == 40 * 7  # each owner's are his own
        assert shown["owners.total"][0].value == 8
        took = []
        for turn_number in range(3):
            began = time.monotonic()
            await store.hold(f"w-{turn_number}")
            while (await look.numbers())["jobs.held"][0].value != turn_number + 1:
                await asyncio.sleep(0.02)
            took.append(time.monotonic() - began)
        # Whatever else this machine does meanwhile. Each change comes as soon as the last one was seen: it waits for a whole period.
        assert min(took) < SOON, f"changes were on the page after {took} s"
        await look.page.screenshot(path=screenshots / "fleet-1440-light.png", full_page=True)
        await look.shows_agents(board, limit=30.0)
        await look.shows_jobs(board, State.RUNNING, limit=30.0)
        await look.page.screenshot(path=screenshots / "fleet-running-1440-light.png")
