"""Means and extremes of durations, whatever they are."""

from __future__ import annotations

import math
from functools import reduce
from operator import add

import pytest

from copilot.runtime.durations import SHORTEST, Durations


def of(*durations: float) -> Durations:
    return reduce(add, map(Durations.of, durations))


def test_both_means_and_both_extremes() -> None:
    durations = of(1.0, 10.0, 100.0)
    assert (durations.count, durations.mean) == (3, 37.0)
    assert durations.geometric_mean == pytest.approx(10.0)
    assert (durations.shortest, durations.longest) == (1.0, 100.0)


def test_many_long_ones_do_not_overflow_the_geometrical_mean() -> None:
    assert of(*[1e12] * 1000).geometric_mean == pytest.approx(1e12)


def test_one_that_took_no_time_does_not_make_the_geometrical_mean_zero() -> None:
    durations = of(0.0, 1000.0)
    assert durations.geometric_mean == pytest.approx(math.sqrt(SHORTEST * 1000.0))
    assert durations.shortest == 0.0


def test_what_was_put_together_before_weighs_as_much_as_it_is_worth() -> None:
    three = Durations.of(2.0, count=3, geometric_mean=1.5, shortest=1.0, longest=4.0)
    together = three + Durations.of(10.0)
    assert (together.count, together.mean, together.longest) == (4, 4.0, 10.0)
    assert together.geometric_mean == pytest.approx((1.5**3 * 10.0) ** 0.25)


@pytest.mark.parametrize(
    "parts",
    [
        {"mean": -1.0},
        {"mean": math.nan},
        {"mean": math.inf},
        {"mean": 1.0, "count": 0},
        {"mean": 1.0, "shortest": 2.0},
        {"mean": 3.0, "longest": 2.0},
        {"mean": 1.0, "geometric_mean": 2.0},
    ],
    ids=str,
)
def test_what_cannot_be_is_refused(parts: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="expected"):
        Durations.of(parts.pop("mean"), **parts)  # type: ignore[arg-type]
