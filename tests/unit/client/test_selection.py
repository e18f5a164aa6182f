"""Which elements of an array are meant by what people write."""

from __future__ import annotations

import asyncio

import pytest

from copilot.client.selection import each_job, one_job, read_selection, resolve
from copilot.errors import BadName, UnknownJob
from copilot.job import JobSpec
from copilot.store.memory import MemoryStore

SIZE = 10


def store() -> MemoryStore:
    made = MemoryStore()
    asyncio.run(
        made.submit([JobSpec(id="sim", command="x.sh", array=SIZE), JobSpec(id="one", command="x.sh")])
    )
    return made


@pytest.mark.parametrize(
    "text", ["sim[:]", "sim[3:]", "sim[-3:]", "sim[2:5]", "sim[:-1]", "sim[::2]", "sim[1:9:3]", "sim[8:100]", "sim[5:2]", "sim[20:]"]
)  # fmt: skip
def test_slices_are_those_of_python(text: str) -> None:
    numbers = list(range(SIZE))
    part = read_selection(text).within(SIZE)
    inside = [number for number in numbers if number in part]
    assert inside == eval(text, {"sim": numbers})


@pytest.mark.parametrize(("text", "job"), [("sim[7]", "sim.7"), ("sim.7", "sim.7"), ("sim[-1]", "sim.9"), ("sim", "sim"), ("one", "one"), ("sim[4:5]", "sim.4")])  # fmt: skip
def test_one_job_is_meant(text: str, job: str) -> None:
    assert asyncio.run(one_job(store(), read_selection(text))) == job


@pytest.mark.parametrize("text", ["sim[]", "sim[", "sim]", "[3]", "sim[a]", "sim[1.5]", "sim[1:2:3:4]", "sim[::0]", "sim[::-1]", "sim[1][2]", "sim[99999999]", "../x[1]", "a b", ""])  # fmt: skip
def test_what_is_no_selection_is_refused_in_words(text: str) -> None:
    with pytest.raises(BadName, match="expected"):
        read_selection(text)


def test_elements_that_there_are_not_and_arrays_that_are_none() -> None:
    queue = store()
    with pytest.raises(BadName, match=r"sim\[-11\]: sim has 10 elements: expected -10 to 9"):
        asyncio.run(one_job(queue, read_selection("sim[-11]")))
    with pytest.raises(UnknownJob, match=r"one is no array"):
        asyncio.run(resolve(queue, read_selection("one[:2]")))
    with pytest.raises(BadName, match="10 elements; expected one"):
        asyncio.run(one_job(queue, read_selection("sim[:]")))
    assert asyncio.run(each_job(queue, read_selection("sim[8:]"), most=2)) == ["sim.8", "sim.9"]
    with pytest.raises(BadName, match="3 elements; expected at most 2"):
        asyncio.run(each_job(queue, read_selection("sim[7:]"), most=2))
