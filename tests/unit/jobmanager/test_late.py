"""Agents of 2011 that found no work are offered some when it comes, and each job to one of them."""

from __future__ import annotations

import pytest

from copilot.job import JobSpec
from copilot.jobmanager.late import ASKS_AGAIN, MOST, RESERVED, LateOffers
from copilot.jobmanager.logic import JobManagerSettings
from copilot.protocol.commands import GetJob, HaveGetJob, RunJob, WantGetJob
from copilot.protocol.events import Undeliverable
from copilot.runtime.component import Action, Online, Send, Tick
from tests.unit.jobmanager.test_logic import GET, STORAGE, WANT, World


def test_each_job_is_offered_to_one_agent_and_those_that_have_waited_for_longest_come_first() -> None:
    late = LateOffers()
    for number, jid in enumerate(["a", "b", "c", "a"]):
        late.add(jid, float(number))
    assert late.take(1, 10.0) == ["b"]
    assert late.take(1, 10.0 + RESERVED / 2) == []
    assert late.take(3, 10.0 + RESERVED / 2) == ["c", "a"]
    assert not late


def test_an_offer_that_nobody_takes_is_made_to_the_next() -> None:
    late = LateOffers()
    late.add("a", 0.0)
    late.add("b", 0.0)
    assert late.take(1, 0.0) == ["a"]
    assert late.take(1, RESERVED) == ["b"]


def test_an_agent_that_has_asked_again_or_gone_is_not_remembered_for_ever() -> None:
    late = LateOffers()
    late.add("old", 0.0)
    late.add("new", 1.0)
    late.add("gone", 2.0)
    late.forget("gone")
    late.forget("stranger")
    assert late.take(5, ASKS_AGAIN) == ["new"]


def test_only_so_many_are_remembered() -> None:
    late = LateOffers()
    for number in range(MOST + 1):
        late.add(str(number), 0.0)
    assert late.take(1, 0.0) == ["1"]


@pytest.fixture
async def world() -> World:
    world = World(JobManagerSettings(chirp="chirp.example.org:9094"))
    await world.tell(Online(jid="jm@x/one"))
    return world


async def tick(world: World, seconds: float = 2.0) -> list[Action]:
    world.now += seconds
    return list(await world.tell(Tick()))


async def ask(
    world: World, command: WantGetJob | GetJob, features: frozenset[str] | None = None
) -> list[Action]:
    return list(await world.hear(command, features=features))


async def test_who_found_nothing_is_offered_what_comes_later_once(world: World) -> None:
    assert await ask(world, WANT) == []
    assert await tick(world) == []
    await world.store.submit([JobSpec(id="late", command="run.sh")])
    (offer,) = await tick(world)
    assert offer == Send(to="agent@x/a", command=HaveGetJob())
    assert await tick(world) == []
    (order,) = await ask(world, GET)
    assert isinstance(order, Send)
    assert isinstance(order.command, RunJob)


async def test_an_agent_of_ours_gets_no_such_offer(world: World) -> None:
    await ask(world, WANT, STORAGE)
    await world.store.submit([JobSpec(id="late", command="run.sh")])
    assert await tick(world) == []


async def test_who_has_gone_is_not_offered_anything(world: World) -> None:
    await ask(world, WANT)
    await world.tell(Undeliverable(id="m", to="agent@x/a", command=HaveGetJob()))
    await world.store.submit([JobSpec(id="late", command="run.sh")])
    assert await tick(world) == []
