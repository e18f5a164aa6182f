"""Goals: all are judged alike, and one that was not measured is not met."""

from __future__ import annotations

import pytest

from bench.goals import GOALS, Goal, Sense, judged
from bench.row import Row
from bench.run import PARTS


def goal(sense: Sense, bound: float | str | None) -> Goal:
    return Goal(part="p", name="figure", unit="ms", sense=sense, bound=bound)


def row(value: float | None, **peers: float) -> Row:
    return Row(name="figure", unit="ms", value=value, peers=peers)


@pytest.mark.parametrize(
    ("sense", "value", "met"),
    [
        (Sense.AT_LEAST, 5.0, True),
        (Sense.AT_LEAST, 4.9, False),
        (Sense.AT_MOST, 5.0, True),
        (Sense.AT_MOST, 5.1, False),
        (Sense.ABOVE, 5.0, False),
        (Sense.ABOVE, 5.1, True),
        (Sense.AT_MOST, None, False),
    ],
)
def test_a_goal_is_met_on_its_good_side_alone(sense: Sense, value: float | None, met: bool) -> None:
    found = goal(sense, 5.0).judged(row(value), {})
    assert (found.met, found.goal) == (met, f"{sense.value} 5")


def test_ahead_of_every_peer_is_ahead_of_the_best_one() -> None:
    ahead = goal(Sense.ABOVE, None)
    assert ahead.judged(row(10.0, a=9.0, b=3.0), {}).met
    behind = ahead.judged(row(8.0, a=9.0, b=3.0), {})
    assert (behind.met, behind.goal) == (False, "> 9")


def test_without_peers_nobody_is_ahead_of_them() -> None:
    alone = goal(Sense.ABOVE, None).judged(row(10.0), {})
    assert (alone.met, alone.goal) == (False, "> every peer")


def test_what_a_part_does_not_tell_stands_in_the_table_as_not_measured() -> None:
    names = [one.name for one in GOALS if one.part == "agent"]
    told = [Row(name=names[0], unit="MB", value=30.0), Row(name="idle", unit="MB", value=20.0)]
    found = {one.name: one for one in judged("agent", told, "no agent")}
    assert list(found) == [*names, "idle"]
    assert found[names[0]].met
    assert (found[names[1]].met, found[names[1]].note) == (False, "not measured: no agent")
    assert not found["idle"].goal


def test_a_goal_that_a_part_sets_itself_stays() -> None:
    own = Row(name="extra", unit="s", value=1.0, goal="3", met=True)
    assert own in judged("agent", [own], "")


def test_a_row_may_have_to_be_better_than_another_one() -> None:
    grows = goal(Sense.ABOVE, "with one manager")
    assert grows.judged(row(10.0), {"with one manager": 9.0}).met
    assert not grows.judged(row(9.0), {"with one manager": 9.0}).met
    unknown = grows.judged(row(10.0), {})
    assert (unknown.met, unknown.goal) == (False, "> with one manager")


def test_what_a_part_has_set_itself_stands_where_only_it_can_know() -> None:
    own = Row(name="figure", unit="agents", value=500.0, goal="500", met=True)
    assert goal(Sense.AT_LEAST, None).judged(own, {}) == own


def test_a_goal_is_for_the_row_of_its_name_whatever_follows_a_comma() -> None:
    one = goal(Sense.AT_MOST, 1.0)
    assert one.is_for(Row(name="figure, counted for 20 s", unit="ms", value=1.0))
    assert not one.is_for(Row(name="figure to another", unit="ms", value=1.0))


def test_each_goal_belongs_to_one_part_and_has_a_name_of_its_own() -> None:
    assert {one.part for one in GOALS} == {part.name for part in PARTS}
    assert len({one.name for one in GOALS}) == len(GOALS)
