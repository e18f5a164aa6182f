"""A session that is there to look at a server: what it passes on, how fast, and what it says of itself.

Nothing is repaired here: it logs in once, and ends when the server ends it.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from xml.etree.ElementTree import Element as Xml

from copilot.errors import RoomRefused, TransportError
from copilot.transport.base import Connected, TransportEvent
from copilot.transport.connection import Connection, Ended
from copilot.transport.rooms import RoomService, XmppRooms
from copilot.transport.settings import XmppSettings

MOST_HEARD = 1000  # stanzas that are kept until somebody asks for them

Match = Callable[[Xml], bool]


class Probe(Connection):
    """One session. See `probing`."""

    def __init__(self, settings: XmppSettings) -> None:
        self._came: deque[tuple[float, Xml]] = deque(maxlen=MOST_HEARD)
        self._news, self._up = asyncio.Event(), asyncio.Event()
        self.jid = ""  # as the server bound it
        super().__init__(settings, self._delivered)

    @property
    def rooms(self) -> RoomService:
        """Its chat-room services."""
        return XmppRooms(self.ask, self.enter, self.leave)

    @property
    def end(self) -> Ended | None:
        """Why the server ended the session; None: it has not."""
        return self._ended.result() if self._ended.done() else None

    def say(self, stanza: str) -> None:
        """Write a stanza as it stands."""
        self._client.write(stanza.encode())

    async def began(self, limit: float) -> None:
        """Returns when the session is up, or has ended without, or after `limit` seconds."""
        news = asyncio.ensure_future(self._up.wait())
        try:
            await asyncio.wait((news, self._ended), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        finally:
            news.cancel()

    async def hear(self, match: Match, limit: float) -> Xml | None:
        """The first stanza that came and is such a one; it is given once. None: none came within `limit` seconds, or the
        session ended before."""
        heard = await self.hear_at(match, limit)
        return None if heard is None else heard[1]

    async def hear_at(self, match: Match, limit: float) -> tuple[float, Xml] | None:
        """As `hear`, and when it came, by the clock of the loop."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + limit
        while True:
            for heard in list(self._came):
                if match(heard[1]):
                    self._came.remove(heard)
                    return heard
            left = deadline - loop.time()
            if self._ended.done() or left <= 0:
                return None
            self._news.clear()
            news = asyncio.ensure_future(self._news.wait())
            try:
                await asyncio.wait((news, self._ended), timeout=left, return_when=asyncio.FIRST_COMPLETED)
            finally:
                news.cancel()

    def presences(self) -> list[Xml]:
        """All presence that came and was not asked for yet."""
        return [stanza for _, stanza in self._came if stanza.tag.endswith("}presence")]

    async def ping(self, limit: float) -> float:
        """Seconds until our server has answered, and so has read all that we said before. Raises RoomRefused `timeout`."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(limit):
                await self._ping(limit)
        except Exception as error:
            raise RoomRefused("timeout", f"no answer to a ping within {limit:g} s") from error
        return time.monotonic() - began

    def _delivered(self, event: TransportEvent) -> None:
        if isinstance(event, Connected):
            self.jid = event.jid
            self._up.set()

    def _take(self, stanza: Xml) -> bool:
        self._came.append((asyncio.get_running_loop().time(), stanza))
        self._news.set()
        return super()._take(stanza)


def with_id(mark: str) -> Match:
    """Whether a stanza has this id, whatever became of it."""
    return lambda stanza: stanza.get("id") == mark


@contextlib.asynccontextmanager
async def probing(settings: XmppSettings, *, gently: bool = True) -> AsyncIterator[Probe]:
    """A session that is up. `gently`: say goodbye at the end, which waits until the server has read all.

    Raises what the server, or we, refused: `LoginRefused`, `CertificateRefused`; `TransportError` for all else.
    """
    probe = Probe(settings)
    running = asyncio.ensure_future(probe.run((), {}))
    try:
        await probe.began(settings.login_timeout)
        if not probe.up:
            ended = probe.end or Ended(reason=f"no session within {settings.login_timeout:g} s")
            raise ended.fatal or TransportError(f"{settings.address}: {ended.reason}")
        yield probe
        if gently:
            await probe.goodbye()
    finally:
        if probe.end is None:  # else it is just tidying up
            running.cancel()
        await asyncio.gather(running, return_exceptions=True)
