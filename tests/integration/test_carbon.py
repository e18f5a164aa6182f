"""The line to Carbon: a real Carbon that dies, stands still and comes back, and a listener that hears half a line."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from copilot.clock import SystemClock
from copilot.monitor import carbon
from copilot.monitor.carbon import CarbonLine, CarbonSettings, carrying
from copilot.monitor.counts import MonitorCounts
from tests.carbon.servers import Graphite
from tests.patience import PATIENCE_S

LIMIT_S = PATIENCE_S
POLL_S = 0.02


async def until(condition: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < deadline, what
        await asyncio.sleep(POLL_S)


def points(number: int, *, path: str = "copilot.test.x", value: int = 1) -> list[str]:
    """One for each of so many seconds, the last one now."""
    now = int(time.time())
    return [f"{path} {value} {now - ago}" for ago in reversed(range(number))]


def in_whisper(graphite: Graphite, path: str = "copilot.test.x") -> dict[int, float]:
    return graphite.points().get(path, {})


def expected(lines: list[str]) -> dict[int, float]:
    return {int(time): float(value) for _, value, time in map(str.split, lines)}


@contextlib.asynccontextmanager
async def line(port: int, *, buffer: int = 10_000, repeat: float = 60.0) -> AsyncIterator[Any]:
    """A line to this port, which comes back without waiting, and its counts."""
    counts = MonitorCounts()
    settings = CarbonSettings(host="127.0.0.1", port=port, buffer=buffer, repeat=repeat)
    one = CarbonLine(settings, counts, clock=SystemClock(), random=lambda: 0.02)
    async with carrying(one):
        yield one, counts


async def test_what_was_in_the_socket_when_carbon_died_is_sent_again(graphite: Graphite) -> None:
    repeat = 2.0
    await graphite.start_cache()
    async with line(graphite.port("line"), repeat=repeat) as (one, counts):
        await until(lambda: one.connected, "connected")
        graphite.freeze("cache")
        lost = points(50)
        one.write(lost)
        await until(lambda: counts.sent == 50, "all have left us")
        await graphite.kill("cache")
        await until(lambda: not one.connected, "the end was noticed")
        ended = time.monotonic()
        await until(lambda: time.monotonic() > ended + repeat, "it was sent long ago")
        await graphite.start_cache()
        await until(lambda: counts.sent == 100, "all again")
        await until(lambda: in_whisper(graphite) == expected(lost), "all are there")


async def test_a_carbon_that_stands_still_keeps_lines_waiting_and_gets_all_in_order(
    graphite: Graphite, caplog: pytest.LogCaptureFixture
) -> None:
    await graphite.start_cache()
    async with line(graphite.port("line"), buffer=2_000_000) as (one, counts):
        await until(lambda: one.connected, "connected")
        graphite.freeze("cache")
        filling = [f"copilot.test.filling{'g' * 200} {n} 1" for n in range(60_000)]
        one.write(filling)
        await until(lambda: 0 < counts.waiting < len(filling), "some have left")
        waiting = counts.waiting
        last = points(30)
        one.write(last)
        assert counts.waiting >= waiting  # the kernel has taken all that it can
        graphite.thaw("cache")
        await until(lambda: counts.waiting == 0, "Carbon reads again")
        await until(lambda: in_whisper(graphite) == expected(last), "all are there")
        assert (counts.dropped, counts.connections) == (0, 1)


async def test_of_too_many_lines_the_oldest_are_dropped_counted_and_told(
    graphite: Graphite, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with line(graphite.port("line"), buffer=100) as (one, counts):
        lines = points(130)
        for text in lines:
            one.write([text])
        assert (counts.dropped, counts.waiting) == (30, 100)
        await graphite.start_cache()
        await until(lambda: counts.waiting == 0, "connected and sent")
        await until(lambda: in_whisper(graphite) == expected(lines[30:]), "the newest are there")
    assert any("of the oldest were dropped" in record.message for record in caplog.records)


async def test_an_aggregator_passes_all_on_and_adds_up_managers(graphite: Graphite) -> None:
    await asyncio.gather(graphite.start_cache(), graphite.start_aggregator())
    now = int(time.time())
    lines = [
        f"copilot.jobmanager.generic.{manager}.{event} {value} {now}"
        for manager, value in (("one", 2), ("two", 3))
        for event in ("job.succeeded", "queued.Jobs")
    ]
    async with line(graphite.port("aggregator"), repeat=0.0) as (one, _):
        one.write(lines)
        wanted = {
            **{text.split()[0]: float(text.split()[1]) for text in lines},
            "copilot.total.generic.job.succeeded": 5.0,
            "copilot.total.generic.queued.Jobs": 3.0,
        }

        def found() -> dict[str, float]:
            return {path: sum(values.values()) for path, values in graphite.points().items()}

        await until(lambda: found() == wanted, "single values and sums")


class Listener:
    """Takes connections on a port, and reads them to their end; but the first one for only `first` bytes, if it is not None,
    until that is cut."""

    def __init__(self) -> None:
        self.port = 0
        self.lines: list[bytes] = []
        self.first: int | None = None
        self.cut = asyncio.Event()
        self._writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        if self.first is not None:
            wanted, self.first = self.first, None
            await reader.readexactly(wanted)
            await self.cut.wait()
            writer.transport.abort()
            return
        with contextlib.suppress(OSError):
            while text := await reader.readline():
                self.lines.append(text)
        writer.close()

    def end(self) -> None:
        """As Carbon does when it is asked to stop."""
        self._writers[-1].close()


@pytest.fixture
async def listener() -> AsyncIterator[Listener]:
    one = Listener()
    async with await asyncio.start_server(one.serve, "127.0.0.1") as server:
        one.port = server.sockets[0].getsockname()[1]
        yield one


@pytest.mark.parametrize("repeat", [0.0, 60.0])
async def test_a_line_that_was_cut_in_half_is_sent_again_whole(listener: Listener, repeat: float) -> None:
    listener.first = 5000
    lines = [
        f"copilot.test.{'x' * 250}.number{n} {n} 1" for n in range(60_000)
    ]  # the kernel takes a part of them
    seen = []
    async with line(listener.port, buffer=200_000, repeat=repeat) as (one, counts):
        one.write(lines)
        await until(
            lambda: seen.append(counts.sent) or (counts.sent and seen[-5:] == [counts.sent] * 5), "full"
        )
        left = counts.sent
        listener.cut.set()
        last = f"{lines[-1]}\n".encode()
        await until(lambda: listener.lines and listener.lines[-1] == last, "all sent and read")
    numbers = [int(text.split()[1]) for text in listener.lines]
    # Whole and in order. Without `repeat` that is lost which had reached the other machine.
    assert numbers == list(range(numbers[0], len(lines)))
    assert numbers[0] == 0 if repeat else 0 < numbers[0] < left
    assert counts.dropped == 0


async def test_nothing_is_repeated_to_an_aggregator(listener: Listener) -> None:
    async with line(listener.port, repeat=0.0) as (one, counts):
        one.write(["copilot.a.b 1 1"])
        await until(lambda: listener.lines, "read")
        listener.end()
        await until(lambda: counts.connections == 2, "connected again")
        one.write(["copilot.a.b 2 2"])
        await until(lambda: len(listener.lines) > 1, "read")
    assert listener.lines == [b"copilot.a.b 1 1\n", b"copilot.a.b 2 2\n"]


async def test_what_was_sent_long_ago_is_not_repeated(listener: Listener) -> None:
    async with line(listener.port, repeat=0.3) as (one, _):
        one.write(["copilot.a.b 1 1"])
        await until(lambda: listener.lines, "read")
        sent = time.monotonic()
        await until(lambda: time.monotonic() > sent + 0.3, "it is old")
        one.write(["copilot.a.b 2 2"])
        await until(lambda: len(listener.lines) == 2, "read")
        listener.end()
        await until(lambda: len(listener.lines) == 3, "the younger one again")
    assert listener.lines[2] == b"copilot.a.b 2 2\n"


async def test_a_carbon_that_takes_nothing_at_all_is_left(
    listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(carbon, "STALLED", 0.5)
    listener.first = 0
    lines = [f"copilot.test.{'x' * 250}.number{n} {n} 1" for n in range(60_000)]
    async with line(listener.port, buffer=200_000) as (one, counts):
        one.write(lines)
        await until(lambda: counts.connections == 2, "left and tried again")
        await until(lambda: len(listener.lines) == len(lines), "all are there")
        assert counts.dropped == 0
    listener.cut.set()


async def test_what_waits_is_sent_before_the_monitor_ends(listener: Listener) -> None:
    async with line(listener.port) as (one, _):
        await until(lambda: one.connected, "connected")
        one.write(["copilot.a.b 1 1"])
    await until(lambda: listener.lines == [b"copilot.a.b 1 1\n"], "the last words")
