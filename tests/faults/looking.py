"""What is left at the end of a campaign: processes, keys, files, and what the queue says of the jobs."""

from __future__ import annotations

import asyncio
import contextlib
import math
import tarfile
import time
from pathlib import Path

import psutil
import redis.asyncio as redis_client

from copilot.files.area import SEALED
from copilot.files.leftovers import attempt_directories
from copilot.job import Event
from copilot.storagemanager.cleaning import Cleaner
from copilot.store.base import Store
from copilot.store.keys import DEFAULT_PREFIX
from tests.acceptance.running import processes_of
from tests.faults.campaign import POLL_S, Campaign
from tests.faults.ground import Ground, stop_programs
from tests.faults.history import judge
from tests.faults.kinds import payloads

CALM_LIMIT_S = (
    90.0  # for agents to hear that what they do is not theirs any more; a dead link is found after 80 s
)
LATER_S = 2 * 86400.0  # so long after the end `copilot clean` has nothing to wait for
STAYING = (
    "job:",
    "attempts:",
    "sequence",
    "groups",
    "started",
    "turns",
    "done",
    "failed",
    "events",
)  # keys of jobs that are over
KEPT = ("format", "running", "cancelling", "delayed")  # as long as the queue (decision 25)
PASSING = (
    "request:",
    "group:",
    "host:",
    "hosts",
    "alive",
    "reach:",
    "usage:",
    "matches:",
    "passed-over",
    "agents",
    "failing",
    "trials",
)  # they go by themselves


async def look(campaign: Campaign, ground: Ground) -> None:
    """Fill in the campaign's result; stops the programs, and needs the servers."""
    result, works = campaign.result, campaign.works
    result.orphans = [f"of a job: {text}" for text in await _left_of_jobs(ground)]
    await stop_programs(ground)
    result.orphans += [f"of a program: {text}" for text in _left_of_programs(ground)]
    result.misdeeds = [misdeed for program in ground.programs.values() for misdeed in program.misdeeds]
    async with ground.store() as store:
        result.events = await _history(store)
        found = [await store.get(work.id) for work in works]
        records = {record.spec.id: record for record in found if record is not None}
        results = {work.id: result_of(ground.done, work.id) for work in works}
        result.found = judge(works, result.events, records, results)
        result.attempts_left = len(attempt_directories(ground.area.root))
        result.files_left = await _left_by_clean(ground, store)
    result.keys = await _keys(ground)


def result_of(done: Path, job: str) -> str | None:
    """What a job has written, as it lies in the place of results."""
    try:
        with tarfile.open(done / job / f"{job}.tgz") as package:
            stdout = package.extractfile(f"{job}/stdout")
            return None if stdout is None else stdout.read().decode()
    except (OSError, KeyError, tarfile.TarError):
        return None


async def _history(store: Store) -> tuple[Event, ...]:
    events: list[Event] = []
    while more := await store.events(after=events[-1].id if events else "0", count=1000):
        events.extend(more)
    return tuple(events)


async def _left_of_jobs(ground: Ground) -> list[str]:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(CALM_LIMIT_S):
            while payloads(str(ground.directory)):
                await asyncio.sleep(POLL_S)
    return list(map(str, payloads(str(ground.directory))))


def _left_of_programs(ground: Ground) -> list[str]:
    servers = (ground.redis._child, ground.xmpp._child, ground.chirp._child)
    own = {parent.pid for parent in psutil.Process().parents()}  # their command lines may name the directory
    for server in servers:
        if server is not None:
            with_helpers = psutil.Process(server.pid)
            own |= {server.pid, *(helper.pid for helper in with_helpers.children(recursive=True))}
    return [str(process) for process in processes_of(ground.directory) if process.pid not in own]


async def _left_by_clean(ground: Ground, store: Store) -> list[str]:
    """Directories and outputs of attempts that are there still when `copilot clean` has been."""
    root = ground.area.root
    async for _ in Cleaner(store, ground.area, None, dry=False).clean(time.time() + LATER_S, keep=math.inf):
        pass
    sealed = [f"{SEALED}/{path.name}" for path in (root / SEALED).iterdir() if path.name[0] != "."]
    return [*(left.name for left in attempt_directories(root)), *sealed]


async def _keys(ground: Ground) -> list[str]:
    """Keys that nobody knows, or that should have gone."""
    left = []
    async with redis_client.Redis.from_url(ground.redis.url) as client:
        async for key in client.scan_iter(count=1000):
            name = key.decode().removeprefix(DEFAULT_PREFIX)
            passes = name.startswith(PASSING) and await client.ttl(key) != -1  # it may have gone just now
            if not (passes or name in KEPT or name.startswith(STAYING)):
                left.append(key.decode())
    return left
