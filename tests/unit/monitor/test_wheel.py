"""Slices of time: each at its place, the newest in the place of the oldest."""

from __future__ import annotations

from copilot.monitor.wheel import Wheel

T = 1_700_000_000.0


def test_a_place_is_emptied_for_what_is_newer_and_not_for_what_is_older() -> None:
    cleared: list[int] = []
    wheel = Wheel(10.0, 6, cleared.append)
    first = wheel.place(T)
    assert first is not None
    assert (wheel.place(T + 9.9), wheel.place(T + 10)) == (first, (first + 1) % 6)
    assert cleared == [first, (first + 1) % 6]
    assert wheel.place(T + 60) == first
    assert wheel.place(T) is None  # its place is that of a minute later by now
    assert cleared.count(first) == 2


def test_it_knows_which_slice_stands_where() -> None:
    wheel = Wheel(10.0, 6, lambda _: None)
    wheel.place(T + 60)
    assert wheel.has(wheel.number(T + 60)) == wheel.place(T + 60)
    assert wheel.has(wheel.number(T)) is None
    assert wheel.has(wheel.number(T + 10)) is None


def test_kept_are_those_that_are_young_enough_and_no_later_than_the_last() -> None:
    wheel = Wheel(1.0, 10, lambda _: None)
    places = [wheel.place(T + second) for second in range(10)]
    assert set(wheel.kept(T + 9)) == set(places)
    assert set(wheel.kept(T + 12)) == set(places[3:])
    assert set(wheel.kept(T + 9, last=wheel.number(T + 8))) == set(places[:9])
    assert wheel.kept(T + 99) == []
