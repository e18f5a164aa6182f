"""Answers `GET /metrics`, for Prometheus. There is no password: who can connect can read the numbers."""

from __future__ import annotations

import logging

from aiohttp import web

from copilot.files.quiet import listen, quiet_server
from copilot.metrics.exposition import CONTENT_TYPE, Exposition

PATH = "/metrics"
IDLE = 60.0  # s that a connection may be silent: scrapes come every minute or more often
MOST_CONNECTIONS = 64
BREAK_OFF = 0.5  # s that answers have left when the server stops

_log = logging.getLogger("copilot.metrics")


class MetricsServer:
    """Shows one program's metrics."""

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition
        self._runner: web.ServerRunner | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen; returns the port, which is a free one if `port` is 0. Raises OSError if it is taken."""
        server = quiet_server(self._answer, idle=IDLE, log=_log, most=MOST_CONNECTIONS)
        self._runner, bound = await listen(server, host, port, break_off=BREAK_OFF)
        return bound

    async def stop(self) -> None:
        """Take no more connections, and close those that there are. Idempotent."""
        if self._runner is not None:
            runner, self._runner = self._runner, None
            await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        if request.path != PATH:
            return web.Response(status=404, text=f"there is nothing but {PATH} here\n")
        if request.method not in ("GET", "HEAD"):
            return web.Response(status=405, text="only GET is served here\n", headers={"Allow": "GET, HEAD"})
        return web.Response(body=await self._exposition.text(), headers={"Content-Type": CONTENT_TYPE})
