"""Keeps a service running: what ends by itself is started again, later and later, until that makes no sense."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from copilot.errors import ConfigError, CopilotError, ServerMissing
from copilot.local.service import Service
from copilot.retry import full_jitter

log = logging.getLogger("copilot.local")

QUICK_S = 10.0  # what was ready for less than this has not lasted
MOST_QUICK_ENDS = 5  # in a row; systemd's StartLimitBurst is the same
LONGEST_WAIT_S = 30.0


async def keep(
    service: Service, ready: asyncio.Event, *, random: Callable[[], float] = random.random
) -> None:
    """Start `service`, set `ready` when it is so for the first time, and start it again whenever it ends.

    Returns when it has left for good, or does not last and is dispensable. Raises CopilotError, with its last words,
    after `MOST_QUICK_ENDS` in a row; ConfigError and ServerMissing if they come at the beginning, when somebody has to
    mend that first.
    """
    quick_ends = 0
    while (end := await _one_life(service, ready)) is not None:
        words, seconds = end
        quick_ends = quick_ends + 1 if seconds < QUICK_S else 1
        if quick_ends >= MOST_QUICK_ENDS:
            text = (
                f"{service.name} ended {quick_ends} times in a row, each time before it had run for "
                f"{QUICK_S:g} s, and is not started again. Look at its last words, mend the cause, and start the "
                f"system again. {words}"
            )
            if not service.dispensable:
                raise CopilotError(text)
            log.error("%s The rest of the system goes on without it.", text)
            ready.set()
            return
        wait = full_jitter(quick_ends - 1, LONGEST_WAIT_S, random)
        for line in f"{service.name}: {words}".expandtabs().splitlines():
            log.error("%s", line)
        log.error("%s is started again in %.1f s", service.name, wait)
        await asyncio.sleep(wait)


async def _one_life(service: Service, ready: asyncio.Event) -> tuple[str, float] | None:
    """Its last words, and for how long it had been ready (s); None if it has left for good."""
    now = asyncio.get_running_loop().time
    try:
        await service.start()
    except (CopilotError, OSError) as error:
        mend_first = isinstance(error, ConfigError | ServerMissing) and not service.dispensable
        if mend_first and not ready.is_set():
            raise
        return str(error), 0.0
    since = now()
    if ready.is_set():
        log.info("%s runs again", service.name)
    ready.set()
    if await service.wait() == 0 and service.may_leave:
        log.info("%s has left, as it was told; it is not started again", service.name)
        return None
    return service.last_words(), now() - since
