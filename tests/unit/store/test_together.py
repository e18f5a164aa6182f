"""Commands that go to Redis together: everybody gets his own answer, whatever happens to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from copilot.store.counts import StoreCounts
from copilot.store.together import MOST_AT_ONCE, Command, Together
from tests.patience import PATIENCE_S

STEPS = 20  # of the event loop, more than it takes until all have asked


class Redis:
    """Stands in for the server: notes what comes together, and answers when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        self.batches.append([command[1] for command in commands])
        await self.open.wait()
        return [ValueError("refused") if name == "bad" else f"<{name}>" for _, name in commands]


@pytest.fixture
async def redis() -> Redis:
    return Redis()


@pytest.fixture
def counts() -> StoreCounts:
    return StoreCounts()


@pytest.fixture
def together(redis: Redis, counts: StoreCounts) -> Together:
    return Together(redis.ask, 5.0, counts)


def asking(together: Together, *names: str) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(together.send("GET", name)) for name in names]


async def until_all_have_asked() -> None:
    for _ in range(STEPS):
        await asyncio.sleep(0)


async def answers(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    async with asyncio.timeout(PATIENCE_S):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_asked_at_the_same_moment_goes_together(
    redis: Redis, together: Together, counts: StoreCounts
) -> None:
    assert await answers(asking(together, "a", "b", "c")) == ["<a>", "<b>", "<c>"]
    assert redis.batches == [["a", "b", "c"]]
    assert (counts.round_trips, counts.seconds.count) == (1, 1)


async def test_the_next_batch_gathers_while_one_is_on_its_way(redis: Redis, together: Together) -> None:
    redis.open.clear()
    first = asking(together, "a")
    await until_all_have_asked()
    rest = asking(together, "b", "c")
    await until_all_have_asked()
    assert redis.batches == [["a"]]
    redis.open.set()
    assert await answers([*first, *rest]) == ["<a>", "<b>", "<c>"]
    assert redis.batches == [["a"], ["b", "c"]]


async def test_a_batch_has_a_bound(redis: Redis, together: Together) -> None:
    names = [str(number) for number in range(MOST_AT_ONCE + 1)]
    assert await answers(asking(together, *names)) == [f"<{name}>" for name in names]
    assert [len(batch) for batch in redis.batches] == [MOST_AT_ONCE, 1]


@pytest.mark.parametrize("names", [("bad",), ("a", "bad", "c")])
async def test_an_error_is_for_the_one_who_has_asked_for_it(
    together: Together, names: tuple[str, ...]
) -> None:
    for name, answer in zip(names, await answers(asking(together, *names)), strict=True):
        assert isinstance(answer, ValueError) if name == "bad" else answer == f"<{name}>"


async def test_who_is_cancelled_does_not_disturb_the_others(redis: Redis, together: Together) -> None:
    redis.open.clear()
    tasks = asking(together, "a", "b")
    await until_all_have_asked()
    tasks[0].cancel()
    redis.open.set()
    given_up, answer = await answers(tasks)
    assert isinstance(given_up, asyncio.CancelledError)
    assert answer == "<b>"


async def test_what_nobody_waits_for_any_more_is_not_sent(redis: Redis, together: Together) -> None:
    """While Redis does not answer, callers give up and others come: all of it would be done later for nobody."""
    redis.open.clear()
    first = asking(together, "a")
    await until_all_have_asked()
    late = asking(together, "b", "c")
    await until_all_have_asked()
    late[0].cancel()
    redis.open.set()
    await answers([*first, *late])
    assert redis.batches == [["a"], ["c"]]


@pytest.mark.parametrize("begun", [True, False])
async def test_at_the_end_nobody_is_left_alone_with_a_question(
    redis: Redis, together: Together, begun: bool
) -> None:
    redis.open.clear()
    tasks = asking(together, "a")
    await (until_all_have_asked() if begun else asyncio.sleep(0))
    tasks += asking(together, "b")
    await asyncio.sleep(0)
    await together.close()
    assert [type(answer) for answer in await answers(tasks)] == [ConnectionError, ConnectionError]
    await together.close()


async def test_after_the_end_it_can_be_used_again(redis: Redis, together: Together) -> None:
    tasks = asking(together, "a")
    await asyncio.sleep(0)
    await together.close()
    await answers(tasks)
    assert await answers(asking(together, "b")) == ["<b>"]


async def test_what_takes_too_long_is_given_up_and_the_next_batch_goes(redis: Redis) -> None:
    together = Together(redis.ask, 0.01, StoreCounts())
    redis.open.clear()
    late = await answers(asking(together, "a", "b"))
    assert [type(answer) for answer in late] == [TimeoutError, TimeoutError]
    redis.open.set()
    assert await answers(asking(together, "c")) == ["<c>"]


async def test_who_waits_for_a_batch_that_takes_too_long_does_not_wait_for_the_next_one(redis: Redis) -> None:
    together = Together(redis.ask, 0.1, StoreCounts())
    redis.open.clear()
    first = asking(together, "a")
    await until_all_have_asked()
    behind = asking(together, "b", "c")
    assert [type(answer) for answer in await answers([*first, *behind])] == [TimeoutError] * 3
    assert redis.batches == [["a"]]
