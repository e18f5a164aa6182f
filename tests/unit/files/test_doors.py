"""An HTTP server does not hold more connections than it should, and who says nothing holds none for long."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from copilot.files import doors
from copilot.files.doors import BoundedServer
from copilot.files.quiet import listen, quiet_server
from copilot.local import certificates
from tests.patience import PATIENCE_S

HOST = "127.0.0.1"
log = logging.getLogger("copilot.test")


async def fine(_: web.BaseRequest) -> web.Response:
    return web.Response(text="fine")


@asynccontextmanager
async def serving(
    *, most: int = 8, idle: float = 5.0, tls: ssl.SSLContext | None = None
) -> AsyncIterator[tuple[BoundedServer, int]]:
    server = quiet_server(fine, idle=idle, log=log, most=most)
    runner, port = await listen(server, HOST, 0, break_off=0.1, ssl_context=tls)
    try:
        yield server, port
    finally:
        await runner.cleanup()


async def ended(reader: asyncio.StreamReader) -> bool:
    """Whether the server closes a connection, within some seconds."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while await reader.read(1000):
                pass
    except ConnectionError:
        return True
    except TimeoutError:
        return False
    return True


async def served(port: int) -> bool:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    try:
        async with asyncio.timeout(PATIENCE_S):
            return (await reader.read()).endswith(b"fine")
    except ConnectionError:
        return False
    finally:
        writer.close()


async def test_one_address_has_half_of_the_places_and_they_come_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with serving(most=8) as (_, port):
        lines = [await asyncio.open_connection(HOST, port) for _ in range(6)]
        assert await ended(lines[4][0])
        assert await ended(lines[5][0])
        assert not await served(port)
        assert caplog.messages[0].startswith(f"{HOST} opens more than 4 connections")
        lines[0][1].close()
        async with asyncio.timeout(PATIENCE_S):
            while not await served(port):
                pass
        for _, writer in lines:
            writer.close()


async def test_who_has_not_ended_the_beginning_of_tls_counts_and_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doors, "HANDSHAKE", 0.5)
    tls = certificates.ensure(tmp_path, [HOST])
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(tls.cert_file, tls.key_file)
    async with serving(most=3, tls=context) as (_, port):
        lines = [await asyncio.open_connection(HOST, port) for _ in range(4)]
        assert all([await ended(reader) for reader, _ in lines])
        trusting = ssl.create_default_context(cafile=tmp_path / "ca.pem")
        reader, writer = await asyncio.open_connection(HOST, port, ssl=trusting)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).endswith(b"fine")
        for _, one in [*lines, (reader, writer)]:
            one.close()


async def test_a_head_that_comes_letter_by_letter_is_cut_off() -> None:
    async with serving(idle=0.4) as (_, port):
        reader, writer = await asyncio.open_connection(HOST, port)
        began = time.monotonic()
        closed = asyncio.create_task(ended(reader))
        for letter in b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 1000:
            if closed.done():
                break
            writer.write(bytes([letter]))
            await asyncio.sleep(0.05)
        assert await closed
        assert time.monotonic() - began < 25  # all of it takes 50 s
        writer.close()
