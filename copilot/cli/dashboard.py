"""Shows the dashboard to browsers, where the monitor's configuration says."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator

from copilot.errors import ConfigError
from copilot.monitor.board import Board
from copilot.monitor.config import MonitorConfig
from copilot.monitor.dashboard.server import Dashboard

log = logging.getLogger("copilot.dashboard")


@contextlib.asynccontextmanager
async def showing_dashboard(config: MonitorConfig, board: Board) -> AsyncIterator[None]:
    """Browsers can look at `board` while inside, unless the dashboard is switched off.

    Raises `ConfigError` if another program has the port.
    """
    listen = config.dashboard_listen
    if listen is None:
        yield
        return
    server = Dashboard(board, hosts=config.dashboard_hosts)
    try:
        await server.start(*listen)
    except OSError as error:
        raise ConfigError(
            f"{config.key('dashboard_listen')}: cannot listen on {listen.host}:{listen.port}: {error.strerror}; choose "
            "another port, or off"
        ) from error
    log.info(
        "The dashboard is at http://%s:%d/.",
        f"[{listen.host}]" if ":" in listen.host else listen.host,
        listen.port,
    )
    try:
        yield
    finally:
        await server.stop()
