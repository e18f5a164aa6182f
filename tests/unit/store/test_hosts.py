"""What a manager answers when Redis asks about hosts."""

from __future__ import annotations

import pytest

from copilot.store import hosts, rules
from copilot.store.hosts import ASKED, Hosts, Look

LARGE = "[ Cores = 8; Memory = 9000 ]"


def test_while_nobody_asks_for_anything_nothing_is_read_or_kept() -> None:
    known = Hosts()
    assert known.look("a@x/1", LARGE) == Look()
    assert known._classes == {}


def test_an_answer_says_of_each_group_whether_the_host_matches() -> None:
    answer = Hosts().answer(
        "a@x/1", ["cores memory", LARGE, "7 other.Cores > 4\n12 other.Memory < 1\n3 other.Cores", ""]
    )
    assert (answer.names, answer.verdicts) == ("cores memory", "7+ 12- 3-")


def test_an_answer_says_how_jobs_with_a_rank_rank_the_host() -> None:
    words = [
        "cores memory",
        LARGE,
        "7 other.Cores > 4\n12 other.Memory < 1\n3 other.Cores =!= error",
        "12 other.Memory\n3 0 - other.Cores / 16.0",
    ]
    assert Hosts().answer("a@x/1", words).verdicts == "7+ 12- 3+ 12=9000.0 3=-0.5"


def test_what_an_agent_has_said_is_remembered_until_something_else_is_asked_for() -> None:
    known = Hosts()
    first = known.answer("a@x/1", ["cores", LARGE, "", ""])
    assert known.look("a@x/1", "") == Look(names="cores", host_class=first.host_class)
    assert known.look("b@x/1", LARGE).host_class == first.host_class
    assert known.look("c@x/1", "").host_class == ""
    assert known.answer("c@x/1", ["cores memory", LARGE, "", ""]).host_class != first.host_class
    assert known.look("a@x/1", "") == Look(names="cores memory")


def test_an_agent_without_a_name_is_not_taken_for_another() -> None:
    known = Hosts()
    known.answer("", ["cores", LARGE, "", ""])
    assert known.look("", LARGE).host_class
    assert known.look("", "").host_class == ""


def test_an_agent_that_has_said_nothing_yet_is_asked_for_again() -> None:
    known = Hosts()
    assert known.answer("a@x/1", ["cores", "", "7 other.Cores > 4", ""]).verdicts == "7-"
    assert known.look("a@x/1", "").host_class == ""


def test_no_more_than_some_agents_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "KNOWN", 2)
    known = Hosts()
    for number in range(3):
        known.answer(f"a@x/{number}", ["cores", LARGE, "", ""])
    assert [bool(known.look(f"a@x/{number}", "").host_class) for number in range(3)] == [False, True, True]


def test_the_turns_are_enough_for_all_groups_there_may_be_and_the_last_one_asks_nothing() -> None:
    assert sum(ASKED) > rules.MOST_GROUPS
    assert ASKED[-1] == 0
