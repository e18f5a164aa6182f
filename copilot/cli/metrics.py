"""Shows a manager's numbers to Prometheus, where its configuration says."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from copilot.config.kinds import Address
from copilot.errors import ConfigError
from copilot.metrics.exposition import Exposition
from copilot.metrics.server import MetricsServer
from copilot.metrics.table import Sources

log = logging.getLogger("copilot.metrics")


@contextlib.asynccontextmanager
async def showing_metrics(listen: Address | None, sources: Sources, *, key: str) -> AsyncIterator[None]:
    """Prometheus can read while inside. `listen` is None where nobody wants that; it is the value of the setting `key`.

    Raises `ConfigError` if another program has the port.
    """
    if listen is None:
        yield
        return
    server = MetricsServer(Exposition(sources))
    try:
        await server.start(*listen)
    except OSError as error:
        raise ConfigError(
            f"{key}: cannot listen on {listen.host}:{listen.port}: {error.strerror}; each instance on a machine needs a "
            "port of its own"
        ) from error
    log.info("Showing metrics on %s:%d.", *listen)
    try:
        yield
    finally:
        await server.stop()
