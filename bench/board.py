"""The dashboard's board over a long queue: what it costs Redis and the monitor while somebody watches.

    python bench/board.py [--jobs 1000000] [--groups 1000] [--owners 50] [--agents 10000] [--seconds 20]

A Redis of its own with so many waiting jobs in so many groups of so many owners; half of the agents run a job, all are parked for
one more. Somebody asks for the front page each second, as the page does while it is open, and jobs go through the queue
meanwhile. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import resource
import statistics
import tempfile
import time
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from copilot.clock import SystemClock
from copilot.job import Cause, JobSpec, Outcome, State
from copilot.local.redis import Redis
from copilot.monitor.storeboard import StoreBoard
from copilot.store.base import Parking
from copilot.store.places import DEEPEST
from copilot.store.redis import RedisStore

BATCH = 1000  # jobs in one submit
AT_ONCE = 100  # claims
TRIES = 30  # of each page
PAGE_MS, SHARE = 20.0, 3.0  # the goals: milliseconds of a page, % of one core of Redis


async def fill(store: RedisStore, options: argparse.Namespace) -> None:
    """Jobs that run, jobs that wait, and agents."""
    running = options.agents // 2
    await submit(
        store,
        [
            JobSpec(id=f"run-{n}", command="run.sh", owner=f"user-{n % options.owners}")
            for n in range(running)
        ],
    )
    for first in range(0, options.agents, AT_ONCE):
        await asyncio.gather(
            *(park(store, number, claims=number < running) for number in range(first, first + AT_ONCE))
        )
    for first in range(0, options.jobs, 50 * BATCH):
        last = min(first + 50 * BATCH, options.jobs)
        await submit(store, [waiting(number, options) for number in range(first, last)])


def waiting(number: int, options: argparse.Namespace) -> JobSpec:
    """A job that none of the agents can run."""
    requirements = f"other.Memory >= {1000 + number % options.groups}"
    owner = f"user-{number % options.owners}"
    return JobSpec(
        id=f"job-{number}", command="run.sh", owner=owner, requirements=requirements, priority=number % 3
    )


async def submit(store: RedisStore, specs: list[JobSpec]) -> None:
    for first in range(0, len(specs), BATCH):
        await store.submit(specs[first : first + BATCH])


async def park(store: RedisStore, number: int, *, claims: bool) -> None:
    """An agent that runs a job, or none, and waits for one more."""
    agent = f"agent-{number}@bench"
    jid = Parking(jid=f"{agent}/1", features=("direct", "lease", "push", "slots"))
    await store.claim(
        agent=agent,
        request="r",
        dispatch_limit=1e6,
        lease=1e6,
        count=2 if claims else 1,
        host="[ Memory = 10 ]",
        park=jid,
    )


async def cycles(store: RedisStore, stop: asyncio.Event) -> int:
    """Jobs go through the queue one after the other, until it is over; how many did."""
    number = 0
    while not stop.is_set():
        await store.submit([JobSpec(id=f"cycle-{number}", command="run.sh", owner="me", priority=9)])
        claimed = await store.claim(
            agent="worker@bench", request=f"{number}", dispatch_limit=60.0, lease=60.0
        )
        for one in claimed:
            await store.finish(one.spec.id, one.attempt, Outcome(cause=Cause.OK, exit_code=0))
        number += 1
        await asyncio.sleep(0.01)  # at most a hundred a second: company for the pages, not what is measured
    return number


async def redis_seconds(store: RedisStore) -> float:
    """CPU of the server since its start."""
    found = await store.raw("INFO", "cpu")
    return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])


async def timed(ask: Callable[[], Awaitable[Any]]) -> list[float]:
    """Milliseconds of each try."""
    found = []
    for _ in range(TRIES):
        began = time.perf_counter()
        await ask()
        found.append((time.perf_counter() - began) * 1000)
    return found


def row(name: str, unit: str, value: float, goal: float | None = None) -> dict[str, Any]:
    return {
        "name": name, "unit": unit, "value": round(value, 3), "goal": None if goal is None else f"<= {goal:g}",
        "met": None if goal is None else value <= goal, "rounds": [round(value, 3)],
    }  # fmt: skip


def page_row(name: str, times: list[float]) -> dict[str, Any]:
    return row(f"page: {name}", "ms", statistics.median(times), PAGE_MS) | {
        "rounds": sorted(round(one, 3) for one in times)
    }


async def measure_pages(store: RedisStore, board: StoreBoard) -> list[dict[str, Any]]:
    """Each page by itself, as often as the store answers anew."""
    deep = str(DEEPEST)
    oldest = await store.page(State.RUNNING, limit=1)
    job = oldest.rows[0].job
    pages: dict[str, Callable[[], Awaitable[Any]]] = {
        "agents": lambda: board.agents(after="agent-5", limit=50),
        "search for agents": lambda: board.agents(search="99", limit=50),
        "jobs that wait": lambda: board.jobs(State.WAITING, limit=50),
        "jobs that wait, the last page": lambda: board.jobs(State.WAITING, after=deep, limit=50),
        "jobs that run": lambda: board.jobs(State.RUNNING, limit=50),
        "jobs that are done": lambda: board.jobs(State.DONE, limit=50),
        "one job": lambda: board.job(job),
    }
    rows = []
    for name, ask in pages.items():
        rows.append(page_row(name, await timed(ask)))
    times = []
    for _ in range(TRIES):
        began = time.perf_counter()
        board.history(86400)
        times.append((time.perf_counter() - began) * 1000)
    return [*rows, page_row("history of a day", times)]


async def watched(
    store: RedisStore, board: StoreBoard, seconds: float, *, ask: bool
) -> tuple[float, float, list[float]]:
    """Redis' and our own % of a core while somebody looks, or nobody does, and milliseconds of each answer."""
    before, began, own = await redis_seconds(store), time.perf_counter(), time.process_time()
    times = []
    while time.perf_counter() - began < seconds:
        asked = time.perf_counter()
        if ask:
            await board.now()
            times.append((time.perf_counter() - asked) * 1000)
        await asyncio.sleep(1.0)  # as often as a page that is watched is made anew
    span = time.perf_counter() - began
    used = (await redis_seconds(store) - before) / span * 100
    return used, (time.process_time() - own) / span * 100, times


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """All rows."""
    with tempfile.TemporaryDirectory(prefix="copilot-bench-") as directory:
        server = Redis(Path(directory))
        await server.start()
        store = RedisStore.from_url(server.url)
        try:
            await store.raw("CONFIG SET", "maxmemory", "0")
            await store.raw(
                "CONFIG SET", "appendfsync", "everysec"
            )  # to fill it; nothing here measures the disk
            await fill(store, options)
            rows = await measure_board(store, options)
        finally:
            await store.close()
            await server.stop()
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    return {"rows": rows, "machine": machine}


