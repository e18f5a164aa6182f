"""Jobs that wait for others: the same in every version of the queue (decision 21)."""

from __future__ import annotations

from typing import Any

import pytest

from copilot.errors import TooManyJobs, UnknownJob
from copilot.job import Cause, EventKind, JobSpec, Outcome, State
from copilot.store import rules
from copilot.store.arrays import Slice, Wish
from copilot.store.base import Store
from copilot.store.blocking import Awaited, Until
from tests.contract import store_fixtures
from tests.contract.store_fixtures import spec

store, shared_server = store_fixtures.store, store_fixtures.shared_server

T = 1_800_000_000.0


def job(number: int | str, *, after: str = "", after_any: str = "", **fields: Any) -> JobSpec:
    """Waits for `job-<word>` of each word."""
    names = {
        name: tuple(f"job-{one}" for one in text.split())
        for name, text in (("after", after), ("after_any", after_any))
    }
    return spec(number, **names, **fields)


async def claim(store: Store, count: int = 100) -> list[str]:
    claim.number += 1  # type: ignore[attr-defined]
    given = await store.claim(
        agent="a@x",
        request=f"r{claim.number}",
        dispatch_limit=60.0,
        count=count,
        lease=60.0,
        now=T,  # type: ignore[attr-defined]
    )
    return [one.spec.id.removeprefix("job-") for one in given]


claim.number = 0  # type: ignore[attr-defined]


async def end(store: Store, name: int | str, cause: Cause = Cause.OK) -> None:
    """One attempt of it, which ends so."""
    record = await store.get(f"job-{name}")
    assert record is not None
    if record.state is State.WAITING:
        await claim(store)
        record = await store.get(f"job-{name}")
    assert record is not None
    await store.finish(
        f"job-{name}", record.attempt, Outcome(cause=cause, exit_code=int(cause is not Cause.OK)), now=T
    )


async def state(store: Store, name: int | str) -> State:
    record = await store.get(f"job-{name}")
    assert record is not None
    return record.state


async def test_a_job_waits_until_each_of_the_others_is_done(store: Store) -> None:
    await store.submit([job("a"), job("b"), job("c", after="a b")], now=T)
    assert await state(store, "c") is State.BLOCKED
    assert (await store.counts())[State.BLOCKED] == 1
    assert await claim(store) == ["a", "b"]
    await end(store, "a")
    assert await claim(store) == []
    assert await store.awaits("job-c") == (Awaited(job="job-b", until=Until.DONE, state=State.RUNNING),)
    await end(store, "b")
    assert await state(store, "c") is State.WAITING
    assert await store.awaits("job-c") == ()
    assert await claim(store) == ["c"]
    told = [one for one in await store.events() if one.job == "job-c"]
    assert [one.kind for one in told] == [EventKind.SUBMITTED, EventKind.RELEASED, EventKind.CLAIMED]
    assert told[1].text == "job job-b is done"


async def test_who_waits_for_the_end_alone_goes_on_after_a_failure_and_the_others_do_not(
    store: Store,
) -> None:
    await store.submit(
        [job("a"), job("b", after="a"), job("c", after_any="a"), job("d", after="a", after_any="a")], now=T
    )
    await end(store, "a", Cause.USER_EXIT)
    assert [await state(store, name) for name in "bcd"] == [State.BLOCKED, State.WAITING, State.BLOCKED]
    (found,) = await store.awaits("job-b")
    assert found.failed
    assert await store.awaits("job-d") == (found,)


async def test_a_retry_that_is_done_lets_in_what_waits(store: Store) -> None:
    await store.submit([job("a"), job("b", after="a")], now=T)
    await end(store, "a", Cause.USER_EXIT)
    await store.publish("job-a", now=T)
    assert (await store.retry("job-a", now=T)).changed
    await end(store, "a")
    assert await claim(store) == ["b"]


async def test_what_is_so_already_is_not_waited_for(store: Store) -> None:
    await store.submit([job("a"), job("b")], now=T)
    await store.cancel("job-b", now=T)
    await end(store, "a")
    await store.submit([job("c", after="a", after_any="a b"), job("d", after="b")], now=T)
    assert [await state(store, name) for name in "cd"] == [State.WAITING, State.BLOCKED]


