"""slixmpp's client with a short way in and out. The only file that knows slixmpp's private parts.

The hard thing: slixmpp makes an object tree of every stanza before anybody may look at it, and runs what is sent
through a queue of filters. Both cost more than our whole handling of a message (22 and 38 µs against 7 and 6).
So `_spawn_event`, which gets each parsed stanza first, is overridden, and messages are written with `send_raw`.
Where slixmpp has no `_spawn_event` any more, an incoming filter (a public means) sees the same elements later.

The short way goes round slixmpp's own counters, so XEP-0198 must stay off (docs: decision on the fast path).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from collections.abc import Callable
from xml.etree.ElementTree import Element as Xml

from copilot.transport.gate import Gate
from copilot.transport.library import ClientXMPP, StanzaBase

Take = Callable[[Xml], bool]  # True: this stanza is dealt with, slixmpp must not see it

GATHERED_BYTES = 64 * 1024  # are written at once, whatever else is to come

log = logging.getLogger("copilot.transport")


def has_short_way() -> bool:
    """Does this slixmpp have the private part that the short way in needs?"""
    return callable(getattr(ClientXMPP, "_spawn_event", None))


class FastClient(ClientXMPP):
    """One connection attempt and the session that comes of it; never used for a second one.

    `take` sees every stanza first and must not raise. `refuse` is told why nothing more is read from a server that
    sends what no server may. `buffer_limit` is in bytes: with more waiting for the socket `writable` is False.
    """

    def __init__(
        self,
        jid: str,
        password: str,
        *,
        take: Take,
        refuse: Callable[[str], None],
        ssl_context: ssl.SSLContext | None,
        buffer_limit: int,
    ) -> None:
        self._gate = Gate()
        self._refuse = refuse
        super().__init__(jid, password, ssl_context=ssl_context, loop=asyncio.get_running_loop())
        self._take = take
        self._buffer_limit = buffer_limit
        self._pressed = False
        self._gathered: list[bytes] = []
        self._gathered_bytes = 0
        self._short_way = has_short_way()
        if not self._short_way:
            log.warning(
                "this slixmpp has no _spawn_event: messages take the long way, about three times slower"
            )
            self.add_filter("in", self._take_object)

    @property
    def writable(self) -> bool:
        """Is there a connection whose buffer has room?"""
        return self.transport is not None and not self._pressed and not self.transport.is_closing()

    @property
    def buffered(self) -> int:
        """Bytes that wait for the socket."""
        waiting = 0
        if isinstance(self.transport, asyncio.WriteTransport):
            waiting = self.transport.get_write_buffer_size()
        return waiting + self._gathered_bytes

    def write(self, stanza: bytes) -> None:
        """Send a stanza; what is written in one turn of the event loop goes to the socket, and through TLS, in one piece."""
        if not self._gathered:
            asyncio.get_running_loop().call_soon(self.flush)
        self._gathered.append(stanza)
        self._gathered_bytes += len(stanza)
        if self._gathered_bytes >= GATHERED_BYTES:
            self.flush()

    def flush(self) -> None:
        """Send now what is gathered; without a connection it is lost, like what is on its way on one that ends."""
        data, self._gathered, self._gathered_bytes = b"".join(self._gathered), [], 0
        if data and self.transport is not None:
            self.send_raw(data)

    def connection_made(self, transport: asyncio.BaseTransport, send_event: bool = True) -> None:
        """Called by asyncio for the TCP connection, by slixmpp once more for TLS over it."""
        if isinstance(transport, asyncio.WriteTransport):
            transport.set_write_buffer_limits(high=self._buffer_limit)
        self._pressed = False
        super().connection_made(transport, send_event)

    def init_parser(self) -> None:
        """Called by slixmpp at the start of each stream: on the connection, then over TLS, then logged in."""
        self._gate = Gate()
        super().init_parser()

    def data_received(self, data: bytes | str) -> None:
        """Called by asyncio."""
        complaint = self._gate.complaint(data.encode() if isinstance(data, str) else data)
        if complaint is None:
            super().data_received(data)
        else:
            self._refuse(complaint)

    def pause_writing(self) -> None:
        """Called by asyncio when more than the limit waits for the socket."""
        self._pressed = True

    def resume_writing(self) -> None:
        """Called by asyncio when the buffer has drained."""
        self._pressed = False

    def listen(self, on: bool) -> None:
        """Stop reading from the socket, or go on: the server, and TCP behind it, make the senders wait."""
        if self.transport is not None and not self.transport.is_closing():
            (self.transport.resume_reading if on else self.transport.pause_reading)()

    async def dispose(self) -> None:
        """End the connection at once and leave no task of slixmpp's behind."""
        self.cancel_connection_attempt()
        if self.transport is not None:
            gone = self.disconnected
            # asyncio before 3.11.4 cannot abort a TLS transport whose connection has just ended by itself.
            with contextlib.suppress(AttributeError):
                self.abort()
            await asyncio.wait((gone,), timeout=1)
        sender = getattr(self, "_run_out_filters", None)
        if sender is not None:
            sender.cancel()
            await asyncio.wait((sender,))

    def _spawn_event(self, xml: Xml) -> None:
        self._gate.stanza_ended()
        if not (self._short_way and self._take(xml)):
            super()._spawn_event(xml)

    def _take_object(self, stanza: StanzaBase) -> StanzaBase | None:
        self._gate.stanza_ended()
        return None if self._take(stanza.xml) else stanza
