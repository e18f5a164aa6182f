"""Means and extremes of durations, whatever they are."""

from __future__ import annotations

import pytest

from copilot.runtime.durations import SHORTEST, Durations


def of(*seconds: float) -> Durations:
    durations = Durations()
    for one in seconds:
        durations.add(one)
    return durations


def test_both_means_and_both_extremes() -> None:
    durations = of(1.0, 10.0, 100.0)
    assert durations.mean == 37.0
    assert durations.geometric_mean == pytest.approx(10.0)
    assert (durations.shortest, durations.longest) == (1.0, 100.0)


def test_many_long_ones_do_not_overflow_the_geometrical_mean() -> None:
    assert of(*[1e9] * 1000).geometric_mean == pytest.approx(1e9)


def test_one_that_took_no_time_does_not_make_the_geometrical_mean_zero() -> None:
    durations = of(0.0, 1.0)
    assert durations.geometric_mean == pytest.approx(SHORTEST**0.5)
    assert durations.shortest == 0.0


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    assert of(-5.0).mean == 0.0