async def test_a_job_that_nobody_knows_is_refused_with_its_name_and_nothing_is_taken(store: Store) -> None:
    with pytest.raises(UnknownJob, match=r"job job-b: is to wait for job job-x, which is not known"):
        await store.submit([job("a"), job("b", after="a x")], now=T)
    with pytest.raises(UnknownJob, match="job-b, which"):  # only those that come before it
        await store.submit([job("a", after="b"), job("b")], now=T)
    assert await store.get("job-a") is None
    assert await store.counts() == dict.fromkeys(State, 0)


async def test_a_blocked_job_can_be_released_held_and_cancelled(store: Store) -> None:
    await store.submit([job("a"), *(job(name, after="a") for name in "bcde")], now=T)
    assert (await store.release("job-b", now=T)).state is State.WAITING
    assert await store.awaits("job-b") == ()
    for name in "cd":
        assert (await store.hold(f"job-{name}", now=T)).state is State.HELD
    assert (await store.release("job-c", now=T)).state is State.BLOCKED  # as it was before
    assert (await store.cancel("job-e", now=T)).state is State.CANCELLED
    await end(store, "a")
    assert [await state(store, name) for name in "cde"] == [State.WAITING, State.HELD, State.CANCELLED]
    assert (await store.release("job-d", now=T)).state is State.WAITING


async def test_a_cancelled_job_waits_for_the_same_when_it_is_to_run_after_all(store: Store) -> None:
    await store.submit([job("a"), job("b", after="a")], now=T)
    await store.cancel("job-b", now=T)
    await store.publish("job-b", now=T)
    assert (await store.retry("job-b", now=T)).state is State.BLOCKED
    await end(store, "a")
    assert await claim(store) == ["b"]


async def test_a_job_for_which_others_wait_is_not_forgotten(store: Store) -> None:
    await store.submit([job("a"), job("b", after="a")], now=T)
    await store.cancel("job-a", now=T)
    await store.publish("job-a", now=T)
    assert not await store.remove("job-a")
    await store.cancel("job-b", now=T)
    await store.publish("job-b", now=T)
    assert await store.remove("job-b")  # and waits no more
    assert await store.remove("job-a")


async def test_what_was_done_stays_so_when_it_is_forgotten(store: Store) -> None:
    await store.submit([job("a"), job("x"), job("b", after="a x")], now=T)
    await end(store, "a")
    await store.publish("job-a", now=T)
    assert await store.remove("job-a")
    await store.submit([job("x"), job("b", after="a x")], now=T)  # the same once more changes nothing
    await end(store, "x")
    assert await claim(store) == ["b"]


async def test_many_that_wait_are_let_in_by_the_reaper(store: Store) -> None:
    most = rules.LET_IN_AT_ONCE
    await store.submit([job("a")], now=T)
    await store.submit([job(number, after_any="a") for number in range(most)], now=T)
    await store.submit([job(f"late-{number}", after="a") for number in range(3)], now=T)
    await end(store, "a")
    assert await store.waiting() == most
    await store.reap(now=T)
    assert await store.waiting() == most + 3
    assert (await store.counts())[State.BLOCKED] == 0


async def test_an_array_in_many_pieces_is_let_in_by_the_reaper(
    store: Store, request: pytest.FixtureRequest
) -> None:
    """On a server; the others show that a short one is let in at once."""
    real = request.node.callspec.params["store"] in store_fixtures.REAL_SERVERS
    size = 6002 if real else 12  # 4000 pieces are looked at in a step
    await store.submit([job("a"), JobSpec(id="sim", command="c", array=size, after=("job-a",))], now=T)
    await store.submit([JobSpec(id="next", command="c", array=3, after=("job-a",), priority=-1)], now=T)
    place, begun = "", False
    while place or not begun:
        done = await store.operate_slice(
            "sim", Slice(begin=1, end=size, step=2), Wish.HOLD, after=place, now=T
        )
        place, begun = done.next, True
    await end(store, "a")
    blocked = [(await store.counts())[State.BLOCKED]]
    while blocked[-1]:
        await store.reap(now=T)
        blocked.append((await store.counts())[State.BLOCKED])
        assert blocked[-1] < blocked[-2]
    assert await store.waiting() == size // 2 + 3
    told = [one.text for one in await store.events(count=1000) if one.kind is EventKind.RELEASED]
    assert len(blocked) == (2 if real else 1)
    assert len(told) == len(blocked) + 1
    assert {text.partition("] ")[2] for text in told} == {"job job-a is done"}
    ranges = {one.job for one in (await store.page(State.WAITING, whole=True)).rows}
    assert ranges == {"sim.0", "next.0"}


