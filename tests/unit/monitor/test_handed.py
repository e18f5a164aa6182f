"""What must go again after a break."""

from __future__ import annotations

from copilot.monitor.handed import Handed

LINES = ["one", "two", "three"]  # 4, 8 and 14 bytes with all before them


def handed(*, repeat: float, most: int = 100) -> Handed:
    one = Handed(repeat=repeat, most=most)
    for now, line in enumerate(LINES):
        one.add([line], float(now))
    return one


def test_what_left_in_the_last_seconds_goes_again() -> None:
    one = handed(repeat=1.5)
    one.settle(2.0, 0)
    assert one.take(100) == ["two", "three"]
    assert one.take(100) == []


def test_without_repeating_only_what_has_not_arrived_goes_again() -> None:
    one = handed(repeat=0.0)
    one.settle(100.0, 6)
    assert one.take(100) == ["three"]


def test_a_line_of_which_a_part_has_arrived_goes_again_whole() -> None:
    one = handed(repeat=0.0)
    one.settle(100.0, 7)
    assert one.take(100) == ["two", "three"]


def test_bytes_are_counted_anew_on_each_connection() -> None:
    one = handed(repeat=0.0)
    one.take(0)
    one.add(["four"], 5.0)
    one.settle(5.0, 5)
    assert one.take(100) == ["four"]


def test_what_is_remembered_is_bounded_and_what_goes_again_by_the_room_for_it() -> None:
    one = handed(repeat=60.0, most=2)
    one.settle(2.0, 14)
    assert one.take(1) == ["three"]
