"""A Chirp server's answers, whatever was asked: an answer or an error of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

from copilot.errors import TransferError
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.protocol import ServerError
from copilot.files.chirp.server import ChirpServer

MOST = 4096
BY_ADDRESS = Credentials(methods=("address",))
LOGGED_IN = b"yes\nyes\nyes\naddress\n127.0.0.1\n"


async def _contents() -> AsyncIterator[bytes]:
    yield b"abc"


async def _ignore(_: bytes) -> None:
    pass


ASKED: tuple[Callable[[ChirpServer], Awaitable[object]], ...] = (
    lambda server: server.get("a", _ignore),
    lambda server: server.get("a", _ignore, size=5),
    lambda server: server.read("a", 0, 10),
    lambda server: server.put("a", 3, _contents()),
    lambda server: server.stat("a"),
    lambda server: server.list("a"),
    lambda server: server.mkdir("a", exist_ok=True),
    lambda server: server.rename("a", "b"),
    lambda server: server.may_rename("a", "b"),
    lambda server: server.getacl("a"),
    lambda server: server.whoami(),
)


class _Writer:
    """Takes everything; stands for its own transport."""

    def __init__(self) -> None:
        self.transport = self
        self._closed = False

    def write(self, data: bytes) -> None:
        pass

    async def drain(self) -> None:
        pass

    def abort(self) -> None:
        self._closed = True

    def is_closing(self) -> bool:
        return self._closed

    async def wait_closed(self) -> None:
        pass


def run(data: bytes) -> None:
    """The first byte says what is asked, and whether the server begins with an honest log-in."""
    if not data:
        return
    asyncio.run(_ask(ASKED[data[0] % len(ASKED)], (LOGGED_IN if data[0] < 128 else b"") + data[1:]))


async def _ask(asked: Callable[[ChirpServer], Awaitable[object]], answer: bytes) -> None:
    reader = asyncio.StreamReader(limit=65536)
    reader.feed_data(answer)
    reader.feed_eof()

    async def opened(*_: object, **__: object) -> tuple[asyncio.StreamReader, _Writer]:
        return reader, _Writer()

    original, asyncio.open_connection = asyncio.open_connection, opened  # type: ignore[assignment]
    server = ChirpServer("127.0.0.1", 1, credentials=BY_ADDRESS, stall=5.0)
    try:
        await asked(server)
    except (TransferError, ServerError):
        pass
    finally:
        await server.close()
        asyncio.open_connection = original
