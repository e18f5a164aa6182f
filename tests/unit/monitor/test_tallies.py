"""Counts of the last seconds or minutes."""

from __future__ import annotations

from copilot.monitor.tallies import MOST_WORDS, OTHERS, Tallies

T = 1_700_000_000.0


def test_only_the_last_slices_count() -> None:
    tallies = Tallies(1.0, 10)
    for second in range(30):
        tallies.add(T + second, "done")
    assert tallies.total(T + 29) == {"done": 10}
    assert tallies.total(T + 29, whole=True) == {"done": 9}
    assert tallies.total(T + 35) == {"done": 4}
    assert tallies.total(T + 99) == {}


def test_what_is_too_old_is_left_out() -> None:
    tallies = Tallies(1.0, 10)
    tallies.add(T + 10, "a")
    tallies.add(T, "b")
    assert tallies.total(T + 10) == {"a": 1}


def test_words_are_bounded() -> None:
    tallies = Tallies(60.0, 2)
    for number in range(MOST_WORDS + 50):
        tallies.add(T, f"w{number}")
    found = tallies.total(T)
    assert (len(found), found[OTHERS]) == (MOST_WORDS + 1, 50)
