"""Answers to questions, shared by all who ask the same within half a second: the load on the store depends on what is
asked for, not on how many do."""

from __future__ import annotations

import asyncio

from copilot.monitor.board import Board
from copilot.monitor.dashboard.asking import Refusal, ask
from copilot.monitor.dashboard.plain import as_json

KEPT = 0.5  # s that an answer stays good
AT_ONCE = 4  # questions that the board is asked at the same time
MOST = 200  # different questions that wait or whose answers are kept

Question = tuple[str, str]  # path and query


class Answers:
    """What `board` says, as JSON. Belongs to one event loop. `kept` in seconds."""

    def __init__(self, board: Board, *, kept: float = KEPT, most: int = MOST) -> None:
        self._board = board
        self._kept = kept
        self._most = most
        self._places = asyncio.Semaphore(AT_ONCE)
        self._tasks: dict[Question, asyncio.Task[bytes]] = {}

    async def to(self, path: str, query: str) -> bytes:
        """The answer to one URL. Raises what `ask` does, and `Refusal` if too much is asked at once."""
        question = (path, query)
        task = self._tasks.get(question)
        if task is None:
            if len(self._tasks) >= self._most:
                raise Refusal(503, "too much is asked at once; try again in a second")
            task = self._tasks[question] = asyncio.create_task(
                self._ask(*question), name="dashboard question"
            )
            task.add_done_callback(lambda done: self._keep(question, done))
        return await asyncio.shield(task)  # whoever asked first may leave before the others have it

    async def close(self) -> None:
        """Break off what is under way. Idempotent."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, path: str, query: str) -> bytes:
        async with self._places:
            return as_json(await ask(self._board, path, query))

    def _keep(self, question: Question, done: asyncio.Task[bytes]) -> None:
        if not done.cancelled():
            done.exception()  # if all who asked have left, nobody else looks at it
        done.get_loop().call_later(self._kept, self._tasks.pop, question, None)
