"""Commands that are asked for at the same time go to Redis together: one round trip, and one write to the disk, for all.

While one batch is on its way, the next one gathers. So nobody waits for company, and under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from copilot.store.counts import StoreCounts

MOST_AT_ONCE = 256  # commands in one batch
CLOSED = "the connection to Redis is being closed"
Command = Sequence[str | float | bytes]
Ask = Callable[[Sequence[Command]], Awaitable[list[Any]]]
_Question = tuple[Command, asyncio.Future[Any]]


class Together:
    """Sends commands by `ask`. Belongs to the event loop that first uses it."""

    def __init__(
        self,
        ask: Ask,
        timeout: float,
        counts: StoreCounts,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`ask` brings the answers to some commands, an exception in the place of one where there is none. `timeout` in
        seconds, for one batch: a question is answered, or given up, within twice that. A batch is counted as a round trip."""
        self._counts = counts
        self._clock = clock
        self._ask = ask
        self._timeout = timeout
        self._waiting: list[_Question] = []
        self._sender: asyncio.Task[None] | None = None

    async def send(self, *command: str | float | bytes) -> Any:
        """The answer. Raises what `ask` raises or gives, and TimeoutError; a command whose caller was cancelled may have been
        sent."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await answer

    async def close(self) -> None:
        """End what is on its way, and what waits. Idempotent."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])
            self._sender = None  # one that had not begun could not say so
        waiting, self._waiting = self._waiting, []
        _answer(waiting, [ConnectionError(CLOSED)] * len(waiting))

    async def _send_all(self) -> None:
        try:
            while batch := self._next_batch():
                await self._send_batch(batch)
        finally:
            self._sender = None

    def _next_batch(self) -> list[_Question]:
        """Without what nobody waits for any more: while Redis does not answer, that would pile up."""
        waiting = [one for one in self._waiting if not one[1].done()]
        batch, self._waiting = waiting[:MOST_AT_ONCE], waiting[MOST_AT_ONCE:]
        return batch

    async def _send_batch(self, batch: Sequence[_Question]) -> None:
        self._counts.round_trips += 1
        began = self._clock()
        try:
            async with asyncio.timeout(self._timeout):
                answers = await self._ask([command for command, _ in batch])
            self._counts.seconds.observe(self._clock() - began)
        except TimeoutError as error:
            # Who waits for the next batch has waited for this one: it must not become as long for each one before it.
            answers = [error] * len(batch)
            behind, self._waiting = self._waiting, []
            _answer(behind, [error] * len(behind))
        except BaseException as error:
            answers = [error] * len(batch)
            if not isinstance(error, Exception):  # we were cancelled: nobody is left alone with a question
                answers = [ConnectionError(CLOSED)] * len(batch)
                raise
        finally:
            _answer(batch, answers)


def _answer(questions: Sequence[_Question], answers: Sequence[Any]) -> None:
    for (_, future), answer in zip(questions, answers, strict=True):
        if future.done():  # its caller was cancelled
            continue
        if isinstance(answer, BaseException):
            future.set_exception(answer)
        else:
            future.set_result(answer)
