"""Arrays, over every version of the queue (decision 21). That they behave as their elements is shown in `tests/unit/store/test_arrays.py`."""

from __future__ import annotations

import time

import pytest

from copilot.errors import JobExists, TooManyJobs, UnknownJob
from copilot.job import MAX_ARRAY, Cause, EventKind, JobRecord, JobSpec, Outcome, State
from copilot.store.arrays import Slice, Wish
from copilot.store.base import Claimed, Store
from copilot.store.memory import MemoryStore
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures

store, shared_server = store_fixtures.store, store_fixtures.shared_server

T = 1_800_000_000.0
OK = Outcome(cause=Cause.OK, exit_code=0)
BAD = Outcome(cause=Cause.USER_EXIT, exit_code=1)
ALL = Slice(begin=0, end=MAX_ARRAY)


def array(size: int, name: str = "sim", **fields: object) -> JobSpec:
    return JobSpec(id=name, command="c", array=size, **fields)  # type: ignore[arg-type]


async def claim(store: Store, count: int = 1000) -> tuple[Claimed, ...]:
    claim.number += 1  # type: ignore[attr-defined]
    return await store.claim(
        agent="a@x",
        request=f"r{claim.number}",  # type: ignore[attr-defined]
        dispatch_limit=60.0,
        count=count,
        lease=60.0,
        now=T,
    )


claim.number = 0  # type: ignore[attr-defined]


async def end_all(store: Store, outcome: Outcome = OK) -> None:
    for one in await claim(store):
        await store.finish(one.spec.id, one.attempt, outcome, now=T)


async def test_an_agent_gets_elements_each_with_its_number(store: Store) -> None:
    await store.submit([array(3, arguments="{index}")], now=T)
    given = await claim(store, 2)
    assert [(one.spec.id, one.spec.index, one.spec.array, one.spec.submitted_as) for one in given] == [
        ("sim.0", 0, 3, "sim"),
        ("sim.1", 1, 3, "sim"),
    ]
    (line,) = (await store.page(State.WAITING)).rows
    assert line.job == "sim.2"
    record = await store.get("sim.2")
    assert record is not None
    assert (record.spec, record.state) == (array(3, arguments="{index}").element(2), State.WAITING)


async def test_an_array_is_done_when_each_element_is(store: Store) -> None:
    await store.submit([array(2), JobSpec(id="next", command="c", after=("sim",))], now=T)
    for state, expected in (
        (State.WAITING, State.BLOCKED),
        (State.WAITING, State.BLOCKED),
        (State.DONE, State.WAITING),
    ):
        found, blocked = await store.array("sim"), await store.get("next")
        assert found is not None
        assert blocked is not None
        assert (found.state, blocked.state) == (state, expected)
        if state is State.WAITING:
            (one,) = await claim(store, 1)
            await store.finish(one.spec.id, one.attempt, OK, now=T)
    record = await store.get("sim")
    assert record is not None
    assert (record.state, record.finished, record.published) == (State.DONE, T, False)


async def test_an_array_waits_for_others_as_a_whole(store: Store) -> None:
    await store.submit([JobSpec(id="first", command="c"), array(1000, after=("first",))], now=T)
    assert (await store.counts())[State.BLOCKED] == 1000
    await end_all(store)
    assert await store.waiting() == 1000
    assert [one.job for one in await store.events(count=1000) if one.kind is EventKind.RELEASED] == ["sim"]


