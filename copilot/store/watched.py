"""What somebody wants to see of a job's output while it runs, and what its agent has shown of it. Part of the port to the queue.

A reader says again and again what he wants (`watch`), and gets what is new. Managers ask the agents for what is wanted (`wanted`: each
wish is given to one of them at a time) and bring what they hear (`shown`). Readers of the same output share one wish. Nothing is kept
for longer than a minute without a reader.
"""

from __future__ import annotations

import enum
from typing import Protocol

from copilot.job import State
from copilot.records import dataclass

WATCH_KEPT = 60.0  # s after the last reader has asked
ASK_EVERY = 0.6  # s between two questions to an agent about one output
BACKLOG = 64 * 1024  # bytes before the end at which the first reader begins
MOST_WATCHES = 200  # outputs at a time
CHUNKS_KEPT = 16
CHUNKS_AT_ONCE = 4
LONGEST_CHUNK = 24 * 1024  # bytes


class Stream(enum.StrEnum):
    """An output of a job."""

    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True, kw_only=True)
class Chunk:
    """Bytes of an output, from `offset` on."""

    attempt: int
    offset: int
    data: bytes

    @property
    def end(self) -> int:
        """The offset behind it."""
        return self.offset + len(self.data)


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """Answer to a reader. `state` (None: no such job) and `attempt` are those of the job now; `heard_attempt` is of which attempt an
    agent has spoken last, 0 for none yet. At that time its output had `size` bytes; `note` says why nothing is shown. `chunks` are
    those that begin where the reader is, or later."""

    state: State | None
    attempt: int = 0
    heard_attempt: int = 0
    size: int = 0
    note: str = ""
    chunks: tuple[Chunk, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """An output of a running attempt that somebody wants to see: at which agent (bare JID), from where on. A negative offset counts
    from the end. `leased`: the agent renews leases; no agent of 2011 does."""

    job: str
    stream: Stream
    attempt: int
    agent: str
    offset: int
    leased: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """What is to be asked for now, and when there is more to ask for (seconds since the epoch; None: nobody wants anything)."""

    wanted: tuple[Wanted, ...] = ()
    next: float | None = None


class Watched(Protocol):
    """Part of `Store`; errors are those of its methods."""

    async def watch(
        self, job: str, stream: Stream, *, attempt: int = 0, offset: int = 0, now: float | None = None
    ) -> Seen:
        """Somebody wants to see this output for the next `WATCH_KEPT` seconds, and has read attempt `attempt` up to `offset` (0: nothing
        yet). Raises `TooManyWatches` while there are `MOST_WATCHES`."""
        ...

    async def wanted(self, limit: int = 100, *, now: float | None = None) -> Wishes:
        """What the caller, and nobody else for `ASK_EVERY` seconds, is to ask agents for."""
        ...

    async def shown(
        self,
        job: str,
        stream: Stream,
        attempt: int,
        *,
        offset: int = 0,
        data: bytes = b"",
        size: int = 0,
        note: str = "",
        now: float | None = None,
    ) -> bool:
        """An agent has shown this. What is known already, or that nobody wants any more, changes nothing. Returns whether there is more
        to be asked for at once. Raises `ValueError` for more than `LONGEST_CHUNK` bytes."""
        ...


def check_shown(offset: int, data: bytes, size: int) -> None:
    """Raise `ValueError` for what no output can be."""
    if len(data) > LONGEST_CHUNK or not 0 <= offset <= 2**53 or not 0 <= size <= 2**53:
        raise ValueError(
            f"{len(data)} bytes from {offset} on of {size}: expected at most {LONGEST_CHUNK} bytes"
        )
