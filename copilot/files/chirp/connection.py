"""One TCP connection to a Chirp server, shared by many operations at a time.

The server answers in the order of the requests, so many may be under way; each operation reads its answer when its
turn comes. Contents go out only after the server has said that it takes them: bytes that it does not
expect, the contents of a job's output, it would run as commands. So an upload holds back the requests behind it
until its contents are sent, but not until they are confirmed.

An answer that is not read to its end, for whatever reason, leaves the connection of no use: it is cut, and all
operations that wait for an answer get `TransferUnavailable`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Self, TypeVar

from copilot.errors import TransferRefused, TransferUnavailable
from copilot.files.base import BLOCK
from copilot.files.chirp.authentication import Credentials, authenticate
from copilot.files.chirp.incoming import Incoming
from copilot.files.chirp.protocol import NotChirp, ServerError

MAX_UNDER_WAY = (
    64  # requests without their answer: 64 kB, which fit into the buffers between us and any server
)

T = TypeVar("T")
Read = Callable[[Incoming], Awaitable[T]]


class _Turn:
    """The place of one operation in the order of the answers."""

    def __init__(self) -> None:
        self._before: asyncio.Event | None = None
        self._over = asyncio.Event()

    @property
    def queued(self) -> bool:
        return self._before is not None

    def queue_up(self, before: asyncio.Event) -> asyncio.Event:
        """Come after `before`; returns what the next one comes after."""
        self._before = before
        return self._over

    async def come(self) -> None:
        if self._before is not None:
            await self._before.wait()

    def end(self) -> None:
        self._over.set()


class Connection:
    """Made by `open`. Methods raise ServerError (the connection is well), TransferUnavailable and TransferRefused."""

    def __init__(
        self, server: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, stall: float
    ) -> None:
        self.subject = ""  # who the server says that we are
        self._server = server
        self._incoming = Incoming(reader, stall)
        self._writer = writer
        self._stall = stall
        self._slots = asyncio.Semaphore(MAX_UNDER_WAY)
        self._sending = asyncio.Lock()
        self._last_turn = asyncio.Event()
        self._last_turn.set()
        self._under_way = 0
        self._loop = asyncio.get_running_loop()
        self._idle_since = self._loop.time()

    @classmethod
    async def open(cls, host: str, port: int, credentials: Credentials, *, stall: float) -> Self:
        """Connect and log in. `stall` in seconds limits the connecting and each wait for the server."""
        server = f"chirp://{host}:{port}"
        try:
            async with asyncio.timeout(stall):
                reader, writer = await asyncio.open_connection(host, port, limit=BLOCK)
        except TimeoutError:
            raise TransferUnavailable(
                f"{server}: no connection within {stall:g} s; try again later"
            ) from None
        except (OSError, UnicodeError) as error:
            raise TransferUnavailable(f"{server}: no connection ({error}); try again later") from error
        connection = cls(server, reader, writer, stall)
        async with connection._whole_or_cut():
            connection.subject = await authenticate(
                credentials, connection._incoming, connection._send, server
            )
        return connection

    @property
    def usable(self) -> bool:
        """Whether requests can still be sent."""
        return not (self._writer.transport.is_closing() or self._incoming.ended)

    @property
    def idle(self) -> float:
        """Seconds since the last answer; 0 while one is awaited."""
        return 0.0 if self._under_way else self._loop.time() - self._idle_since

    async def ask(self, request: bytes, read: Read[T]) -> T:
        """Send `request` and return what `read` makes of its answer, to whose last byte it must read."""
        async with self._exchange() as turn:
            async with self._sending:
                await self._queue(request, turn)
            await turn.come()
            return await read(self._incoming)

    async def give(self, request: bytes, contents: AsyncIterator[bytes]) -> int:
        """Send `request` and, when the server agrees, `contents`; returns the number with which it confirms.

        The first block is fetched before anything is sent: a source that fails at once does no harm.
        """
        first = await anext(contents, b"")
        async with self._exchange() as turn:
            async with self._sending:
                await self._queue(request, turn)
                await turn.come()
                await self._incoming.number()
                await self._send(first)
                async for block in contents:
                    await self._send(block)
            return await self._incoming.number()

    async def close(self) -> None:
        """Cut the connection and wait until the socket is gone."""
        self.abort()
        with suppress(OSError):
            await self._writer.wait_closed()

    def abort(self) -> None:
        """Cut the connection; whoever waits for an answer gets TransferUnavailable."""
        self._writer.transport.abort()

    @asynccontextmanager
    async def _exchange(self) -> AsyncIterator[_Turn]:
        """One of a limited number of operations. If it leaves its answer unread, the connection is cut."""
        turn = _Turn()
        async with self._slots:
            self._under_way += 1
            try:
                async with self._whole_or_cut(lambda: turn.queued):
                    yield turn
            finally:
                self._under_way -= 1
                self._idle_since = self._loop.time()
                turn.end()

    @asynccontextmanager
    async def _whole_or_cut(self, begun: Callable[[], bool] = lambda: True) -> AsyncIterator[None]:
        """Cut the connection if the block fails after it has `begun`, and say what that means."""
        try:
            yield
        except ServerError:
            raise
        except NotChirp as error:
            self.abort()
            raise TransferRefused(
                f"{self._server}: the server does not speak Chirp as we know it (it sent {error}); check host and port"
            ) from error
        except TimeoutError as error:
            self.abort()
            raise TransferUnavailable(
                f"{self._server}: nothing moved for {self._stall:g} s; try again later"
            ) from error
        except OSError as error:
            self.abort()
            raise TransferUnavailable(
                f"{self._server}: the server broke off ({error}); try again later"
            ) from error
        except BaseException:
            if begun():
                self.abort()
            raise

    async def _queue(self, request: bytes, turn: _Turn) -> None:
        """Send `request` and give it the next place in the order of answers, without a gap between the two."""
        if not self.usable:
            raise ConnectionResetError("the connection was cut")
        self._last_turn = turn.queue_up(self._last_turn)
        await self._send(request)

    async def _send(self, data: bytes) -> None:
        self._writer.write(data)
        async with asyncio.timeout(self._stall):
            await self._writer.drain()
