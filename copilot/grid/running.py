"""Keeps the sources of a manager going: one that ends is run again, later and later; none ends the manager."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping

from copilot.clock import Clock
from copilot.errors import CopilotError
from copilot.grid.base import Intake, JobSource
from copilot.retry import full_jitter

log = logging.getLogger("copilot.grid")

LONGEST_WAIT = 60.0  # s, and so long a source must have lasted for its next wait to be short again
STOP_LIMIT = 10.0  # s for a source to end when it is cancelled


@contextlib.asynccontextmanager
async def running(
    sources: Mapping[str, JobSource], intake: Intake, *, clock: Clock, random: Callable[[], float]
) -> AsyncIterator[None]:
    """Run `sources`, by name, while inside; they are cancelled on the way out. `random()` is 0 … 1."""
    tasks = {
        asyncio.create_task(_keep(name, source, intake, clock, random), name=name)
        for name, source in sources.items()
    }
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        pending = (await asyncio.wait(tasks, timeout=STOP_LIMIT))[1] if tasks else set()
        for task in pending:
            log.error("source %s does not end when it is cancelled; leaving it behind", task.get_name())


async def _keep(
    name: str, source: JobSource, intake: Intake, clock: Clock, random: Callable[[], float]
) -> None:
    failures = 0
    while True:
        began = clock.monotonic()
        life = asyncio.create_task(
            _live(name, source, intake)
        )  # of its own: what it makes of cancelling stays there
        try:
            await asyncio.wait([life])
        except asyncio.CancelledError:
            life.cancel()
            await asyncio.wait([life])
            raise
        failures = failures + 1 if clock.monotonic() - began < LONGEST_WAIT else 1
        wait = full_jitter(failures, LONGEST_WAIT, random)
        log.info("source %s is run again in %.1f s", name, wait)
        await asyncio.sleep(wait)


async def _live(name: str, source: JobSource, intake: Intake) -> None:
    """Until it ends, however that is."""
    try:
        await source.run(intake)
        log.error("source %s has returned", name)
    except CopilotError as error:
        log.error("source %s: %s", name, error)
    except (Exception, SystemExit):  # code of somebody else, which must not end the manager
        log.exception("source %s has failed", name)
