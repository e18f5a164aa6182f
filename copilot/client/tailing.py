"""Reading what a running job prints: the last part, and what comes, on the spot or from afar.

One question after another, each with how far we have read (`look`). What is told of it (`Told`) is for people: that another attempt has begun,
that something was left out, that the agent is silent.
"""

from __future__ import annotations

import asyncio
import time
from base64 import b64decode
from collections.abc import AsyncIterator, Awaitable, Callable

from copilot.client.remote import Remote
from copilot.errors import ProtocolError, UnknownJob
from copilot.job import State, one_line, sized
from copilot.records import dataclass
from copilot.store.base import Store
from copilot.store.watched import Chunk, Seen, Stream

POLL = 0.2  # s between two questions on the spot
POLL_AFAR = 0.5  # s between two messages
PATIENCE = 10.0  # s without a word of the agent until that is told

Look = Callable[[int, int], Awaitable[Seen]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Printed:
    """What a job has printed. `again`: from before we began to follow it."""

    data: bytes
    again: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """A line for people."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CaughtUp:
    """What there was when we came has been told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """The job is over; we have read attempt `attempt` (0: nothing) up to `offset`."""

    state: State
    attempt: int
    offset: int


def on_the_spot(store: Store, job: str, stream: Stream) -> Look:
    """By the queue."""

    async def look(attempt: int, offset: int) -> Seen:
        return await store.watch(job, stream, attempt=attempt, offset=offset)

    return look


def from_afar(remote: Remote, job: str, stream: Stream) -> Look:
    """By messages."""

    async def look(attempt: int, offset: int) -> Seen:
        have = await remote.output(job, stream.value, attempt=attempt, offset=offset)
        try:
            state, data = State(have.state), b64decode(have.data, validate=True)
        except ValueError:
            raise ProtocolError("bad-value", "the job manager's answer cannot be read") from None
        chunks = (Chunk(attempt=have.attempt, offset=have.offset, data=data),) if data else ()
        heard = 0 if have.size is None else max(1, have.attempt)
        return Seen(
            state=state,
            attempt=heard,
            heard_attempt=heard,
            size=have.size or 0,
            note=one_line(have.note or ""),
            chunks=chunks,
        )

    return look


async def tail(
    look: Look,
    job: str,
    *,
    follow: bool,
    poll: float = POLL,
    patience: float = PATIENCE,
    clock: Callable[[], float] = time.monotonic,
) -> AsyncIterator[Printed | Told | CaughtUp | Ended]:
    """What a job prints: what there is, and with `follow` what comes, until it is over. Ends with `Ended` if it is. Raises `UnknownJob`,
    `TooManyWatches`, and what `look` raises."""
    at, reader = clock(), _Reader(follow=follow, patience=patience)
    while True:
        seen = await look(reader.attempt, reader.offset)
        if seen.state is None:
            raise UnknownJob(
                f"job {job} is not known: look for a typing error; records of old jobs are removed"
            )
        found = reader.read(seen, clock() - at)
        for one in found:
            yield one
        if reader.over:
            return
        if not seen.chunks:
            await asyncio.sleep(poll)


class _Reader:
    """How far we are. `read` says what is new; `over`: there will be no more."""

    def __init__(self, *, follow: bool, patience: float) -> None:
        self.attempt = self.offset = 0
        self.over = False
        self._follow = follow
        self._patience = patience
        self._begun: int | None = (
            None  # the size when the agent was heard first: what is before was there when we came
        )
        self._warned = self._caught_up = self._looked = False

    def read(self, seen: Seen, waited: float) -> list[Printed | Told | CaughtUp | Ended]:
        """What is new; `waited`: seconds since we began."""
        final = None if seen.state is None or not seen.state.final else seen.state
        if final is not None and (not seen.chunks or not self._looked):
            self.over = True  # what we have not seen is in its output, all of it if we have just come
            return [Ended(state=final, attempt=self.attempt, offset=self.offset)]
        self._looked = True
        found: list[Printed | Told | CaughtUp | Ended] = []
        for chunk in seen.chunks:
            if (chunk.attempt, chunk.offset) >= (self.attempt, self.offset if self.attempt else 0):
                found += self._chunk(chunk, seen)
        if seen.note:
            self.over = True
            return [*found, Told(text=seen.note)]
        if seen.heard_attempt and seen.heard_attempt == seen.attempt:
            return [*found, *self._heard(seen)]
        return [*found, *self._not_heard(seen, waited)]

    def _heard(self, seen: Seen) -> list[CaughtUp]:
        """Its agent has answered."""
        if self._begun is None:
            self._begun = seen.size
        if self._caught_up or (self.offset < self._begun and seen.size):
            return []
        self._caught_up = True
        self.over = not self._follow
        return [CaughtUp()]

    def _not_heard(self, seen: Seen, waited: float) -> list[Told]:
        if not self._follow and seen.state is not State.RUNNING:
            self.over = True
            return [Told(text=f"the job is {seen.state}: it prints nothing yet")]
        if self._warned or waited < self._patience or seen.state is not State.RUNNING:
            return []
        self._warned = True
        self.over = not self._follow
        return [Told(text=f"its agent has not answered for {waited:.0f} s")]

    def _chunk(self, chunk: Chunk, seen: Seen) -> list[Printed | Told | CaughtUp | Ended]:
        found: list[Printed | Told | CaughtUp | Ended] = []
        if self.attempt and chunk.attempt != self.attempt:
            found.append(Told(text=f"attempt {chunk.attempt} begins"))
            self._begun = 0
        elif self.attempt and chunk.offset > self.offset:
            found.append(Told(text=f"{sized(chunk.offset - self.offset)} were left out"))
        if self._begun is None:
            self._begun = seen.size
        found.append(Printed(data=chunk.data, again=chunk.end <= self._begun))
        self.attempt, self.offset = chunk.attempt, chunk.end
        return found
