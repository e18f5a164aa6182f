"""The table: goal and figure side by side, and the score as its last line."""

from __future__ import annotations

import pytest

from bench.row import Row, number
from bench.table import table


def test_goal_and_figure_stand_in_one_line_and_the_score_in_the_last() -> None:
    rows = [
        Row(name="only informs", unit="MB", value=2),
        Row(name="fast", unit="jobs/s", value=1234.5, goal="≥ 1,000", met=True),
        Row(name="small", unit="MB", value=None, goal="≤ 40", note="not measured: no agent"),
    ]
    lines = table(rows).splitlines()
    assert [line.split()[0] for line in lines[2:5]] == ["fast", "small", "only"]
    assert lines[2].split() == ["fast", "≥", "1,000", "1,234", "jobs/s", "met"]
    assert lines[3].split() == ["small", "≤", "40", "-", "MB", "NOT", "MET"]
    assert "small: not measured: no agent" in lines
    assert lines[-1] == "met 1 of 2"


def test_peers_stand_below_the_fastest_first() -> None:
    row = Row(name="jobs", unit="jobs/s", value=1, goal="> 9", peers={"slow 1": 3, "quick 2 (memory)": 9})
    lines = [line.split(maxsplit=1) for line in table([row]).splitlines()]
    assert lines.index(["9", "quick 2 (memory)"]) < lines.index(["3", "slow 1"])


@pytest.mark.parametrize(
    ("value", "text"), [(0, "0"), (0.2491, "0.249"), (12.34, "12.3"), (99.96, "100"), (20_000, "20,000")]
)
def test_numbers_have_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert number(value) == text
