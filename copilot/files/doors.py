"""An HTTP server that holds so many connections and no more, half of them of one address: who opens thousands and says
nothing, or says it very slowly, keeps nobody else out and fills no memory.

The ways in that aiohttp and asyncio leave open are bounded elsewhere: the head of a request by `quiet_server`'s `idle`,
bodies by who reads them.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from asyncio import sslproto
from collections import Counter, OrderedDict
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from copilot.log import rate_limited

HANDSHAKE = 10.0  # s that TLS may take
BACKLOG = 1024
# asyncio reads into a buffer of its own for each connection with TLS, by default 256 kB: a thousand idle ones took that in memory.
TLS_BUFFER = 64 * 1024


class BoundedServer(web.Server):
    """As aiohttp's, with at most `most` connections."""

    def __init__(self, handler: Any, *, most: int, log: logging.Logger, **options: Any) -> None:
        super().__init__(handler, logger=log, **options)
        self._most, self._log = most, log
        self._opening: OrderedDict[RequestHandler, float] = OrderedDict()  # TLS has not begun; since when
        self._of: Counter[str] = Counter()  # connections by address
        self._address: dict[RequestHandler, str] = {}

    def __call__(self) -> Any:
        """What serves the next connection."""
        now = time.monotonic()
        while self._opening and next(iter(self._opening.values())) + HANDSHAKE < now:
            self._opening.popitem(last=False)
        if len(self._address) + len(self._opening) >= self._most:
            self._complain("somebody", self._most)
            return _Closed()
        handler = super().__call__()
        self._opening[handler] = now
        return handler

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Called by the handler, after TLS."""
        super().connection_made(handler, transport)
        self._opening.pop(handler, None)
        peer = transport.get_extra_info("peername")
        address = self._address[handler] = str(peer[0]) if peer else ""
        self._of[address] += 1
        if self._of[address] > (most := max(1, self._most // 2)):
            self._complain(address, most)
            transport.abort()

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Called by the handler."""
        super().connection_lost(handler, exc)
        address = self._address.pop(handler, None)
        if address is not None:
            self._of[address] -= 1
            if not self._of[address]:
                del self._of[address]

    def _complain(self, who: str, most: int) -> None:
        text = "%s opens more than %d connections: what is above that is closed at once"
        rate_limited(self._log, "connections", logging.WARNING, text, who, most)


class _Closed(asyncio.Protocol):
    """A connection for which there is no place."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


class Site(web.TCPSite):
    """As aiohttp's, with an end to the beginning of TLS."""

    async def start(self) -> None:
        """Listen. Raises OSError."""
        await web.BaseSite.start(self)
        assert self._runner.server is not None
        if self._ssl_context is not None:
            sslproto.SSLProtocol.max_size = TLS_BUFFER
        self._server = await asyncio.get_running_loop().create_server(
            self._runner.server,
            self._host,
            self._port,
            ssl=self._ssl_context,
            backlog=BACKLOG,
            ssl_handshake_timeout=None if self._ssl_context is None else HANDSHAKE,
        )


def site(runner: web.ServerRunner, host: str, port: int, ssl_context: ssl.SSLContext | None) -> Site:
    """Where a runner is to listen."""
    return Site(runner, host, port, ssl_context=ssl_context, backlog=BACKLOG)
