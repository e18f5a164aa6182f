"""Why an agent gets no job, for each reason that there is."""

from __future__ import annotations

import pytest

from copilot.client.explaining import agents
from copilot.client.explaining.agents import AGENT_MEANINGS, AgentCode, AgentReason, explain_agent
from copilot.job import Cause, Outcome
from copilot.store.controls import Gate
from tests.unit.client.test_explain import T, World

BAD = Outcome(cause=Cause.INFRA_STORE, exit_code=1)


@pytest.fixture
def world() -> World:
    return World()


async def why(world: World, agent: str = "a@x") -> AgentReason:
    return await explain_agent(world.store, agent)


async def test_who_has_never_asked_is_not_known(world: World) -> None:
    assert (await why(world)).code is AgentCode.UNKNOWN


async def test_who_is_gone_is_offline(world: World) -> None:
    await world.agent("a")
    world.clock.now += 1
    await world.store.unpark("a@x/home")
    assert (await why(world)).code is AgentCode.OFFLINE


async def test_without_jobs_there_are_none_and_with_some_it_gets_them(world: World) -> None:
    await world.agent("a")
    assert (await why(world)).code is AgentCode.NO_JOBS
    await world.submit("j")
    reason = await why(world)
    assert (reason.code, reason.facts["jobs_waiting"]) == (AgentCode.GETS, 1)
    await world.agent("a")
    await world.submit("k")
    reason = await why(world)
    assert (reason.code, reason.text) == (AgentCode.FULL, "it has 1 job, and does not ask for more now")


async def test_jobs_of_a_large_system_are_all_counted(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agents, "HOLDERS_AT_ONCE", 1, raising=False)
    monkeypatch.setattr(agents, "MOST_HOLDERS", 1, raising=False)
    for name in "ba":
        await world.submit(f"j{name}")
        await world.agent(name)
    await world.submit("k")
    for name in "ba":
        assert (await why(world, f"{name}@x")).facts["runs"] == 1


async def test_what_it_lacks_of_the_largest_groups_is_told(world: World) -> None:
    for number in range(3):
        await world.submit(f"l{number}", requirements="other.Memory >= 8192 && other.Cores >= 2")
    await world.submit("s", requirements='other.Site == "cern"')
    await world.agent("a")
    reason = await why(world)
    assert reason.code is AgentCode.NO_MATCH
    assert reason.text == (
        "4 jobs wait, and it meets the requirements of none; 3 jobs need Memory >= 8192: it has 4096; "
        '1 job needs Site == "cern": it has nothing of that'
    )
    assert reason.facts["lacks"][0]["lacks"] == [{"part": "other.Memory >= 8192", "has": 4096}]
    assert reason.lines()[0] == "agent a@x: no-matching-jobs"
    assert reason.data()["code"] == "no-matching-jobs"


async def test_quarantine_and_probation_are_told(world: World) -> None:
    for number in range(3):
        await world.submit(f"bad-{number}", max_attempts=1)
        await world.agent("a")
        await world.store.finish(f"bad-{number}", 1, BAD)
    await world.agent("a")
    reason = await why(world)
    assert (reason.code, reason.facts["until"]) == (AgentCode.QUARANTINE, T + 60)
    world.clock.now += 61
    assert (await why(world)).code is AgentCode.PROBATION
    await world.store.set_aside("a@x", by="ann", reason="disk")
    reason = await why(world)
    assert (reason.code, reason.facts["until"]) == (AgentCode.QUARANTINE, None)
    assert reason.text == "in quarantine until somebody lets it out: put there by ann: disk"


async def test_what_operators_want_is_told(world: World) -> None:
    await world.agent("a")
    await world.store.pause(Gate.DISPATCH, by="ann")
    assert (await why(world)).code is AgentCode.PAUSED
    await world.store.drain(["a@x"])
    assert (await why(world)).code is AgentCode.LEAVING
    await world.store.revoke("a@x")
    assert (await why(world)).code is AgentCode.OUT


def test_every_code_means_something() -> None:
    assert set(AGENT_MEANINGS) == set(AgentCode)