async def measure_board(store: RedisStore, options: argparse.Namespace) -> list[dict[str, Any]]:
    tracemalloc.start()
    board = StoreBoard(store, clock=SystemClock(), version="bench")
    running = asyncio.create_task(board.run())
    async with asyncio.timeout(60):
        while (await board.now()).fleet.online < options.agents:  # the stream is read from its begin first
            await asyncio.sleep(1)  # between two looks
    memory = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    idle, own_idle, _ = await watched(store, board, options.seconds, ask=False)
    used, own, times = await watched(store, board, options.seconds, ask=True)
    rows = [
        row("Redis while nobody watches", "% of a core", idle),
        row("Redis while somebody watches", "% of a core", used, SHARE),
        row("monitor while nobody watches", "% of a core", own_idle),
        row("monitor while somebody watches", "% of a core", own),
        row("front page, p50", "ms", statistics.median(times)),
        row("front page, longest", "ms", max(times)),
        row("memory of the board", "MB", memory / 1e6),
        row(
            "resident, with client and bench", "MB", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        ),
        *await measure_pages(store, board),
    ]
    stop = asyncio.Event()
    task = asyncio.create_task(cycles(store, stop))
    began = time.perf_counter()
    await asyncio.sleep(2)  # the span over which the rate is taken
    now = await board.now()
    stop.set()
    rate = await task / (time.perf_counter() - began)
    rows.append(row("jobs through the queue meanwhile", "jobs/s", rate))
    rows.append(row("that, on the page", "jobs/s", now.rates.done))
    running.cancel()
    await asyncio.wait([running])
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--owners", type=int, default=50)
    parser.add_argument("--agents", type=int, default=10_000)
    parser.add_argument("--seconds", type=float, default=20.0)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=2))


if __name__ == "__main__":
    main()
