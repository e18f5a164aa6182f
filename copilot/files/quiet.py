"""What our HTTP servers have in common: they do not tell their versions, and strangers cannot fill the log."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Awaitable, Callable
from functools import partial

from aiohttp import web
from aiohttp.http import HttpProcessingError

from copilot.files.base import BLOCK
from copilot.files.doors import BoundedServer, site

LINGER = 5.0  # seconds in which the rest of a refused upload is read, so that its sender sees the answer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


def quiet_server(
    handler: Handler, *, idle: float, log: logging.Logger, most: int, cancel: bool = False
) -> web.Server:
    """A server of `most` connections that waits `idle` seconds for a request, or for the rest of one's head. `cancel`:
    whether an answer ends when the one who asked has left."""
    log.addFilter(_is_ours)
    return BoundedServer(
        handler,
        most=most,
        log=log,
        handler_cancellation=cancel,
        request_factory=partial(_Request, loop=asyncio.get_running_loop()),
        keepalive_timeout=idle,
        lingering_time=min(LINGER, idle),
        read_bufsize=BLOCK,
        auto_decompress=False,
        access_log=None,
    )


async def listen(
    server: web.Server, host: str, port: int, *, break_off: float, ssl_context: ssl.SSLContext | None = None
) -> tuple[web.ServerRunner, int]:
    """Have `server` listen. Returns its runner, whose `cleanup` gives answers `break_off` seconds to end, and the port, which
    is a free one if `port` is 0. Raises OSError if it is taken."""
    runner = web.ServerRunner(server, shutdown_timeout=break_off)
    await runner.setup()
    try:
        await site(runner, host, port, ssl_context).start()
    except OSError:
        await runner.cleanup()
        raise
    bound: int = runner.addresses[0][1]
    return runner, bound


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether a record is worth keeping: aiohttp logs each malformed request of a stranger as an error."""
    return record.exc_info is None or not isinstance(record.exc_info[1], HttpProcessingError)


class _Request(web.BaseRequest):
    """A request whose answer does not tell which versions run here, malformed ones included."""

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        response.headers["Server"] = "copilot"
