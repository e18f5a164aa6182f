"""Slices of long arrays, over every version of the queue: each wish reaches just the elements that it means, whatever pieces the array is in."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from copilot.job import JobSpec, State
from copilot.store.arrays import Operated, Slice, Wish
from copilot.store.base import Store
from copilot.store.memory import MemoryStore
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures
from tests.contract.test_arrays import T, claim

store, shared_server = store_fixtures.store, store_fixtures.shared_server

LONG, SHORT = 3001, 301  # more than go in a call; for what is no server
CLAIMED = 7
BEHIND = {State.WAITING: "behind", State.HELD: "held", State.CANCELLED: "gone"}
# Where elements go that no agent ever had.
GOALS = {
    Wish.HOLD: {State.WAITING: State.HELD},
    Wish.RELEASE: {State.HELD: State.WAITING},
    Wish.CANCEL: {State.WAITING: State.CANCELLED, State.HELD: State.CANCELLED},
    Wish.RETRY: {State.CANCELLED: State.WAITING},
}


def steps(size: int) -> Iterator[tuple[Wish, Slice, tuple[State, ...]]]:
    """Wishes one after the other, the last one makes few pieces of many."""
    yield Wish.HOLD, Slice(begin=10, end=size, step=2), ()
    yield Wish.CANCEL, Slice(begin=CLAIMED, end=size - 101, step=3), (State.HELD,)
    yield Wish.CANCEL, Slice(begin=size // 2, end=size // 2 + 1), ()
    yield Wish.RETRY, Slice(begin=CLAIMED, end=size, step=7), ()
    yield Wish.HOLD, Slice(begin=size // 3, end=size - 1), ()
    yield Wish.CANCEL, Slice(begin=CLAIMED, end=size, step=2), ()
    yield Wish.RETRY, Slice(begin=100, end=size), ()
    yield Wish.RELEASE, Slice(begin=CLAIMED, end=size), ()


async def wish(store: Store, part: Slice, verb: Wish, states: tuple[State, ...]) -> list[Operated]:
    """All calls that it takes."""
    calls: list[Operated] = []
    while not calls or calls[-1].next:
        after = calls[-1].next if calls else ""
        calls.append(await store.operate_slice("sim", part, verb, states=states, after=after, now=T))
    return calls


async def in_state(store: Store, state: State) -> set[int]:
    """The elements that no agent ever had, of those states that have the newest first."""
    found, place, begun = set[int](), "", False
    while place or not begun:
        page = await store.page(state, after=place, limit=1000)
        found |= {int(line.job.removeprefix("sim.")) for line in page.rows if line.job not in BEHIND.values()}
        place, begun = page.next, True
    return found


async def test_each_wish_reaches_the_elements_that_it_means(
    store: MemoryStore | RedisStore, request: pytest.FixtureRequest
) -> None:
    size = LONG if request.node.callspec.params["store"] in store_fixtures.REAL_SERVERS else SHORT
    await store.submit([JobSpec(id=name, command="c", priority=-1) for name in ("held", "gone")], now=T)
    await store.hold("held", now=T - 1)
    await store.cancel("gone", now=T - 1)
    await store.submit([JobSpec(id="sim", command="c", array=size), JobSpec(id="behind", command="c")], now=T)
    assert len(await claim(store, CLAIMED)) == CLAIMED
    expected = dict.fromkeys(range(CLAIMED, size), State.WAITING)
    for verb, part, states in steps(size):
        meant = [at for at in range(part.begin, min(part.end, size), part.step) if at in expected]
        moved = {
            at: GOALS[verb][expected[at]]
            for at in meant
            if (not states or expected[at] in states) and expected[at] in GOALS[verb]
        }
        calls = await wish(store, part, verb, states)
        assert sum(call.changed for call in calls) == len(moved)
        assert sum(call.same for call in calls) == len(meant) - len(moved)
        expected |= moved
        for state in (State.HELD, State.CANCELLED):
            assert await in_state(store, state) == {at for at, one in expected.items() if one is state}
        for state, behind in BEHIND.items():
            rows = [line.job.partition(".")[0] for line in (await store.page(state, whole=True)).rows]
            assert rows == (["sim", behind] if state in expected.values() else [behind])
        counts = await store.counts()
        assert counts[State.WAITING] == sum(one is State.WAITING for one in expected.values()) + 1
        assert await store.waiting() == counts[State.WAITING]
        assert len(calls) <= 2 + size // 500  # as many pieces are in a call
        if isinstance(store, RedisStore):  # no more parts than there have to be
            parts = await store.raw("ZCARD", store._keys.array("sim").replace("array:sim", "parts:sim"))
            assert parts == len(list(itertools.groupby(expected.values())))
    given = [one.spec.index for _ in range(3) for one in await claim(store)]
    assert given[:-1] == [at for at, one in expected.items() if one is State.WAITING]
