"""A Chirp server on loopback that says what a test wants it to, for the cases where the real one is too honest."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.server import ChirpServer

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
BY_ADDRESS = Credentials(methods=("address",))
LOGGED_IN = b"yes\nyes\nyes\naddress\n127.0.0.1\n"


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """Run `talk` for each connection; yields the port. A client that goes away ends its talk."""
    talks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await talk(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()

    def begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        talks.add(asyncio.ensure_future(serve(reader, writer)))

    async with await asyncio.start_server(begin, "127.0.0.1", 0) as server:
        yield server.sockets[0].getsockname()[1]
        server.close()
        await asyncio.gather(*talks)


def logged_in(talk: Talk) -> Talk:
    """`talk` after a log-in by address."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(LOGGED_IN)
        await talk(reader, writer)

    return serve


def saying(answer: bytes, *, then: Talk | None = None) -> Talk:
    """Answers the first request with `answer`, whatever it was, then closes or goes on with `then`."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readline()
        writer.write(answer)
        if then is not None:
            await then(reader, writer)

    return logged_in(talk)


async def silence(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    """Says nothing more, until the client goes away."""
    while await reader.read(65536):
        pass


@asynccontextmanager
async def client_of(talk: Talk, *, stall: float = 20.0) -> AsyncIterator[ChirpServer]:
    async with talking(talk) as port:
        server = ChirpServer("127.0.0.1", port, credentials=BY_ADDRESS, stall=stall)
        yield server
        await server.close()


async def contents(*blocks: bytes) -> AsyncIterator[bytes]:
    for block in blocks:
        yield block


async def ignore(_block: bytes) -> None:
    """Takes what is fetched."""
