"""Several logics as one component."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import pytest

from copilot.errors import StoreUnavailable
from copilot.protocol.commands import Ping
from copilot.runtime.component import Action, Actions, Event, Leave, Send, Tick
from copilot.runtime.compose import Parts, Performers


def say(to: str) -> Send:
    return Send(to=to, command=Ping())


class Part:
    """Answers everything in one way, at once or later."""

    def __init__(self, answer: Actions | Awaitable[Actions], wake: float | None = None) -> None:
        self._answer = answer
        self._wake = wake

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        return self._answer

    def wakeup(self) -> float | None:
        return self._wake


async def later(*actions: Action) -> Actions:
    await asyncio.sleep(0)
    return list(actions)


def test_what_all_parts_want_is_done_in_their_order() -> None:
    parts = Parts([Part([say("a"), say("b")]), Part([]), Part([Leave()])])
    assert parts.handle(Tick(), 0.0) == [say("a"), say("b"), Leave()]


async def test_what_is_decided_later_comes_with_what_was_decided_at_once() -> None:
    parts = Parts([Part(later(say("a"))), Part([say("b")]), Part(later(say("c")))])
    decision = parts.handle(Tick(), 0.0)
    assert isinstance(decision, Awaitable)
    assert await decision == [say("b"), say("a"), say("c")]


async def test_when_one_part_fails_the_others_come_to_their_end_before_it_is_told() -> None:
    ended = []

    async def fails() -> Actions:
        raise StoreUnavailable("away")

    async def works() -> Actions:
        await asyncio.sleep(0)
        ended.append("works")
        return []

    decision = Parts([Part(fails()), Part(works())]).handle(Tick(), 0.0)
    assert isinstance(decision, Awaitable)
    with pytest.raises(StoreUnavailable):
        await decision
    assert ended == ["works"]
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_breaking_it_off_breaks_off_every_part() -> None:
    ended = []

    async def waits(name: str) -> Actions:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(name)
        return []

    decision = Parts([Part(waits("a")), Part(waits("b"))]).handle(Tick(), 0.0)
    assert isinstance(decision, Awaitable)
    task = asyncio.ensure_future(decision)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert sorted(ended) == ["a", "b"]


@pytest.mark.parametrize(
    ("wakes", "expected"), [((None, None), None), ((3.0, None), 3.0), ((3.0, 2.0), 2.0), ((0.0, 2.0), 0.0)]
)
def test_it_wakes_up_when_the_first_part_wants_to(
    wakes: tuple[float | None, ...], expected: float | None
) -> None:
    assert Parts([Part([], wake) for wake in wakes]).wakeup() == expected


class Performing:
    """Says what it was to do."""

    def __init__(self, name: str) -> None:
        self._name = name

    async def _done(self, effect: object) -> str:
        return f"{self._name}: {effect}"

    def perform(self, effect: object) -> Awaitable[str]:
        return self._done(effect)


async def test_each_performer_gets_the_effects_of_its_classes_and_one_the_rest() -> None:
    performers = Performers({int: Performing("numbers"), str: Performing("words")}, Performing("rest"))
    done = [performers.perform(effect) for effect in (1, "a", 2.0)]
    assert [await one for one in done if one is not None] == ["numbers: 1", "words: a", "rest: 2.0"]


def test_an_effect_of_nobody_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="no effects"):
        Performers({}).perform("a")
