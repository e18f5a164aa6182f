"""What a Chirp server sends: lines, numbers and contents, each awaited for a limited time and of limited length."""

from __future__ import annotations

import asyncio

from copilot.files.base import BLOCK
from copilot.files.chirp.protocol import MAX_LINE, NotChirp, ServerError, parse_number


class Incoming:
    """The receiving half of a connection. Raises `TimeoutError`, `OSError` and `NotChirp`, besides what is named."""

    def __init__(self, reader: asyncio.StreamReader, stall: float) -> None:
        self._reader = reader
        self._stall = stall

    @property
    def ended(self) -> bool:
        """Whether the server has closed its side and all that it sent was read."""
        return self._reader.at_eof()

    async def line(self) -> bytes:
        """The next line without its end."""
        try:
            async with asyncio.timeout(self._stall):
                line = await self._reader.readuntil(b"\n")
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the server closed the connection") from error
        except asyncio.LimitOverrunError as error:
            raise NotChirp("a line without end") from error
        if len(line) > MAX_LINE:
            raise NotChirp(f"a line of {len(line)} bytes")
        return line.rstrip(b"\r\n")

    async def number(self) -> int:
        """The number with which an answer begins. Raises ServerError if it is negative."""
        code = parse_number(await self.line())
        if code < 0:
            raise ServerError(code)
        return code

    async def some(self, at_most: int) -> bytes:
        """One to `at_most` bytes, as they come; never more than `BLOCK`."""
        async with asyncio.timeout(self._stall):
            data = await self._reader.read(min(at_most, BLOCK))
        if not data:
            raise ConnectionResetError("the server closed the connection")
        return data

    async def exactly(self, size: int) -> bytes:
        """`size` bytes, which the caller has bounded."""
        data = bytearray()
        while len(data) < size:
            data += await self.some(size - len(data))
        return bytes(data)
