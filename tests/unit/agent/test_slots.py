"""Which job runs and which waits; how many more may wait."""

from __future__ import annotations

from copilot.agent.capacity import Capacity
from copilot.agent.effects import Assignment
from copilot.agent.slots import LONGEST_WAIT, MOST_AHEAD, SHORT, Slots
from copilot.protocol.commands import Job


def assignment(name: str) -> Assignment:
    return Assignment(job=Job(id=name, command="run.sh", attempt=1), manager="jm@x", claim=None)


def filled(*names: str, count: int = 2) -> Slots:
    slots = Slots(Capacity.plain(count))
    for name in names:
        slots.add(assignment(name))
    return slots


def test_as_many_begin_as_there_are_slots_and_the_rest_in_its_order() -> None:
    slots = filled("a", "b", "c", "d")
    assert [one.id for one, _ in slots.begin(0.0)] == ["a", "b"]
    assert slots.begin(0.0) == []
    assert slots.waits("c")
    assert not slots.waits("a")
    slots.ended("b", 1.0)
    assert [one.id for one, _ in slots.begin(1.0)] == ["c"]
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


def worked(slots: Slots, took: float, late: float, *, jobs: int = 20) -> None:
    """One job after the other, each `late` s after the end of the one before."""
    now = 100.0
    for number in range(jobs):
        slots.add(assignment(str(number)))
        slots.begin(now)
        slots.ended(str(number), now + took)
        now += took + late


def test_more_are_taken_ahead_while_slots_stand_empty_between_short_jobs() -> None:
    slots = Slots(Capacity.plain(2))
    worked(slots, 0.001, 0.01)
    assert slots.ahead == 2 * MOST_AHEAD
    assert slots.bearable(100.0) >= slots.ahead


def test_one_is_enough_where_the_next_job_is_always_here() -> None:
    slots = filled(*"abcdefgh", count=1)
    for number, name in enumerate("abcdefg"):
        slots.begin(number / 100)
        slots.ended(name, number / 100 + 0.01)
    assert slots.ahead == 1


def test_a_queue_that_was_empty_makes_nobody_take_more() -> None:
    slots = Slots(Capacity.plain(2))
    worked(slots, 0.001, 10.0)
    assert slots.ahead == 2


def test_never_so_many_that_the_last_one_waits_for_long() -> None:
    slots = Slots(Capacity.plain(1))
    worked(slots, LONGEST_WAIT / 2, 0.01)
    assert slots.ahead == 2
    worked(slots, 0.9, 0.01)
    assert slots.ahead == 1


def test_after_a_long_job_the_search_for_the_right_number_begins_anew() -> None:
    slots = Slots(Capacity.plain(1))
    worked(slots, 0.001, 0.01)
    worked(slots, 60.0, 0.0, jobs=1)
    assert slots.ahead == 0
    worked(slots, 0.0, 0.0, jobs=1)
    assert slots.ahead == 1
