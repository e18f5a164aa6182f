"""The way of one program to the XMPP server, which can be cut, left half-open, or made slow."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

CHUNK = 65_536  # bytes
HOST = "127.0.0.1"


@dataclass(eq=False, slots=True)
class _Pair:
    """One connection, from the program and on to the server."""

    near: asyncio.StreamWriter
    far: asyncio.StreamWriter
    half_open: bool = False


class Proxy:
    """Forwards every connection to `target`, a port on this machine."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._pairs: set[_Pair] = set()
        self._server: asyncio.Server | None = None
        self.delay = 0.0  # s before each chunk goes on

    async def open(self) -> int:
        """The port on which it listens from now on."""
        self._server = await asyncio.start_server(self._accept, HOST, 0)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def close(self) -> None:
        """Cut everything, and listen no more."""
        assert self._server is not None
        self._server.close()
        self.cut()
        while self._pairs:
            await asyncio.sleep(0.01)

    def cut(self) -> bool:
        """Reset all connections; whether there were any."""
        for pair in self._pairs:
            pair.near.transport.abort()
            pair.far.transport.abort()
        return bool(self._pairs)

    def freeze(self) -> bool:
        """What is connected now stays so, but nothing gets through any more, not even its end; whether there was any."""
        for pair in self._pairs:
            pair.half_open = True
        return bool(self._pairs)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(HOST, self._target)
        except OSError:
            writer.transport.abort()
            return
        pair = _Pair(writer, far_writer)
        self._pairs.add(pair)
        try:
            await asyncio.gather(
                self._forward(reader, far_writer, pair), self._forward(far_reader, writer, pair)
            )
        finally:
            self._pairs.discard(pair)
            writer.transport.abort()
            far_writer.transport.abort()

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, pair: _Pair) -> None:
        with contextlib.suppress(OSError):
            while data := await source.read(CHUNK):
                await asyncio.sleep(self.delay)
                if not pair.half_open:
                    sink.write(data)
                    await sink.drain()
        if not pair.half_open:
            sink.close()
