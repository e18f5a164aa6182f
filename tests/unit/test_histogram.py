"""Numbers sorted into a few counters."""

from __future__ import annotations

import pytest

from copilot.histogram import MOMENTS, SPANS, Histogram, Histograms


def test_a_number_counts_where_it_is_not_above_the_limit() -> None:
    histogram = Histogram((1, 2.5, 5))
    for number in (0.5, 1, 1.01, 2.5, 5, 5.01, 1e9):
        histogram.observe(number)
    assert histogram.counts == [2, 2, 1, 2]
    assert histogram.count == 7
    assert histogram.sum == pytest.approx(1e9 + 15.02)


@pytest.mark.parametrize("number", [0.0, -3.0, float("nan")])
def test_a_time_that_clocks_make_negative_counts_as_none(number: float) -> None:
    histogram = Histogram((1, 2.5))
    histogram.observe(number)
    assert (histogram.counts, histogram.sum) == ([1, 0, 0], 0.0)


def test_there_is_one_for_each_word_once_it_is_used() -> None:
    histograms = Histograms((1,))
    histograms["a"].observe(0.5)
    histograms["a"].observe(2)
    assert list(histograms) == ["a"]
    assert histograms["a"].counts == [1, 1]


@pytest.mark.parametrize("limits", [MOMENTS, SPANS])
def test_our_limits_ascend_and_are_few(limits: tuple[float, ...]) -> None:
    assert list(limits) == sorted(set(limits))
    assert len(limits) < 20
