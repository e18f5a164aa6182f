"""A connection to Redis for a command that somebody types: it asks a few questions, is answered, and ends (decision 27).

hiredis, Redis' own parser, does the reading and writing; redis-py, which programs that stay have, takes longer to load than such a
command has for all that it does. What stays, and what looks for a primary, uses `copilot.store.pools`.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Sequence
from typing import Any

import hiredis

from copilot.records import dataclass
from copilot.store.connections import Command, Connections, NoRedisThere, Refusal, packed

PIECE = 65536  # bytes that are read at a time
GONE = "it has closed the connection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a server is: a Unix socket, or host and port; and who we are there."""

    path: str = ""
    host: str = "localhost"
    port: int = 6379
    user: str = ""
    password: str = ""

    @property
    def place(self) -> str:
        """As an operator knows it."""
        return self.path or f"{self.host}:{self.port}"


class SingleConnection(Connections):
    """One connection, made when it is first needed, and anew after an error; what waits has one of its own."""

    def __init__(self, address: Address, *, timeout: float) -> None:
        """`timeout` in seconds, until it listens; for answers who asks has one."""
        self._address = address
        self._timeout = timeout
        self._line: _Line | None = None
        self._closed = False

    async def ask(self, commands: Sequence[Command], *, raw: bool = False, waits: bool = False) -> list[Any]:
        """See `Connections.ask`."""
        if raw or waits:
            return await self._ask_apart(commands, raw=raw)
        line = await self._take()
        try:
            answers = await line.ask(commands)
        except BaseException:  # in the middle of an answer a line is of no use to anybody
            line.close()
            raise
        self._give_back(line)
        return answers

    async def _ask_apart(self, commands: Sequence[Command], *, raw: bool) -> list[Any]:
        line = await _connect(self._address, raw=raw)
        try:
            return await line.ask(commands)
        finally:
            line.close()

    async def _take(self) -> _Line:
        """The one that is kept, if it is not in use and has not ended, or a new one."""
        line, self._line = self._line, None
        if line is not None and line.ended:
            line.close()
            line = None
        return line or await _connect(self._address)

    def _give_back(self, line: _Line) -> None:
        if self._line is None and not self._closed:
            self._line = line
        else:
            line.close()

    async def listen(self, channel: str) -> AsyncGenerator[str | None, None]:
        """See `Connections.listen`."""
        async with asyncio.timeout(self._timeout):
            line = await _connect(self._address)
        try:
            async with asyncio.timeout(self._timeout):
                await line.ask([("SUBSCRIBE", channel)])
            yield None
            while True:
                _, _, text = await line.next()
                yield text
        finally:
            line.close()

    async def look_again(self) -> None:
        """There is no other server."""

    async def close(self) -> None:
        """See `Connections.close`."""
        self._closed = True
        if self._line is not None:
            self._line.close()
            self._line = None


class _Line:
    """A connection and what has been read of it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, raw: bool) -> None:
        self._reader = reader
        self._writer = writer
        text = {} if raw else {"encoding": "utf-8", "errors": "strict"}
        untyped: Any = hiredis.Reader
        self._parser = untyped(replyError=Refusal, **text)

    @property
    def ended(self) -> bool:
        """The server has gone since."""
        return self._reader.at_eof() or self._writer.is_closing()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        self._writer.write(packed(commands))
        await self._writer.drain()
        return [await self.next() for _ in commands]

    async def next(self) -> Any:
        """The next answer, or message."""
        try:
            while (found := self._parser.gets()) is False:
                piece = await self._reader.read(PIECE)
                if not piece:
                    raise ConnectionResetError(GONE)
                self._parser.feed(piece)
        except hiredis.ProtocolError as error:
            raise NoRedisThere(str(error)) from error
        return found

    def close(self) -> None:
        self._writer.close()


async def _connect(address: Address, *, raw: bool = False) -> _Line:
    """Raises `Refusal` if the server does not take us; other than in an answer."""
    try:
        if address.path:
            reader, writer = await asyncio.open_unix_connection(address.path)
        else:
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except OSError as error:
        raise ConnectionError(f"connecting to {address.place}: {error.strerror or error}") from error
    line = _Line(reader, writer, raw=raw)
    try:
        if address.user or address.password:
            entry = (address.user, address.password) if address.user else (address.password,)
            (answer,) = await line.ask([("AUTH", *entry)])
            if isinstance(answer, Refusal):  # that it has no passwords is said without a word
                raise Refusal(str(answer), "NOAUTH") if "AUTH" in str(answer) else answer
    except BaseException:
        line.close()
        raise
    return line
