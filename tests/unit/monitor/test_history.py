"""Time series: each value at its place, nothing where nothing is known, never more memory."""

from __future__ import annotations

import pytest

from copilot.monitor.history import MOST_STEPS, Series

T = 1_700_000_040.0  # the begin of a minute and of five


@pytest.fixture
def series() -> Series:
    """One that has seen all events from T to T + 100,000."""
    series = Series()
    series.known = (T, T + 100_000)
    return series


def test_levels_stand_at_their_seconds(series: Series) -> None:
    for second in range(60):
        series.put(T + second, {"waiting": float(second), "wait_p50": None})
    found = series.read(60, T + 59.5)
    assert found.step == 1
    assert found.times == tuple(T + second for second in range(60))
    assert found.series["waiting"] == tuple(map(float, range(60)))
    assert set(found.series["wait_p50"]) == {None}


def test_rates_are_a_second_whatever_the_step(series: Series) -> None:
    for second in range(1200):
        for _ in range(4):
            series.count(T + second, "done")
    assert series.read(600, T + 1199.9).step == 2
    assert set(series.read(600, T + 1199.9).series["done"][:-1]) == {4.0}
    assert series.read(900, T + 1200).step == 60
    assert series.read(900, T + 1200).series["done"][:-1] == (4.0,) * 14


def test_the_rate_of_the_step_that_is_not_over_is_that_of_its_part(series: Series) -> None:
    for second in range(70):
        series.count(T + second, "failed")
    found = series.read(3600, T + 70)
    assert found.series["failed"][-2:] == (1.0, 1.0)


def test_nothing_is_known_of_the_time_before_and_nothing_happened_is_zero(series: Series) -> None:
    found = series.read(60, T + 29.5)
    assert found.series["submitted"] == (None,) * 30 + (0.0,) * 30
    series.known = (T, T + 10)
    assert series.read(60, T + 29.5).series["submitted"] == (None,) * 30 + (0.0,) * 10 + (None,) * 20


def test_an_event_that_is_read_late_stands_at_its_time(series: Series) -> None:
    series.put(T + 50, {"waiting": 1.0})
    series.count(T + 20, "done")
    assert series.read(60, T + 59.5).series["done"][20] == 1.0


def test_what_is_older_than_the_rings_is_gone(series: Series) -> None:
    series.count(T, "done")
    series.count(T + 86400, "done")
    series.count(T, "done")  # its place is another's by now
    assert sum(filter(None, series.read(86400, T + 86400).series["done"])) * 300 == pytest.approx(1, abs=300)


@pytest.mark.parametrize("span", [60, 61, 300, 301, 599, 600, 601, 3600, 7777, 86400])
def test_no_answer_is_longer_than_it_may_be(series: Series, span: float) -> None:
    found = series.read(span, T + 1234.5)
    assert len(found.times) <= MOST_STEPS
    assert found.step * len(found.times) >= span
    assert {len(values) for values in found.series.values()} == {len(found.times)}


@pytest.mark.parametrize("span", [0, 59, 86401, float("nan")])
def test_other_spans_are_refused(series: Series, span: float) -> None:
    with pytest.raises(ValueError, match="expected 60 to 86400"):
        series.read(span, T)