async def test_jobs_that_wait_for_others_count_for_what_an_owner_may_have(store: Store) -> None:
    await store.submit([job("a", owner="ann"), job("b", after="a", owner="ann")], most=2, now=T)
    (ann,) = (await store.owners()).rows
    assert (ann.waiting, ann.running) == (2, 0)
    with pytest.raises(TooManyJobs):
        await store.submit([job("c", owner="ann")], most=2, now=T)


async def test_a_page_shows_jobs_that_are_blocked_the_newest_first(store: Store) -> None:
    await store.submit([job("a"), job("b", after="a")], now=T)
    await store.submit([job("c", after="a")], now=T + 1)
    page = await store.page(State.BLOCKED)
    assert [(one.job, one.since) for one in page.rows] == [("job-c", T + 1), ("job-b", T)]
    assert page.total == 2


async def test_a_job_that_is_submitted_on_hold_waits_for_somebody_who_releases_it(store: Store) -> None:
    await store.submit([job("a", hold=True), job("b")], now=T)
    assert await state(store, "a") is State.HELD
    assert await claim(store) == ["b"]
    counts = await store.counts()
    assert (counts[State.HELD], counts[State.WAITING]) == (1, 0)
    kinds = [(one.kind, one.text) for one in await store.events(count=100) if one.job == "job-a"]
    assert kinds == [(EventKind.SUBMITTED, ""), (EventKind.HELD, rules.HELD_WHEN_SUBMITTED)]
    await store.submit([job("a", hold=True)], now=T)  # the very same: nothing changes
    assert (await store.release("job-a", now=T)).state is State.WAITING
    assert await claim(store) == ["a"]


async def test_one_on_hold_that_waits_for_others_does_so_when_it_is_released(store: Store) -> None:
    await store.submit([job("a"), job("b", after="a", hold=True), job("c", after="a", hold=True)], now=T)
    assert await state(store, "b") is State.HELD
    assert (await store.release("job-b", now=T)).state is State.BLOCKED
    await end(store, "a")
    assert (await state(store, "b"), await state(store, "c")) == (State.WAITING, State.HELD)
    assert (await store.release("job-c", now=T)).state is State.WAITING


async def test_jobs_that_are_submitted_on_hold_count_for_their_owner_when_they_are_released(
    store: Store,
) -> None:
    await store.submit([job("a", hold=True), job("sim", array=5, hold=True)], now=T)
    assert (await store.owners()).rows == ()
    await store.release("job-a", now=T)
    await store.operate_slice("job-sim", Slice(begin=0, end=2), Wish.RELEASE, now=T)
    assert [(one.waiting, one.running) for one in (await store.owners()).rows] == [(3, 0)]
    for name in ("a", "sim.0", "sim.1"):
        await store.cancel(f"job-{name}", now=T)
    assert (await store.owners()).rows == ()


async def test_an_array_on_hold_is_held_as_a_whole_and_told_of_once(store: Store) -> None:
    await store.submit([job("a"), job("sim", array=500, after="a", hold=True)], now=T)
    assert (await store.counts())[State.HELD] == 500
    told = [one for one in await store.events(count=1000) if one.job == "job-sim"]
    assert [(one.kind, one.text) for one in told] == [
        (EventKind.SUBMITTED, "[0:500]"),
        (EventKind.HELD, f"[0:500] {rules.HELD_WHEN_SUBMITTED}"),
    ]
    await end(store, "a")
    assert (await store.counts())[State.HELD] == 500
    await store.operate_slice("job-sim", Slice(begin=0, end=100), Wish.RELEASE, now=T)
    counts = await store.counts()
    assert (counts[State.WAITING], counts[State.HELD]) == (100, 400)
