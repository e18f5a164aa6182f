"""Agents that found no job, and get one when it comes: the same in every version of the queue."""

from __future__ import annotations

import asyncio

import pytest

from copilot.errors import StoreUnavailable
from copilot.job import Cause, Outcome
from copilot.store import rules
from copilot.store.base import Dispatched, Parking, Store
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures
from tests.contract.store_fixtures import eventually, is_fake, new_prefix, server_in_new_directory, spec
from tests.patience import PATIENCE_S

store, shared_server, redis_program, server = (
    store_fixtures.store,
    store_fixtures.shared_server,
    store_fixtures.redis_program,
    store_fixtures.server,
)

T = 1_800_000_000.0
ONE = Parking(jid="agent@x/one", features=("lease", "push"), session="v2:0123:a+/=:" + "x" * 700)
TWO = Parking(jid="other@x/a b")


async def ask(store: Store, parking: Parking | None = ONE, *, count: int = 1, now: float = T) -> list[str]:
    """What an agent gets at once; it is parked for the rest."""
    agent = "" if parking is None else parking.jid.partition("/")[0]
    given = await store.claim(
        agent=agent, request=f"{now}", dispatch_limit=60, count=count, lease=60.0, park=parking, now=now
    )
    return [one.spec.id for one in given]


async def dispatched(store: Store, *, limit: int = 100, now: float = T) -> list[tuple[Parking, str]]:
    given: tuple[Dispatched, ...] = await store.dispatch(dispatch_limit=10, limit=limit, now=now)
    return [(one.to, one.claimed.spec.id) for one in given]


async def test_a_parked_agent_gets_the_job_that_comes_and_no_second_one(store: Store) -> None:
    assert await ask(store) == []
    assert await dispatched(store) == []
    await store.submit([spec(1), spec(2)], now=T)
    (one,) = await store.dispatch(dispatch_limit=10, now=T)
    assert (one.to, one.claimed.spec, one.claimed.attempt) == (ONE, spec(1), 1)
    assert (one.claimed.lease, one.claimed.claimed, one.claimed.again) == (60.0, T, False)
    assert one.claimed.submitted == T
    record = await store.get("job-1")
    assert record is not None
    assert record.agent == "agent@x"
    assert await dispatched(store) == []


async def test_a_session_that_is_no_word_is_refused(store: Store) -> None:
    for session in ("two words", "x" * 2049):
        with pytest.raises(ValueError, match="one word"):
            await ask(store, Parking(jid="agent@x/one", session=session))


async def test_who_has_waited_for_longest_is_first(store: Store) -> None:
    await ask(store, TWO, now=T)
    await ask(store, ONE, now=T + 1)
    await store.submit([spec(1), spec(2)], now=T + 2)
    assert await dispatched(store, now=T + 2) == [(TWO, "job-1"), (ONE, "job-2")]


