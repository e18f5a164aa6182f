"""Shows a program's numbers to Prometheus, where its configuration says."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

from copilot.clock import SystemClock
from copilot.config import Settings
from copilot.config.kinds import Address
from copilot.errors import ConfigError

log = logging.getLogger("copilot.metrics")


@contextlib.asynccontextmanager
async def showing_metrics(
    config: Settings,
    *sources: object,
    directories: Mapping[str, Path] | None = None,
    field: str = "metrics_listen",
) -> AsyncIterator[None]:
    """Prometheus can read while inside, if the settings say where, in this `field`. The parts of the table are read from
    `sources`; `directories` are those on whose disks the program needs room, by a word for each.

    Raises `ConfigError` if another program has the port. What it takes is loaded only where somebody wants it.
    """
    listen: Address | None = getattr(config, field)
    if listen is None:
        yield
        return
    from copilot.metrics.disk import Disk
    from copilot.metrics.exposition import Exposition
    from copilot.metrics.lag import Lag
    from copilot.metrics.server import MetricsServer
    from copilot.metrics.table import About

    now = SystemClock().monotonic
    lag, disk = Lag(now), Disk(directories or {}, now)
    server = MetricsServer(Exposition((About(component=config.program.name), lag, disk, *sources)))
    try:
        await server.start(*listen)
    except OSError as error:
        raise ConfigError(
            f"{config.key(field)}: cannot listen on {listen.host}:{listen.port}: {error.strerror}; each instance "
            "on a machine needs a port of its own"
        ) from error
    log.info("Showing metrics on %s:%d.", *listen)
    try:
        async with lag.measured():
            yield
    finally:
        await server.stop()