async def test_a_hundred_thousand_are_submitted_held_and_cancelled_in_a_step_each(
    store: MemoryStore | RedisStore,
) -> None:
    """The memory has a thousand: there they are jobs."""
    size = 1000 if isinstance(store, MemoryStore) else 100_000
    await store.submit([array(1, "warm")], now=T)  # scripts get there
    await store.operate_slice("warm", ALL, Wish.CANCEL, now=T)
    before, begun = store.round_trips, time.monotonic()
    await store.submit([array(size)], now=T)
    held = await store.operate_slice("sim", Slice(begin=size // 2, end=size), Wish.HOLD, now=T)
    gone = await store.operate_slice("sim", ALL, Wish.CANCEL, reason="no need", now=T)
    assert store.round_trips - before <= 3
    assert time.monotonic() - begun < 10.0
    assert (held.changed, held.next) == (size // 2, "")
    assert (gone.changed, gone.same, gone.next) == (size, 0, "")
    counts = await store.counts()
    assert (counts[State.CANCELLED], counts[State.WAITING], counts[State.HELD]) == (size + 1, 0, 0)
    record = await store.get(f"sim.{size - 1}")
    assert record is not None
    assert record.outcome is not None
    assert record.outcome.reason == "no need"
    assert (await store.page(State.CANCELLED, limit=2)).total == size + 1


async def test_a_slice_goes_over_elements_with_records_a_thousand_at_a_time(store: Store) -> None:
    await store.submit([array(1500)], now=T)
    for _ in range(2):
        await claim(store)
    changed, after, calls = 0, "", 0
    while calls == 0 or after:
        step = await store.operate_slice("sim", ALL, Wish.CANCEL, after=after, now=T)
        changed, after, calls = changed + step.changed, step.next, calls + 1
    assert changed == 1500
    assert calls == (1 if isinstance(store, MemoryStore) else 2)
    again = await store.operate_slice("sim", ALL, Wish.CANCEL, now=T)
    assert again.changed == 0


async def test_every_second_element(store: Store) -> None:
    await store.submit([array(10)], now=T)
    await store.operate_slice("sim", Slice(begin=1, end=8, step=2), Wish.HOLD, now=T)
    assert [one.spec.index for one in await claim(store)] == [0, 2, 4, 6, 8, 9]
    await store.operate_slice("sim", Slice(begin=0, end=10), Wish.RELEASE, now=T)
    assert [one.spec.index for one in await claim(store)] == [1, 3, 5, 7]


async def test_failed_elements_alone_are_tried_once_more(store: Store) -> None:
    await store.submit([array(3)], now=T)
    given = await claim(store)
    for one, outcome in zip(given, (OK, BAD, OK), strict=True):
        await store.finish(one.spec.id, one.attempt, outcome, now=T)
    for one in given:
        await store.publish(one.spec.id, now=T)
    found = await store.array("sim")
    assert found is not None
    assert (found.state, found.record.published) == (State.FAILED, True)
    step = await store.operate_slice("sim", ALL, Wish.RETRY, states=(State.FAILED,), now=T)
    assert (step.changed, step.same) == (1, 2)
    assert [one.spec.index for one in await claim(store)] == [1]


@pytest.mark.parametrize("names", [("sim", "sim.3"), ("sim.3", "sim"), ("sim.0", "sim"), ("sim", "sim.4")])
async def test_no_two_jobs_can_have_one_id(store: Store, names: tuple[str, str]) -> None:
    def made(name: str) -> JobSpec:
        return array(5, name) if name == "sim" else JobSpec(id=name, command="c")

    with pytest.raises(JobExists):
        await store.submit([made(name) for name in names], now=T)
    await store.submit([made(names[0])], now=T)
    with pytest.raises(JobExists):
        await store.submit([made(names[1])], now=T)
    await store.submit([made(names[0])], now=T)  # the same once more changes nothing
    assert sum((await store.counts()).values()) == (5 if names[0] == "sim" else 1)


async def test_names_beside_the_elements_are_free(store: Store) -> None:
    others = [
        JobSpec(id=name, command="c") for name in ("sim.5", "sim.03", "sim.x", "sim.3.a", "sim.9999999")
    ]
    await store.submit([array(5), *others], now=T)
    assert sum((await store.counts()).values()) == 10


async def test_elements_count_for_what_an_owner_may_have_and_cannot_be_waited_for(store: Store) -> None:
    with pytest.raises(TooManyJobs):
        await store.submit([array(11, owner="ann")], most=10, now=T)
    await store.submit([array(10, owner="ann")], most=10, now=T)
    with pytest.raises(UnknownJob, match=r"an element of an array.*wait for the whole array, sim"):
        await store.submit([JobSpec(id="j", command="c", after=("sim.3",))], now=T)


async def test_with_its_last_element_an_array_is_forgotten(store: Store) -> None:
    await store.submit([array(3)], now=T)
    (one,) = await claim(store, 1)
    await store.finish(one.spec.id, one.attempt, OK, now=T)
    await store.publish("sim.0", now=T)
    await store.operate_slice("sim", ALL, Wish.CANCEL, now=T)
    ended = [await store.ended(state, T + 1) for state in (State.DONE, State.CANCELLED)]
    for record in [record for records in ended for record in records]:
        assert await store.array("sim") is not None
        assert await store.remove(record.spec.id)
    assert await store.array("sim") is None
    assert await store.get("sim.1") is None
    assert await store.counts() == dict.fromkeys(State, 0)


async def test_records_tell_of_an_array_once(store: Store) -> None:
    await store.submit([array(4, tags=("x",)), JobSpec(id="j", command="c")], now=T)
    await claim(store, 1)
    found: list[JobRecord] = []
    after: str | None = None
    while after is None or after:
        part = await store.records(after or "", words=('"x"',))
        found, after = [*found, *part.rows], part.next
    assert {(one.spec.id, one.state) for one in found} == {("sim", State.RUNNING), ("sim.0", State.RUNNING)}


async def test_what_is_told_of_an_element_is_what_its_array_tells_of_it_too(store: Store) -> None:
    await store.submit(
        [JobSpec(id="first", command="c"), array(9, after=("first",)), JobSpec(id="sim.x", command="c")],
        now=T,
    )
    await end_all(store)
    await store.operate_slice("sim", Slice(begin=2, end=8, step=3), Wish.HOLD, reason="why", now=T)
    await store.cancel("sim.4", now=T)
    told = {
        index: [(one.kind, one.text) for one in (await store.told(f"sim.{index}")).events]
        for index in (3, 4, 5)
    }
    common = [(EventKind.SUBMITTED, "[0:9]"), (EventKind.RELEASED, "[0:9] job first is done")]
    assert told == {
        3: common,
        4: [*common, (EventKind.CANCELLED, "")],
        5: [*common, (EventKind.HELD, "[2:8:3] why")],
    }
    assert {one.job for one in (await store.told("sim.x")).events} == {"sim.x"}


async def test_in_a_list_of_wholes_an_array_is_one_row_and_what_is_behind_it_is_there(
    store: MemoryStore | RedisStore,
) -> None:
    size = 1000 if isinstance(store, MemoryStore) else 100_000
    await store.submit(
        [array(size, owner="ann"), array(3, "few", owner="ann"), JobSpec(id="j", command="c", owner="ann")],
        now=T,
    )
    (given,) = await claim(store, 1)
    await store.hand_back(given.spec.id, given.attempt, cause=Cause.INFRA_UNDELIVERED, now=T)
    await store.operate_slice("sim", Slice(begin=5, end=10, step=2), Wish.HOLD, now=T)
    before = store.round_trips
    page = await store.page(State.WAITING, whole=True)
    assert [line.job for line in page.rows] == ["sim.0", "few.0", "j"]
    assert (page.total, page.next) == (size + 1, "")
    page = await store.page(State.WAITING, limit=1, whole=True)
    page = await store.page(State.WAITING, limit=1, after=page.next, whole=True)
    assert ([line.job for line in page.rows], page.next) == (["few.0"], "2")
    assert store.round_trips - before <= 4  # with the script's


@pytest.mark.parametrize("state", [State.HELD, State.BLOCKED, State.CANCELLED, State.RUNNING])
async def test_pages_of_wholes_lead_behind_the_elements_of_an_array(store: Store, state: State) -> None:
    """Newest first, but for those that run."""
    names = ("a", "sim", "z")
    await store.submit([JobSpec(id="first", command="c", priority=-9)], now=T)
    waits = ("first",) if state is State.BLOCKED else ()
    for at, name in enumerate(names):
        size = 40 if name == "sim" else 0
        await store.submit([JobSpec(id=name, command="c", array=size, after=waits)], now=T + at)
        if state is State.RUNNING:
            await store.claim(
                agent="a@x", request=name, dispatch_limit=60, count=size or 1, lease=60, now=T + at
            )
        elif name == "sim" and state is not State.BLOCKED:
            wish = Wish.HOLD if state is State.HELD else Wish.CANCEL
            for step in (2, 3, 1):  # in many pieces
                await store.operate_slice(name, Slice(begin=0, end=40, step=step), wish, now=T + at)
        elif state is State.HELD:
            await store.hold(name, now=T + at)
        elif state is State.CANCELLED:
            await store.cancel(name, now=T + at)
    order = names if state is State.RUNNING else names[::-1]
    for limit in (1, 2, 5):
        found, place, calls = list[str](), "", 0
        while calls == 0 or place:
            page = await store.page(state, after=place, limit=limit, whole=True)
            found += [line.job.partition(".")[0] for line in page.rows]
            place, calls = page.next, calls + 1
            assert page.total == 42
        assert tuple(found) == order
        assert calls == -(-3 // limit)
