"""The line to Carbon: plain text over TCP, in order, kept in memory while Carbon is away.

TCP tells what has arrived at Carbon's machine, not what Carbon has read and written. So what was handed over in the last
`repeat` seconds is kept as well, and handed over again, first of all, on the next connection: a point is known by its path
and time, and Carbon takes the same one twice without harm. An aggregator (port 2023) does not, it would add it up twice; with
a `repeat` of 0 only those lines go again that its machine has not acknowledged, or not wholly.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import math
import socket
import sys
import termios
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

from copilot.clock import Clock
from copilot.log import rate_limited
from copilot.monitor.counts import MonitorCounts
from copilot.monitor.handed import Handed
from copilot.monitor.logic import Forward, Sample
from copilot.records import dataclass
from copilot.retry import full_jitter

log = logging.getLogger("copilot.monitor")

BATCH = 500  # lines that are written at once: some 40 kB
CONNECT_LIMIT = 10.0  # s
STALLED = 30.0  # s in which Carbon takes nothing, or its machine acknowledges nothing, until the connection is given up
LONGEST_RETRY = 10.0  # s
LASTING = 30.0  # s: a connection that held for so long was a good one
LAST_WORDS = 3.0  # s for what still waits when the monitor ends
NEWS = 4096  # bytes: Carbon says nothing, so anything read is thrown away


@dataclass(frozen=True, slots=True, kw_only=True)
class CarbonSettings:
    """Where Carbon is. `buffer`: lines that may wait for it; `repeat`: s of what was sent that go again."""

    host: str
    port: int
    buffer: int
    repeat: float


class CarbonLine:
    """One connection after the other. `write` never waits; `run` does all the work."""

    def __init__(
        self, settings: CarbonSettings, counts: MonitorCounts, *, clock: Clock, random: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._counts = counts
        self._now = clock.monotonic
        self._random = random
        self._waiting: deque[str] = deque()
        self._batch: list[str] = []  # being written
        self._handed = Handed(repeat=settings.repeat, most=settings.buffer)
        self._stir = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def connected(self) -> bool:
        """Whether Carbon is there."""
        return self._counts.connected

    def write(self, lines: Iterable[str]) -> None:
        """Hand these over, after all that wait already. When too many wait, the oldest are dropped and counted."""
        self._waiting.extend(lines)
        self._drop_oldest()
        self._stir.set()
        if self._waiting:
            self._idle.clear()

    async def run(self) -> None:
        """Connect, hand over, and connect again, for ever."""
        failures = 0
        while True:
            began = self._now()
            try:
                await self._session()
            except (OSError, TimeoutError) as error:
                reason = str(error) or "no answer in time"
                text = "Carbon at %s:%d is away: %s; %d lines wait for it"
                where = self._settings.host, self._settings.port
                rate_limited(log, "away", logging.WARNING, text, *where, reason, len(self._waiting))
            # Who takes a connection and ends it at once is no better than who takes none.
            failures = failures + 1 if self._now() - began < LASTING else 0
            # Nothing tells when Carbon is back.
            await asyncio.sleep(full_jitter(failures, LONGEST_RETRY, self._random))

    async def flush(self, limit: float) -> None:
        """Wait until nothing waits any more, at most so many seconds."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), limit)

    async def _session(self) -> None:
        """From a connection to its end. Raises OSError or TimeoutError, which say why."""
        host, port = self._settings.host, self._settings.port
        async with asyncio.timeout(CONNECT_LIMIT):
            reader, writer = await asyncio.open_connection(host, port)
        ended = asyncio.create_task(_until_end(reader))
        # Of our own, so that it can still be asked when asyncio has closed its one.
        line: socket.socket = writer.get_extra_info("socket").dup()
        try:
            _notice_silence(line)
            writer.transport.set_write_buffer_limits(high=0)  # `drain` returns when all has left the process
            self._counts.connected = True
            self._counts.connections += 1
            rate_limited(log, "connected", logging.INFO, "Connected to Carbon at %s:%d.", host, port)
            self._repeat()
            await self._hand_over(writer, line, ended)
        finally:
            self._counts.connected = False
            self._take_back(line)
            line.close()
            ended.cancel()
            await asyncio.gather(ended, return_exceptions=True)
            writer.transport.abort()

    async def _hand_over(
        self, writer: asyncio.StreamWriter, line: socket.socket, ended: asyncio.Task[None]
    ) -> None:
        while True:
            while self._waiting:
                self._batch = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
                self._counts.waiting = len(self._waiting)
                writer.write("".join(f"{text}\n" for text in self._batch).encode("ascii"))
                async with asyncio.timeout(STALLED):
                    await writer.drain()
                await asyncio.sleep(0)  # where the kernel takes all at once nobody else would have his turn
                if ended.done():
                    break
                self._note_sent(line)
            if ended.done():
                ended.result()
                raise ConnectionResetError("Carbon has ended the connection")
            if not self._waiting:
                self._idle.set()
            self._stir.clear()
            stirred = asyncio.create_task(self._stir.wait())
            await asyncio.wait((stirred, ended), return_when=asyncio.FIRST_COMPLETED)
            stirred.cancel()

    def _note_sent(self, line: socket.socket) -> None:
        now = self._now()
        self._counts.sent += len(self._batch)
        self._handed.add(self._batch, now)
        self._handed.settle(now, _unacknowledged(line))
        self._batch = []

    def _take_back(self, line: socket.socket) -> None:
        """The connection has ended: what may have been sent by half goes again whole. From now on nothing gets too old
        to be repeated, however long Carbon is away."""
        self._handed.settle(self._now(), _unacknowledged(line))
        self._waiting.extendleft(reversed(self._batch))
        self._batch = []
        self._drop_oldest()

    def _repeat(self) -> None:
        """What may not have arrived goes before all else, as far as there is room: it has been handed over once."""
        again = self._handed.take(self._settings.buffer - len(self._waiting))
        self._waiting.extendleft(reversed(again))
        if again:
            self._idle.clear()

    def _drop_oldest(self) -> None:
        most = self._settings.buffer
        too_many = len(self._waiting) - most
        for _ in range(too_many):
            self._waiting.popleft()
        self._counts.waiting = len(self._waiting)
        if too_many > 0:
            self._counts.dropped += too_many
            text = "More than %d points wait for Carbon (CARBON_BUFFER); %d of the oldest were dropped since the start"
            rate_limited(log, "dropped", logging.WARNING, text, most, self._counts.dropped)


