"""Which job runs and which waits; how many more may wait."""

from __future__ import annotations

from copilot.agent.effects import Assignment
from copilot.agent.slots import SHORT, Slots
from copilot.protocol.commands import Job


def assignment(name: str) -> Assignment:
    return Assignment(job=Job(id=name, command="run.sh", attempt=1), manager="jm@x", claim=None)


def filled(*names: str, count: int = 2) -> Slots:
    slots = Slots(count)
    for name in names:
        slots.add(assignment(name))
    return slots


def test_as_many_begin_as_there_are_slots_and_the_rest_in_its_order() -> None:
    slots = filled("a", "b", "c", "d")
    assert [one.id for one in slots.begin(0.0)] == ["a", "b"]
    assert slots.begin(0.0) == []
    assert slots.waits("c")
    assert not slots.waits("a")
    slots.ended("b", 1.0)
    assert [one.id for one in slots.begin(1.0)] == ["c"]
    assert [one.id for one in slots.waiting] == ["d"]


def test_one_that_waits_may_go_without_having_begun() -> None:
    slots = filled("a", "b", "c")
    slots.begin(0.0)
    slots.drop("c")
    assert slots.waiting == []


def test_jobs_may_wait_only_while_the_last_one_was_short() -> None:
    slots = filled("a", "b")
    assert slots.ahead == 0
    slots.begin(0.0)
    slots.ended("a", SHORT / 2)
    assert slots.ahead == 2
    slots.ended("b", SHORT)
    assert slots.ahead == 0


def test_one_that_never_began_says_nothing_of_how_long_jobs_take() -> None:
    slots = filled("a", "b", "c")
    slots.begin(0.0)
    slots.ended("c", SHORT / 2)
    assert slots.ahead == 0