async def test_an_agent_waits_for_what_it_did_not_get(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    assert await ask(store, count=3) == ["job-1"]
    await store.submit([spec(number) for number in range(2, 6)], now=T)
    assert await dispatched(store, limit=1) == [(ONE, "job-2")]
    assert await dispatched(store) == [(ONE, "job-3")]


async def test_each_request_takes_the_place_of_the_one_before(store: Store) -> None:
    await ask(store, count=3)
    await ask(store, count=1, now=T + 1)
    await store.submit([spec(1), spec(2)], now=T + 1)
    assert await dispatched(store, now=T + 1) == [(ONE, "job-1")]


async def test_an_agent_that_got_all_it_wanted_is_not_parked_any_more(store: Store) -> None:
    await ask(store)
    await store.submit([spec(1)], now=T)
    assert await ask(store, now=T + 1) == ["job-1"]
    await store.submit([spec(2)], now=T + 1)
    assert await dispatched(store, now=T + 1) == []


async def test_one_that_does_not_want_to_wait_is_not_parked(store: Store) -> None:
    await store.claim(agent="agent@x", request="r", dispatch_limit=60, now=T)
    await store.submit([spec(1)], now=T)
    assert await dispatched(store) == []


async def test_one_that_is_gone_gets_nothing(store: Store) -> None:
    await ask(store)
    assert await store.unpark(ONE.jid, now=T)
    assert not await store.unpark(ONE.jid, now=T)
    await store.submit([spec(1)], now=T)
    assert await dispatched(store) == []


async def test_one_that_has_asked_meanwhile_stays(store: Store) -> None:
    await ask(store)
    assert not await store.unpark(ONE.jid, parked_for=10.0, now=T + 9)
    assert await store.unpark(ONE.jid, parked_for=10.0, now=T + 10)


async def test_one_that_has_not_shown_up_for_long_gets_nothing(store: Store) -> None:
    await ask(store)
    await store.submit([spec(1)], now=T)
    late = T + rules.PARKED_FOR
    assert await dispatched(store, now=late) == []
    assert not await store.unpark(ONE.jid, now=late)


async def test_a_job_that_goes_back_goes_to_who_waits(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    assert await ask(store, TWO) == ["job-1"]
    await ask(store, ONE)
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await dispatched(store) == [(ONE, "job-1")]


async def test_what_is_not_confirmed_in_time_goes_back(store: Store) -> None:
    await ask(store)
    await store.submit([spec(1)], now=T)
    await dispatched(store)
    (event,) = await store.reap(now=T + 11)
    assert (event.job, event.cause) == ("job-1", Cause.INFRA_UNDELIVERED)


async def test_an_agent_in_quarantine_waits_for_its_end(store: Store) -> None:
    bad = Outcome(cause=Cause.INFRA_LOST, exit_code=1)
    for number in range(3):
        await store.submit([spec(number, max_attempts=1)], now=T)
        assert await ask(store, now=T + number) == [f"job-{number}"]
        await store.finish(f"job-{number}", 1, bad, now=T + number)
    assert await store.quarantine("agent@x", now=T + 3) > 0
    await ask(store, count=2, now=T + 3)
    await store.submit([spec(7), spec(8)], now=T + 3)
    assert await dispatched(store, now=T + 3) == []
    assert await dispatched(store, now=T + 100) == [(ONE, "job-7")]  # one, as a probe


@pytest.mark.parametrize("limit", [0, 1001])
async def test_a_dispatch_of_nonsense_is_refused(store: Store, limit: int) -> None:
    with pytest.raises(ValueError, match="limit"):
        await store.dispatch(dispatch_limit=10, limit=limit)


async def test_the_managers_hear_that_there_is_work_for_somebody(store: Store) -> None:
    if is_fake(store):
        pytest.skip("fakeredis does not publish from scripts")
    hint, number = asyncio.create_task(anext(aiter(store.hints()))), 0
    async with asyncio.timeout(PATIENCE_S):
        while not hint.done():  # nobody can see from here whether it listens already
            await ask(store, now=T + number)
            await store.submit([spec(number)])
            number += 1
            await asyncio.sleep(0.001)
    assert hint.exception() is None


async def test_without_anybody_to_hear_of_it_nothing_is_said(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    assert await dispatched(store) == []
    assert await store.waiting() == 1


async def test_a_listener_is_told_when_redis_is_gone(redis_program: str) -> None:
    with server_in_new_directory(redis_program) as own:
        listening = RedisStore.from_url(own.url, prefix=new_prefix())
        task = asyncio.create_task(anext(listening.hints()))
        with own.client() as client:
            await eventually(lambda: bool(client.pubsub_channels("*parked")))
        own.kill()
        with pytest.raises(StoreUnavailable):
            await asyncio.wait_for(task, PATIENCE_S)
        await listening.close()


async def test_a_dispatch_whose_answer_was_lost_is_told_once_more_and_gives_nothing_new(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(store, RedisStore):
        pytest.skip("nothing gets lost on the way to the memory")
    await ask(store, TWO)
    await ask(store, now=T + 1)
    await store.submit([spec()], now=T)
    run = store._run

    async def lost(name: str, *arguments: object) -> object:
        await run(name, *arguments)  # type: ignore[arg-type]
        raise StoreUnavailable("Redis was killed before its answer was read")

    with monkeypatch.context() as broken:
        broken.setattr(store, "_run", lost)
        with pytest.raises(StoreUnavailable):
            await dispatched(store)
    await store.submit([spec(2)], now=T)
    assert await dispatched(store, now=T + 2) == [(TWO, "job-1")]
    assert await dispatched(store, now=T + 2) == [(ONE, "job-2")]
    assert await dispatched(store, now=T + 2) == []
