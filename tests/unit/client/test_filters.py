"""Which jobs are meant, and the first ones of a list: bounded."""

from __future__ import annotations

from typing import Any

import pytest

from copilot.client import listing
from copilot.client.filters import Filter, every, read_where
from copilot.client.listing import first
from copilot.errors import BadRequirements
from copilot.job import JobSpec, State
from copilot.store.memory import MemoryStore


def spec(number: int, **fields: Any) -> JobSpec:
    return JobSpec(**({"id": f"job-{number}", "command": "run.sh", "owner": "alice"} | fields))


@pytest.fixture
async def store() -> MemoryStore:
    made = MemoryStore()
    await made.submit(
        [
            spec(1, priority=5, tags=("night", "x")),
            spec(2, owner="bob", project="theory", memory=2**31),
            spec(3, priority=-1, tags=("night",)),
            spec(4, owner="bob"),
        ]
    )
    await made.claim(agent="a@x.org", request="r", dispatch_limit=60)  # job-1
    return made


async def ids(store: MemoryStore, **wanted: Any) -> list[str]:
    if "where" in wanted:
        wanted["where"] = read_where(wanted["where"])
    return sorted([job.spec.id async for job in every(store, Filter(**wanted))])


async def test_jobs_are_meant_by_what_is_known_of_them(store: MemoryStore) -> None:
    assert await ids(store, owners=("bob",)) == ["job-2", "job-4"]
    assert await ids(store, owners=("bob", "alice"), states=(State.WAITING,)) == ["job-2", "job-3", "job-4"]
    assert await ids(store, tags=("night", "x")) == ["job-1"]
    assert await ids(store, projects=("theory",)) == ["job-2"]
    assert await ids(store, agents=("a@x.org",)) == ["job-1"]
    assert await ids(store, where='Priority > 3 && Owner == "alice"') == ["job-1"]
    assert await ids(store, where="Memory > 0") == ["job-2"]
    assert await ids(store, where='member("night", Tags) && State == "waiting"') == ["job-3"]
    assert await ids(store, where="Age < 100") == ["job-1", "job-2", "job-3", "job-4"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Priority >", "expression over jobs 'Priority >': expected a value"),
        ("Prioritee > 3", "'prioritee' is nothing that jobs have; did you mean Priority?"),
        ("1 > 0", "expected at least one attribute of a job, like Priority"),
        ("exec(Owner)", "character 1, at 'exec(Owner)': expected one of the functions"),
    ],
)
def test_an_expression_that_cannot_be_meant_is_refused_with_the_place(text: str, said: str) -> None:
    with pytest.raises(BadRequirements) as caught:
        read_where(text)
    assert said in str(caught.value)
    assert "host" not in str(caught.value)


async def test_a_list_begins_with_what_runs_and_says_how_much_is_behind_it(store: MemoryStore) -> None:
    found = await first(store, Filter(), limit=2)
    assert [row.line.job for row in found.rows] == ["job-1", "job-2"]
    assert (found.more, found.counts[State.WAITING]) == (2, 3)
    found = await first(store, Filter(owners=("bob",)), limit=50)
    assert [row.line.job for row in found.rows] == ["job-2", "job-4"]
    assert (found.more, found.cut) == (None, False)
    assert [row.line.job for row in (await first(store, Filter(tags=("night",)))).rows] == ["job-1", "job-3"]


async def test_a_list_looks_at_a_bounded_number_of_jobs(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listing, "PAGE", 1)
    monkeypatch.setattr(listing, "MOST_PAGES", 2)
    found = await first(store, Filter(tags=("nobody",)))
    assert (found.rows, found.cut) == ((), True)