async def _until_end(reader: asyncio.StreamReader) -> None:
    while await reader.read(NEWS):
        pass


def _unacknowledged(line: socket.socket) -> int:
    """Bytes that have left us and not arrived at the other machine (SIOCOUTQ, tcp(7)); 0 where that cannot be asked."""
    try:
        answer = fcntl.ioctl(line, termios.TIOCOUTQ, bytes(4))
    except OSError:
        return 0
    return int.from_bytes(answer, sys.byteorder)


def _notice_silence(line: socket.socket) -> None:
    """Carbon never answers; but its machine acknowledges what it gets, or is asked for a sign of life."""
    line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        ("TCP_KEEPIDLE", math.ceil(STALLED / 3)),
        ("TCP_KEEPINTVL", math.ceil(STALLED / 3)),
        ("TCP_KEEPCNT", 2),
        ("TCP_USER_TIMEOUT", math.ceil(STALLED * 1000)),  # ms
    ):
        if hasattr(socket, option):  # not every system has all of them
            line.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)


@contextlib.asynccontextmanager
async def carrying(line: CarbonLine) -> AsyncIterator[CarbonLine]:
    """Lines go to Carbon while inside; on the way out, those that wait get some seconds more."""
    task = asyncio.create_task(line.run())
    try:
        yield line
    finally:
        if line.connected:
            await line.flush(LAST_WORDS)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


class Points:
    """Carries out the effects of the monitor's logic: all of them are lines for Carbon. None: there is no Carbon."""

    def __init__(self, line: CarbonLine | None) -> None:
        self._line = line

    def perform(self, effect: Forward | Sample) -> None:
        """As `Performer.perform`."""
        if self._line is None:
            return
        self._line.write(effect.lines)
        if isinstance(effect, Forward):
            return
        if self._line.connected:
            log.info("Sent %d updates to Carbon.", effect.updates)
        else:
            rate_limited(
                log, "kept", logging.INFO, "Kept %d updates for Carbon, which is away.", effect.updates
            )
