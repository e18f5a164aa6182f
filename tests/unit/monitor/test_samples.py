"""Counting, and putting durations together."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.monitor.samples import Samples, line
from copilot.runtime.durations import LONGEST, MOST, SHORTEST, Durations

PATH = "copilot.jm.job.claim"


def taken(samples: Samples) -> dict[str, float]:
    points = [text.split() for text in samples.take(70)]
    assert all(time == "70" for _, _, time in points)
    assert len({path for path, *_ in points}) == len(points)
    return {path: float(value) for path, value, _ in points}


def test_events_are_counted_until_the_sample_ends() -> None:
    samples = Samples()
    for count in (1, 1, 5, 0):
        samples.event("copilot.a.b", count)
    samples.event("copilot.a.c", 0)
    assert samples.take(70) == ["copilot.a.b 7 70"]
    assert samples.take(80) == []


def test_a_sample_of_durations_says_all_that_the_report_promises() -> None:
    samples = Samples()
    for duration in (1.0, 10.0, 100.0):
        samples.durations(PATH, Durations.of(duration))
    assert taken(samples) == {
        f"{PATH}.avg": 37.0,
        f"{PATH}.gmean": pytest.approx(10.0),
        f"{PATH}.min": 1.0,
        f"{PATH}.max": 100.0,
        f"{PATH}.count": 3,
        f"{PATH}.start": 3,
        f"{PATH}.end": 3,
    }
    assert taken(samples) == {}


def test_who_reports_start_and_end_is_believed() -> None:
    samples = Samples()
    samples.event(f"{PATH}.start", 1)
    samples.durations(PATH, Durations.of(4.0))
    first = taken(samples)
    assert first[f"{PATH}.start"] == 1
    assert f"{PATH}.end" not in first  # an own one will come
    samples.durations(PATH, Durations.of(4.0))
    assert f"{PATH}.start" not in taken(samples)


@given(
    st.lists(st.lists(st.floats(0, 1e12), min_size=1, max_size=5), min_size=1, max_size=5),
)
def test_it_does_not_matter_how_durations_are_put_together(groups: list[list[float]]) -> None:
    def mean(values: list[float]) -> float:
        return math.fsum(values) / len(values)

    def gmean(values: list[float]) -> float:
        return math.exp(mean([math.log(max(value, SHORTEST)) for value in values]))

    apart, together = Samples(), Samples()
    for group in groups:
        for value in group:
            apart.durations(PATH, Durations.of(value))
        together.durations(
            PATH,
            Durations.of(
                mean(group),
                count=len(group),
                geometric_mean=min(gmean(group), mean(group)),
                shortest=min(group),
                longest=max(group),
            ),
        )
    one, other = taken(apart), taken(together)
    assert one == pytest.approx(other, rel=1e-6, abs=2e-3)
    everything = [value for group in groups for value in group]
    assert one[f"{PATH}.avg"] == pytest.approx(mean(everything), rel=1e-6)
    assert one[f"{PATH}.gmean"] == pytest.approx(gmean(everything), rel=1e-6)


def test_nothing_runs_over() -> None:
    samples = Samples()
    for _ in range(3):
        samples.durations(PATH, Durations.of(LONGEST, count=MOST))
    found = taken(samples)
    assert found[f"{PATH}.avg"] == pytest.approx(LONGEST)
    assert found[f"{PATH}.gmean"] == pytest.approx(LONGEST)


def test_a_duration_of_nothing_does_not_make_the_geometrical_mean_nothing() -> None:
    samples = Samples()
    samples.durations(PATH, Durations.of(0.0))
    samples.durations(PATH, Durations.of(1000.0))
    found = taken(samples)
    assert (found[f"{PATH}.min"], found[f"{PATH}.gmean"]) == (0.0, pytest.approx(1.0))


def test_several_without_details_are_as_long_as_their_mean() -> None:
    assert Durations.of(3.0, count=4) == Durations(
        count=4, total=12.0, log_total=4 * math.log(3.0), shortest=3.0, longest=3.0
    )


@pytest.mark.parametrize(
    ("mean", "parts"),
    [
        (math.nan, {}),
        (math.inf, {}),
        (-1.0, {}),
        (2 * LONGEST, {}),
        (1.0, {"count": 0}),
        (1.0, {"count": MOST + 1}),
        (1.0, {"geometric_mean": math.nan}),
        (1.0, {"geometric_mean": 2.0}),
        (1.0, {"shortest": 2.0}),
        (1.0, {"longest": 0.5}),
        (1.0, {"shortest": -0.5}),
    ],
)
def test_what_cannot_be_is_refused(mean: float, parts: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="duration"):
        Durations.of(mean, **parts)  # type: ignore[arg-type]


def test_a_line_is_what_carbon_reads() -> None:
    assert line("copilot.a.b", 0.25, 1313085190) == "copilot.a.b 0.25 1313085190"
    assert float(line("p", 1e-300, 1).split()[1]) == 1e-300
