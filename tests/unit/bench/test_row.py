"""The form in which parts of the benchmark tell what they measured."""

from __future__ import annotations

import json

import pytest

from bench.row import Row, row_from_json, score


def test_a_row_survives_its_result_file() -> None:
    row = Row(
        name="n", unit="ms", value=1.5, goal="≤ 5", met=True, rounds=(1.0, 2.0), peers={"p": 3.0}, note="x"
    )
    assert row_from_json(json.loads(json.dumps(row.to_json()))) == row


def test_a_row_needs_no_more_than_name_unit_and_value() -> None:
    assert row_from_json({"name": "n", "unit": "s", "value": None}) == Row(name="n", unit="s", value=None)


def test_a_goal_may_be_a_number_and_words_of_others_are_left_alone() -> None:
    assert row_from_json({"name": "n", "unit": "s", "value": 1, "goal": 3000.0, "cpu": 7}).goal == "3,000"


@pytest.mark.parametrize(
    "found", [{}, {"name": "n", "unit": "s"}, {"name": "n", "unit": "s", "value": "fast"}, []]
)
def test_what_is_no_row_is_refused_and_shown(found: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="is no row"):
        row_from_json(found)


def test_only_rows_with_a_goal_are_counted() -> None:
    rows = [
        Row(name="a", unit="s", value=1, goal="≤ 5", met=True),
        Row(name="b", unit="s", value=9, goal="≤ 5"),
        Row(name="c", unit="s", value=1),
    ]
    assert score(rows) == "met 1 of 2"
