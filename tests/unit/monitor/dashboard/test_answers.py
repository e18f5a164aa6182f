"""Questions of many, asked once."""

from __future__ import annotations

import asyncio

import pytest

from copilot.errors import StoreUnavailable
from copilot.monitor.board import AgentPage
from copilot.monitor.dashboard.answers import AT_ONCE, Answers
from copilot.monitor.dashboard.asking import Refusal
from tests.browser import world
from tests.patience import PATIENCE_S
from tests.unit.monitor.dashboard.serving import NOON

AGENTS = ("/api/agents", "")


class Slow(world.MemoryBoard):
    """Answers when it is told to."""

    def __init__(self) -> None:
        super().__init__(world.empty(NOON), clock=lambda: NOON)
        self.go = asyncio.Event()
        self.under_way = 0
        self.questions = 0

    async def agents(self, *, after: str = "", search: str = "", limit: int = 50) -> AgentPage:
        self.questions += 1
        self.under_way += 1
        await self.go.wait()
        self.under_way -= 1
        return await super().agents(after=after, search=search, limit=limit)


async def turn() -> None:
    """Let everything go on that can."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_the_same_question_of_many_is_asked_once_and_its_answer_kept_for_a_moment() -> None:
    board = Slow()
    answers = Answers(board, kept=0)
    asked = [asyncio.create_task(answers.to(*AGENTS)) for _ in range(50)]
    await turn()
    asked[0].cancel()
    board.go.set()
    assert len(set(await asyncio.gather(*asked[1:]))) == 1
    assert board.questions == 1
    async with asyncio.timeout(PATIENCE_S):
        while board.questions == 1:
            await answers.to(*AGENTS)


async def test_the_board_is_asked_a_few_questions_at_the_same_time_and_no_endless_line_waits() -> None:
    board = Slow()
    answers = Answers(board, most=10)
    asked = [asyncio.create_task(answers.to("/api/agents", f"search={number}")) for number in range(10)]
    await turn()
    assert board.under_way == AT_ONCE
    with pytest.raises(Refusal, match="too much is asked"):
        await answers.to("/api/agents", "search=more")
    board.go.set()
    await asyncio.gather(*asked)


async def test_whoever_asks_hears_of_failures_and_nobody_else_does() -> None:
    board = Slow()
    answers = Answers(board)
    board.up = False
    asked = asyncio.create_task(answers.to(*AGENTS))
    left = asyncio.create_task(answers.to("/api/job/x", ""))
    await asyncio.sleep(0)
    left.cancel()
    board.go.set()
    with pytest.raises(StoreUnavailable):
        await asked


async def test_closing_breaks_off_what_is_under_way() -> None:
    answers = Answers(Slow())
    asked = asyncio.create_task(answers.to(*AGENTS))
    await turn()
    await answers.close()
    with pytest.raises(asyncio.CancelledError):
        await asked
