"""Limits and checks that both versions of the queue share."""

from __future__ import annotations

import math
from typing import Any

import pytest

from copilot.errors import JobExists
from copilot.job import JobSpec
from copilot.store import rules


def spec(job: str = "j", **fields: Any) -> JobSpec:
    return JobSpec(**({"id": job, "command": "c"} | fields))


def test_a_batch_keeps_its_order_and_drops_repetitions() -> None:
    batch = rules.check_batch([spec("b"), spec("a"), spec("b")])
    assert list(batch) == ["b", "a"]
    assert batch["a"] == (spec("a"), spec("a").to_json())


def test_a_batch_with_two_jobs_of_one_id_is_refused() -> None:
    with pytest.raises(JobExists, match="job a: another job"):
        rules.check_batch([spec("a"), spec("b"), spec("a", arguments="x")])


@pytest.mark.parametrize("priority", [rules.MAX_PRIORITY, -rules.MAX_PRIORITY])
def test_the_highest_and_lowest_priorities_are_exact_as_a_score(priority: int) -> None:
    assert rules.check_batch([spec(priority=priority)])
    assert float(priority) == priority
    assert float(priority + 1) == priority + 1
    with pytest.raises(ValueError, match="priority"):
        rules.check_batch([spec(priority=priority + (1 if priority > 0 else -1))])


@pytest.mark.parametrize("value", [0, 0.5, 1e9])
def test_a_length_of_time_is_returned_as_it_is(value: float) -> None:
    assert rules.check_seconds("x", value) == value


@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf, -math.inf])
def test_what_is_no_length_of_time_is_named(value: float) -> None:
    with pytest.raises(ValueError, match=r"block .*: expected seconds"):
        rules.check_seconds("block", value)


@pytest.mark.parametrize("text", ["0", "$", "1700000000000", "1700000000000-0", "1-1"])
def test_places_in_the_event_stream(text: str) -> None:
    assert rules.check_event_id(text) == text


@pytest.mark.parametrize("text", ["", "-", "0-", "0-0\n", "$$", "1e3", "٣", "1-1-1"])
def test_what_is_no_place_in_the_event_stream(text: str) -> None:
    with pytest.raises(ValueError, match="event id"):
        rules.check_event_id(text)
