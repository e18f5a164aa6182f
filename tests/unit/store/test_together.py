"""Commands that go to Redis together: everybody gets his own answer, whatever happens to the others."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from copilot.store.together import MOST_AT_ONCE, Together

STEPS = 20  # of the event loop, more than it takes until all have asked


class Client:
    """Stands in for redis-py: notes what comes together, and answers when it is let."""

    def __init__(self) -> None:
        self.batches: list[list[Any]] = []
        self.open = asyncio.Event()
        self.open.set()

    async def answer(self, commands: Sequence[tuple[Any, ...]]) -> list[Any]:
        self.batches.append([command[1] for command in commands])
        await self.open.wait()
        return [ValueError("refused") if name == "bad" else f"<{name}>" for _, name in commands]

    async def execute_command(self, *command: Any) -> Any:
        (answer,) = await self.answer([command])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pipeline(self, *, transaction: bool) -> Pipeline:
        assert not transaction
        return Pipeline(self)


class Pipeline:
    def __init__(self, client: Client) -> None:
        self._client = client
        self._commands: list[tuple[Any, ...]] = []

    def execute_command(self, *command: Any) -> None:
        self._commands.append(command)

    async def execute(self, *, raise_on_error: bool) -> list[Any]:
        assert not raise_on_error
        return await self._client.answer(self._commands)


@pytest.fixture
async def client() -> Client:
    return Client()


@pytest.fixture
def together(client: Client) -> Together:
    return Together(client, timeout=5.0)


def asking(together: Together, *names: str) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(together.send("GET", name)) for name in names]


async def until_all_have_asked() -> None:
    for _ in range(STEPS):
        await asyncio.sleep(0)


async def answers(tasks: Sequence[asyncio.Task[Any]]) -> list[Any]:
    async with asyncio.timeout(5):
        return await asyncio.gather(*tasks, return_exceptions=True)


async def test_what_is_asked_at_the_same_moment_goes_together(client: Client, together: Together) -> None:
    assert await answers(asking(together, "a", "b", "c")) == ["<a>", "<b>", "<c>"]
    assert client.batches == [["a", "b", "c"]]
    assert together.round_trips == 1


async def test_the_next_batch_gathers_while_one_is_on_its_way(client: Client, together: Together) -> None:
    client.open.clear()
    first = asking(together, "a")
    await until_all_have_asked()
    rest = asking(together, "b", "c")
    await until_all_have_asked()
    assert client.batches == [["a"]]
    client.open.set()
    assert await answers([*first, *rest]) == ["<a>", "<b>", "<c>"]
    assert client.batches == [["a"], ["b", "c"]]


async def test_a_batch_has_a_bound(client: Client, together: Together) -> None:
    names = [str(number) for number in range(MOST_AT_ONCE + 1)]
    assert await answers(asking(together, *names)) == [f"<{name}>" for name in names]
    assert [len(batch) for batch in client.batches] == [MOST_AT_ONCE, 1]


@pytest.mark.parametrize("names", [("bad",), ("a", "bad", "c")])
async def test_an_error_is_for_the_one_who_has_asked_for_it(
    together: Together, names: tuple[str, ...]
) -> None:
    for name, answer in zip(names, await answers(asking(together, *names)), strict=True):
        assert isinstance(answer, ValueError) if name == "bad" else answer == f"<{name}>"


async def test_who_is_cancelled_does_not_disturb_the_others(client: Client, together: Together) -> None:
    client.open.clear()
    tasks = asking(together, "a", "b")
    await until_all_have_asked()
    tasks[0].cancel()
    client.open.set()
    given_up, answer = await answers(tasks)
    assert isinstance(given_up, asyncio.CancelledError)
    assert answer == "<b>"


async def test_what_nobody_waits_for_any_more_is_not_sent(client: Client, together: Together) -> None:
    """While Redis does not answer, callers give up and others come: all of it would be done later for nobody."""
    client.open.clear()
    first = asking(together, "a")
    await until_all_have_asked()
    late = asking(together, "b", "c")
    await until_all_have_asked()
    late[0].cancel()
    client.open.set()
    await answers([*first, *late])
    assert client.batches == [["a"], ["c"]]


@pytest.mark.parametrize("begun", [True, False])
async def test_at_the_end_nobody_is_left_alone_with_a_question(
    client: Client, together: Together, begun: bool
) -> None:
    client.open.clear()
    tasks = asking(together, "a")
    await (until_all_have_asked() if begun else asyncio.sleep(0))
    tasks += asking(together, "b")
    await asyncio.sleep(0)
    await together.close()
    assert [type(answer) for answer in await answers(tasks)] == [ConnectionError, ConnectionError]
    await together.close()


async def test_after_the_end_it_can_be_used_again(client: Client, together: Together) -> None:
    tasks = asking(together, "a")
    await asyncio.sleep(0)
    await together.close()
    await answers(tasks)
    assert await answers(asking(together, "b")) == ["<b>"]


async def test_what_takes_too_long_is_given_up_and_the_next_batch_goes(client: Client) -> None:
    together = Together(client, timeout=0.01)
    client.open.clear()
    late = await answers(asking(together, "a", "b"))
    assert [type(answer) for answer in late] == [TimeoutError, TimeoutError]
    client.open.set()
    assert await answers(asking(together, "c")) == ["<c>"]
