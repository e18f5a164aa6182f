"""What commands that look at the queue share: settings, the store, once or `--watch`."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from copilot.cli import output
from copilot.cli.known import known_keys
from copilot.cli.output import Shown
from copilot.cli.queue import open_briefly
from copilot.client.selection import one_job, read_selection
from copilot.config import load
from copilot.config.groups import QueuePlaceSettings
from copilot.errors import BadName, UnknownJob
from copilot.jobmanager.config import SubmitConfig
from copilot.store.base import Store


def load_queue(config: Path | None) -> SubmitConfig:
    """The settings of the queue, for commands that work on it. Raises `ConfigError`."""
    settings, warnings = load(SubmitConfig, config, os.environ, known=known_keys)
    for warning in warnings:
        print(f"copilot: warning: {warning}", file=sys.stderr)
    return settings


@asynccontextmanager
async def opened(config: QueuePlaceSettings) -> AsyncIterator[Store]:
    """The queue, given back on the way out."""
    store = open_briefly(config)
    try:
        yield store
    finally:
        await store.close()


def job_of(config: Path | None, text: str, *, remote: bool = False) -> str:
    """The id of the one job, or element of an array, that is meant; the queue is asked only where that takes the array's size, and not
    from afar. Raises `BadName`, `CopilotError`."""
    selection = read_selection(text)
    if selection.job is not None:
        return selection.job
    if remote:
        raise BadName(f"{text}: from afar expected one element by its number, like {selection.id}[7]")
    settings = load_queue(config)

    async def run() -> str:
        async with opened(settings) as store:
            return await one_job(store, selection)

    return asyncio.run(run())


def look(
    config: Path | None,
    find: Callable[[Store], Awaitable[Shown]],
    *,
    as_json: bool,
    watch: float | None = None,
) -> None:
    """Show what `find` finds on the queue. Raises `CopilotError`."""
    settings = load_queue(config)

    async def run() -> None:
        async with opened(settings) as store:
            if watch is None:
                output.show(await find(store), as_json=as_json)
            else:
                await output.watch(lambda: find(store), every=watch, as_json=as_json)

    asyncio.run(run())


def unknown(job: str) -> UnknownJob:
    """The error for a job that nobody knows."""
    return UnknownJob(f"job {job} is not known: look for a typing error; records of old jobs are removed")
