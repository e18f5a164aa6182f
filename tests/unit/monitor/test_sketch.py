"""Percentiles over a window: within their error, and only of what is young enough."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.monitor.sketch import GROWTH, SHORTEST, Spans

T = 1_700_000_000.0
SHARES = (0.5, 0.9, 0.99)


@given(st.lists(st.floats(0, 1e7), min_size=1, max_size=200))
def test_a_percentile_is_that_of_the_sorted_list_but_for_its_error(spans: list[float]) -> None:
    sketch = Spans()
    for span in spans:
        sketch.add(T, span)
    ordered = sorted(spans)
    for share, found in zip(SHARES, sketch.quantiles(T, SHARES), strict=True):
        exact = max(ordered[max(0, -int(-share * len(spans) // 1) - 1)], SHORTEST)
        assert found == pytest.approx(exact, rel=(GROWTH - 1) / 2 + 1e-3)
    assert sketch.longest(T) == max(spans)
    assert sketch.count(T) == len(spans)


def test_what_is_older_than_the_window_does_not_count() -> None:
    sketch = Spans(window=600)
    sketch.add(T, 100.0)
    sketch.add(T + 599, 1.0)
    assert sketch.longest(T + 599) == 100.0
    assert sketch.longest(T + 610) == 1.0
    assert sketch.count(T + 1300) == 0
    assert sketch.quantiles(T + 1300, SHARES) == (None, None, None)
    assert sketch.longest(T + 1300) is None


def test_what_comes_too_late_for_its_place_is_left_out() -> None:
    sketch = Spans(window=600)
    sketch.add(T + 600, 1.0)
    sketch.add(T, 100.0)
    assert (sketch.longest(T + 600), sketch.count(T + 600)) == (1.0, 1)


def test_its_memory_does_not_grow_with_what_it_has_seen() -> None:
    sketch, chance = Spans(), random.Random(1)
    for number in range(20_000):
        sketch.add(T + number, chance.expovariate(0.01))
    assert sum(map(len, sketch._slices)) < 60 * 300
