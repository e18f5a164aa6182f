"""An HTTP server that holds so many connections and no more, half of them of one address: who opens thousands and says
nothing, or says it very slowly, keeps nobody else out and fills no memory.

The hard thing is TLS. asyncio begins it before anybody is asked, with 80 kB and more for each connection, and tells nobody how it
ended. So connections are taken without it, counted, and only then secured (`_Door`). What a broken off beginning leaves
are circles of objects, which are collected after every so many.

The ways in that aiohttp leaves open are bounded elsewhere: the head of a request by `quiet_server`'s `idle`, bodies by who
reads them.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import ssl
from asyncio import sslproto
from collections import Counter
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from copilot.log import rate_limited

HANDSHAKE = 10.0  # s that TLS may take
BACKLOG = 1024
TLS_BUFFER = (
    32 * 1024
)  # bytes that are read at once; asyncio's default of 256 kB is kept by each connection, idle or not
LEFT_BEHIND = 200  # beginnings of TLS that broke off before what they left is collected


class BoundedServer(web.Server):
    """As aiohttp's, with at most `most` connections."""

    def __init__(self, handler: Any, *, most: int, log: logging.Logger, **options: Any) -> None:
        super().__init__(handler, logger=log, **options)
        self._most, self._log = most, log
        self._of: Counter[str] = Counter()  # connections by address
        self._address: dict[RequestHandler, str] = {}
        self._beginning: set[asyncio.Task[None]] = set()
        self._left_behind = 0

    def door(self, context: ssl.SSLContext) -> asyncio.Protocol:
        """What takes the next connection that begins with TLS."""
        return _Door(self, context)

    def enter(self, transport: asyncio.Transport) -> str | None:
        """Count a connection; its address, or None if it was cut off because there are too many."""
        peer = transport.get_extra_info("peername")
        address, share = str(peer[0]) if peer else "", max(1, self._most // 2)
        if self._of.total() < self._most and self._of[address] < share:
            self._of[address] += 1
            return address
        text = "%s opens more than %d connections, or all together %d: what is above that is closed at once"
        rate_limited(self._log, "connections", logging.WARNING, text, address, share, self._most)
        transport.abort()
        return None

    def leave(self, address: str) -> None:
        """It is over."""
        self._of[address] -= 1
        if not self._of[address]:
            del self._of[address]

    def begin(self, work: asyncio.Task[None]) -> None:
        """TLS begins."""
        self._beginning.add(work)
        work.add_done_callback(self._beginning.discard)

    def broke_off(self) -> None:
        """The beginning of TLS came to nothing."""
        self._left_behind += 1
        if self._left_behind >= LEFT_BEHIND:
            self._left_behind = 0
            gc.collect()

    def admit(self, handler: RequestHandler, address: str) -> None:
        """A connection that was counted has its handler."""
        self._address[handler] = address

    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """Called by the handler."""
        super().connection_made(handler, transport)
        if handler not in self._address and (address := self.enter(transport)) is not None:
            self._address[handler] = address

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Called by the handler."""
        super().connection_lost(handler, exc)
        address = self._address.pop(handler, None)
        if address is not None:
            self.leave(address)

    async def shutdown(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - aiohttp's
        """Called by the runner."""
        for task in self._beginning:
            task.cancel()
        await super().shutdown(timeout)


class _Door(asyncio.Protocol):
    """A connection before TLS."""

    def __init__(self, server: BoundedServer, context: ssl.SSLContext) -> None:
        self._server, self._context = server, context
        self._address: str | None = None  # while it is ours to count

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by asyncio, which then begins to read: TLS must have the first byte, so that is stopped as soon as it has."""
        assert isinstance(transport, asyncio.Transport)
        self._address = self._server.enter(transport)
        if self._address is not None:
            asyncio.get_running_loop().call_soon(self._begin, transport)

    def connection_lost(self, _: Exception | None) -> None:
        """Called by asyncio, unless TLS has begun."""
        if self._address is not None:
            self._server.leave(self._address)
            self._address = None

    def _begin(self, transport: asyncio.Transport) -> None:
        if self._address is not None and not transport.is_closing():
            transport.pause_reading()
            address, self._address = self._address, None
            self._server.begin(asyncio.get_running_loop().create_task(self._secure(transport, address)))

    async def _secure(self, transport: asyncio.Transport, address: str) -> None:
        first, secured = _First(), None
        try:
            secured = await asyncio.get_running_loop().start_tls(
                transport, first, self._context, server_side=True, ssl_handshake_timeout=HANDSHAKE
            )
        except OSError:  # what TLS raises is one, too
            pass
        finally:
            if secured is None:
                transport.abort()
                self._server.leave(address)
                self._server.broke_off()
        if secured is not None:
            handler = self._server()
            self._server.admit(handler, address)
            first.give_to(handler, secured)


class _First(asyncio.Protocol):
    """Keeps what comes right behind the beginning of TLS, until there is a handler."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._ended = False
        self._lost = False

    def data_received(self, data: bytes) -> None:
        """Called by asyncio."""
        self._data += data

    def eof_received(self) -> bool:
        """Called by asyncio."""
        self._ended = True
        return False

    def connection_lost(self, _: Exception | None) -> None:
        """Called by asyncio."""
        self._lost = True

    def give_to(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        """All that has happened, in its order."""
        transport.set_protocol(handler)
        handler.connection_made(transport)
        if self._data:
            handler.data_received(bytes(self._data))
        if self._ended:
            handler.eof_received()
        if self._lost:
            handler.connection_lost(None)


class Site(web.TCPSite):
    """As aiohttp's, with connections that are counted before TLS begins."""

    async def start(self) -> None:
        """Listen. Raises OSError."""
        context, server = self._ssl_context, self._runner.server
        if context is None or not isinstance(server, BoundedServer):
            await super().start()
            return
        sslproto.SSLProtocol.max_size = TLS_BUFFER
        await web.BaseSite.start(self)
        self._server = await asyncio.get_running_loop().create_server(
            lambda: server.door(context), self._host, self._port, backlog=BACKLOG
        )


def site(runner: web.ServerRunner, host: str, port: int, ssl_context: ssl.SSLContext | None) -> Site:
    """Where a runner is to listen."""
    return Site(runner, host, port, ssl_context=ssl_context, backlog=BACKLOG)
