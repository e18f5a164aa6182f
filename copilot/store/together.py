"""Commands that are asked for at the same time go to Redis together: one round trip, and one write to the disk, for all.

While one batch is on its way, the next one gathers. So nobody waits for company, and under load batches grow by themselves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

MOST_AT_ONCE = 256  # commands in one batch
Command = Sequence[str | float | bytes]


class Together:
    """Sends commands through one client. `round_trips` counts batches. Belongs to the event loop that first uses it."""

    def __init__(self, client: Any, timeout: float) -> None:
        """`client` is one of `redis.asyncio`; `timeout` in seconds, for the answers to one batch."""
        self.round_trips = 0
        self._client = client
        self._timeout = timeout
        self._waiting: list[tuple[Command, asyncio.Future[Any]]] = []
        self._sender: asyncio.Task[None] | None = None

    async def send(self, *command: str | float | bytes) -> Any:
        """The answer. Raises what the client raises; a command whose caller was cancelled may have been sent."""
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((command, answer))
        if self._sender is None:
            self._sender = asyncio.create_task(self._send_all())
        return await answer

    async def close(self) -> None:
        """End what is on its way."""
        if self._sender is not None:
            self._sender.cancel()
            await asyncio.wait([self._sender])

    async def _send_all(self) -> None:
        try:
            while self._waiting:
                batch, self._waiting = self._waiting[:MOST_AT_ONCE], self._waiting[MOST_AT_ONCE:]
                await self._send_batch(batch)
        finally:
            self._sender = None

    async def _answers(self, commands: Sequence[Command]) -> list[Any]:
        """An exception stands in the place of an answer."""
        if len(commands) == 1:
            return [await self._client.execute_command(*commands[0])]
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = await pipeline.execute(raise_on_error=False)
        return answers

    async def _send_batch(self, batch: Sequence[tuple[Command, asyncio.Future[Any]]]) -> None:
        self.round_trips += 1
        try:
            async with asyncio.timeout(self._timeout):
                answers = await self._answers([command for command, _ in batch])
        except BaseException as error:
            answers = [error] * len(batch)
            if not isinstance(error, Exception):  # we were cancelled: nobody is left alone with a question
                answers = [ConnectionError("the connection to Redis is being closed")] * len(batch)
                raise
        finally:
            for (_, future), answer in zip(batch, answers, strict=True):
                if future.done():  # its caller was cancelled
                    continue
                if isinstance(answer, BaseException):
                    future.set_exception(answer)
                else:
                    future.set_result(answer)
