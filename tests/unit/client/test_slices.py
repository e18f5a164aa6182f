"""Wishes for slices, arrays that are waited for, and arrays in lists, over the store in memory."""

from __future__ import annotations

import asyncio

from copilot.cli.joblist import facts
from copilot.client.filters import Filter
from copilot.client.listing import elements, first
from copilot.client.operating import Verb
from copilot.client.selection import Part, read_selection, resolve
from copilot.client.slices import PartAnswer, array_over, counted, operate_part
from copilot.job import Cause, JobSpec, Outcome, State
from copilot.store.arrays import ArrayRecord, Slice, Wish
from copilot.store.base import Claimed
from copilot.store.memory import MemoryStore

GOOD = Outcome(cause=Cause.OK, exit_code=0)


async def of(text: str, store: MemoryStore) -> Part:
    part = await resolve(store, read_selection(text))
    assert isinstance(part, Part)
    return part


async def claim(store: MemoryStore, number: int) -> list[Claimed]:
    return [
        item
        for at in range(number)
        for item in await store.claim(agent="a@x.org", request=f"r{at}", dispatch_limit=60)
    ]


def array(size: int, name: str = "sim") -> JobSpec:
    return JobSpec(id=name, command="x.sh", array=size)


def test_wishes_for_slices_say_how_many_were_changed() -> None:
    async def go() -> list[PartAnswer]:
        store = MemoryStore()
        await store.submit([array(10)])
        await claim(store, 1)
        answers = [await operate_part(store, Verb.HOLD, await of("sim[:4]", store))]
        answers.append(await operate_part(store, Verb.HOLD, await of("sim[:1]", store)))
        answers.append(await operate_part(store, Verb.CANCEL, await of("sim[2:]", store)))
        answers.append(await operate_part(store, Verb.RETRY, await of("sim[2:4]", store)))
        return answers

    first_, none, cancelled, retried = asyncio.run(go())
    assert (first_.ok, first_.changed, first_.same) == (True, 3, 1)
    assert first_.text == "3 of 4 elements held; release lets them go on; 1 element is as it was"
    assert (none.ok, none.changed) == (False, 0)
    assert (cancelled.job, cancelled.changed) == ("sim[2:]", 8)
    assert (retried.ok, retried.changed) == (True, 2)


def test_an_array_is_one_line_of_a_list_and_its_elements_can_be_seen() -> None:
    async def go() -> None:
        store = MemoryStore()
        await store.submit(
            [JobSpec(id="before", command="x.sh"), array(700), JobSpec(id="last", command="x.sh")]
        )
        await claim(store, 2)
        listing = await first(store, Filter(), limit=3)
        rows = [(row.line.job, row.array is not None) for row in listing.rows]
        assert rows[:2] == [("before", False), ("sim.0", True)]
        assert listing.rows[1].array is not None
        assert counted(listing.rows[1].array.counts) == "1 running, 699 waiting"
        each = await first(store, Filter(), limit=4, whole=False)
        assert [row.line.job for row in each.rows] == ["before", "sim.0", "sim.1", "sim.2"]
        assert each.more == 698
        named = await elements(store, ["sim.699", "last", "unknown", "sim"])
        assert [row.line.job for row in named.rows] == ["sim.699", "last", "sim"]
        assert facts(named.rows[0].record)["state"] == "waiting"  # type: ignore[arg-type]
        held = await first(store, Filter(states=(State.HELD,)))
        assert (held.rows, held.more) == ((), 0)

    asyncio.run(go())


def test_what_stands_behind_the_elements_of_arrays_is_in_the_list() -> None:
    async def go() -> None:
        store = MemoryStore()
        await store.submit([array(1500, f"sim-{at}") for at in range(3)])
        await store.submit([JobSpec(id="behind", command="x.sh", tags=("x",))])
        rows = ["sim-0.0", "sim-1.0", "sim-2.0", "behind"]
        whole = await first(store, Filter())
        assert ([row.line.job for row in whole.rows], whole.more, whole.cut) == (rows, 0, False)
        tagged = await first(store, Filter(tags=("x",)))
        assert ([row.line.job for row in tagged.rows], tagged.cut) == (["behind"], False)
        assert (await first(store, Filter(owners=("nobody",)))).cut is False
        for at in range(3):
            await store.operate_slice(f"sim-{at}", Slice(begin=0, end=1500, step=2), Wish.HOLD)
        await store.hold("behind")
        found = await first(store, Filter(states=(State.HELD,)), limit=2)
        assert [row.line.job for row in found.rows] == ["behind", "sim-2.1498"]
        assert (found.more, found.cut) == (1500, True)

    asyncio.run(go())


def test_an_array_is_over_when_all_its_elements_are() -> None:
    async def go() -> tuple[ArrayRecord | None, list[str]]:
        store, told = MemoryStore(), list[str]()
        await store.submit([array(2)])
        given = await claim(store, 2)

        def hear(record: ArrayRecord) -> None:
            told.append(counted(record.counts))

        waiting = asyncio.create_task(array_over(store, "sim", hear, poll=0.001))
        for item in given:
            while len(told) < 1:
                await asyncio.sleep(0)
            await store.finish(item.spec.id, item.attempt, GOOD)
        assert await array_over(store, "none") is None
        return await waiting, told

    record, told = asyncio.run(go())
    assert record is not None
    assert (record.state, told[0], told[-1]) == (State.DONE, "2 running", "2 done")
