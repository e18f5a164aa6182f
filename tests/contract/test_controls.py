"""What operators stop, the whole queue or single agents, over every version of the queue."""

from __future__ import annotations

import pytest

from copilot.errors import IntakePaused, StoreError
from copilot.job import Cause, EventKind, Outcome
from copilot.store import controls, memory_controls, redis_controls
from copilot.store.base import Parking, Store
from copilot.store.controls import ASKS_AGAIN, Gate, Pause, SetAside
from tests.contract import store_fixtures
from tests.contract.store_fixtures import spec

shared_server, store = store_fixtures.shared_server, store_fixtures.store

AGENT, OTHER = "a@x.org", "b@x.org"
T = 1_700_000_000.5


async def claim(store: Store, agent: str, *, now: float = T, park: Parking | None = None) -> list[str]:
    given = await store.claim(agent=agent, request=f"{now}", dispatch_limit=60, now=now, park=park)
    return [one.spec.id for one in given]


async def dispatch(store: Store, now: float) -> list[str]:
    return [one.claimed.spec.id for one in await store.dispatch(dispatch_limit=60, now=now)]


async def test_while_nothing_is_given_out_jobs_wait_and_then_idle_agents_get_them(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    assert await claim(store, AGENT) == ["job-1"]
    assert await store.pause(Gate.DISPATCH, by="eve", reason="power cut", now=T)
    assert not await store.pause(Gate.DISPATCH, by="bob", now=T + 1)
    assert await store.paused() == (Pause(gate=Gate.DISPATCH, by="eve", reason="power cut", since=T),)
    assert await claim(store, OTHER, park=Parking(jid=f"{OTHER}/x"), now=T + 2) == []
    assert await dispatch(store, T + 3) == []
    await store.submit([spec(3)], now=T + 3)  # new ones are taken, and what runs goes on
    assert await store.confirm("job-1", 1, max_run_time=60, now=T + 4)
    assert await store.resume(Gate.DISPATCH, by="eve", now=T + 5)
    assert not await store.resume(Gate.DISPATCH, now=T + 5)
    assert await store.paused() == ()
    assert await dispatch(store, T + 6) == ["job-2"]
    told = [(one.kind, one.text) for one in await store.events(count=100) if not one.job]
    assert told == [
        (EventKind.PAUSED, "dispatch by eve: power cut"),
        (EventKind.RESUMED, "dispatch by eve"),
    ]


async def test_while_nothing_is_taken_known_jobs_may_be_said_again_and_agents_get_jobs(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await store.pause(Gate.INTAKE, by="eve", reason="moving", now=T)
    await store.submit([spec(1)], now=T)
    with pytest.raises(IntakePaused, match="paused by eve: moving; no new job is taken"):
        await store.submit([spec(1), spec(2)], now=T)
    assert await store.get("job-2") is None
    assert await claim(store, AGENT) == ["job-1"]
    await store.resume(Gate.INTAKE)
    await store.submit([spec(2)], now=T)


async def test_an_agent_that_was_set_aside_gets_nothing_until_somebody_lets_it_out(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    await store.set_aside(AGENT, by="eve", reason="odd results", now=T)
    assert await store.asides(now=T) == (
        SetAside(agent=AGENT, ends=None, by="eve", reason="odd results", since=T),
    )
    assert await store.quarantine(AGENT, now=T + 1e6) == ASKS_AGAIN
    assert await claim(store, AGENT, park=Parking(jid=f"{AGENT}/x"), now=T + 1e6) == []
    assert await dispatch(store, T + 1e6) == []
    assert await claim(store, OTHER, now=T + 1e6) == ["job-1"]
    assert await store.pardon(AGENT, now=T + 1e6)
    assert not await store.pardon(AGENT, now=T + 1e6)
    assert await dispatch(store, T + 1e6) == ["job-2"]
    (told,) = [one for one in await store.events(count=100) if one.kind is EventKind.QUARANTINED]
    assert (told.agent, told.text) == (AGENT, "set aside until somebody lets it out, by eve: odd results")


async def test_a_quarantine_by_hand_ends_with_its_time_and_with_no_success(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    assert await claim(store, AGENT) == ["job-1"]
    await store.set_aside(AGENT, seconds=100, now=T)
    await store.finish("job-1", 1, Outcome(cause=Cause.OK, exit_code=0), now=T + 1)
    assert await claim(store, AGENT, now=T + 2) == []
    assert await store.quarantine(AGENT, now=T + 80) == pytest.approx(20)
    assert await claim(store, AGENT, now=T + 101) == ["job-2"]
    assert await store.asides(now=T + 101) == ()


async def test_there_are_at_most_so_many_such_agents(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (controls, memory_controls, redis_controls):
        monkeypatch.setattr(module, "MOST_SET_ASIDE", 1)
    await store.set_aside(AGENT, seconds=10, now=T)
    with pytest.raises(StoreError, match="set aside already"):
        await store.set_aside(OTHER, now=T)
    await store.set_aside(AGENT, seconds=20, now=T + 5)
    await store.set_aside(OTHER, now=T + 25)  # the first one's time is over
    assert [one.agent for one in await store.asides(now=T + 25)] == [OTHER]
