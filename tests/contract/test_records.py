"""Records of jobs read part by part, over every version of the queue."""

from __future__ import annotations

from typing import Any

import pytest

from copilot.job import State
from copilot.store.base import Store
from tests.contract import store_fixtures
from tests.contract.store_fixtures import spec

shared_server, store = store_fixtures.shared_server, store_fixtures.store


async def found(store: Store, count: int = 1000, **wanted: Any) -> list[str]:
    """All that are meant, in the order of their ids; those that came twice once."""
    jobs, place = set[str](), ""
    while True:
        part = await store.records(place, count, **wanted)
        jobs |= {record.spec.id for record in part.rows}
        if not (place := part.next):
            return sorted(jobs)


async def test_records_are_found_by_state_owner_and_words(store: Store) -> None:
    await store.submit(
        [spec(1, owner="alice", tags=("night", "x")), spec(2, owner="bob", tags=("night",)), spec(3)]
    )
    await store.claim(agent="a@x.org", request="r", dispatch_limit=60)
    assert await found(store) == ["job-1", "job-2", "job-3"]
    assert await found(store, states=[State.RUNNING]) == ["job-1"]
    assert await found(store, states=[State.WAITING, State.HELD]) == ["job-2", "job-3"]
    assert await found(store, owner="bob") == ["job-2"]
    assert await found(store, owner="") == ["job-3"]
    assert await found(store, words=['"night"']) == ["job-1", "job-2"]
    assert await found(store, words=['"night"', '"x"']) == ["job-1"]
    assert await found(store, owner="alice", states=[State.WAITING]) == []


async def test_parts_lead_to_each_other_and_say_how_much_they_looked_at(store: Store) -> None:
    await store.submit([spec(number) for number in range(300)])
    looked_at, place, jobs = 0, "", set[str]()
    while True:
        part = await store.records(place, 50)
        looked_at += part.looked_at
        jobs |= {record.spec.id for record in part.rows}
        if not (place := part.next):
            break
    assert looked_at >= 300
    assert len(jobs) == 300


async def test_a_place_that_nobody_told_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="place 'x'"):
        await store.records("x")


async def test_an_array_is_found_by_the_states_of_its_elements(store: Store) -> None:
    await store.submit([spec(1, array=3)])
    await store.claim(agent="a@x.org", request="r", dispatch_limit=60)
    await store.hold("job-1.2")
    assert await found(store) == ["job-1", "job-1.0"]
    assert await found(store, states=[State.RUNNING]) == ["job-1", "job-1.0"]
    assert await found(store, states=[State.WAITING]) == ["job-1"]
    assert await found(store, states=[State.HELD, State.DONE]) == ["job-1"]
    assert await found(store, states=[State.BLOCKED]) == []
