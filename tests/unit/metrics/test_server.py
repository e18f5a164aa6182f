"""`GET /metrics` over a real connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import aiohttp
import pytest

from copilot.metrics.exposition import CONTENT_TYPE
from copilot.metrics.server import MetricsServer
from tests.unit.metrics.scraping import World, read

HOST = "127.0.0.1"


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A server that has seen one claim."""
    world = World()
    world.jobs.claims = 1
    server = MetricsServer(world.exposition)
    yield await server.start(HOST, 0)
    await server.stop()


async def test_prometheus_gets_the_numbers_and_not_the_versions_of_what_runs_here(port: int) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{HOST}:{port}/metrics") as answer,
    ):
        assert (answer.status, answer.headers["Content-Type"]) == (200, CONTENT_TYPE)
        assert answer.headers["Server"] == "copilot"
        assert read(await answer.read())["copilot_jobs_claimed_total"] == 1


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/", 404), ("POST", "/metrics", 405)])
async def test_there_is_nothing_else(port: int, method: str, path: str, status: int) -> None:
    async with (
        aiohttp.ClientSession() as session,
        session.request(method, f"http://{HOST}:{port}{path}") as answer,
    ):
        assert answer.status == status


async def test_nonsense_is_answered_and_leaves_nothing_in_the_log(
    port: int, caplog: pytest.LogCaptureFixture
) -> None:
    reader, writer = await asyncio.open_connection(HOST, port)
    writer.write(b"\x16\x03\x01 not HTTP\r\n\r\n")
    answer = await reader.read()
    writer.close()
    assert answer.startswith(b"HTTP/1.0 400")
    assert caplog.records == []


async def test_a_port_that_is_taken_is_an_error_and_stopping_twice_is_none(port: int) -> None:
    server = MetricsServer(World().exposition)
    with pytest.raises(OSError, match="address already in use"):
        await server.start(HOST, port)
    await server.stop()
