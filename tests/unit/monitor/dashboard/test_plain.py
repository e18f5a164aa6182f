"""Data as JSON."""

from __future__ import annotations

import json

from copilot.job import State
from copilot.monitor.board import ComponentRow
from copilot.monitor.dashboard.plain import as_json, job_facts
from tests.browser import world


def test_what_json_cannot_say_becomes_null_and_what_it_need_not_stays_ascii() -> None:
    row = ComponentRow(
        name="\u202e<\udc80", heard=1.0, silent=False, values={"a": float("nan"), "b": float("inf"), "c": 0.5}
    )
    text = as_json(row)
    assert text.isascii()
    said = json.loads(text)
    assert said["values"] == {"a": None, "b": None, "c": 0.5}
    assert said["name"] == row.name


def test_a_job_without_an_attempt_has_nothing_to_tell_of_one() -> None:
    view = world.view("new", 0.0, state=State.WAITING)
    record = view.record
    for name in ("claimed", "finished", "outcome"):
        object.__setattr__(record, name, None)
    facts = job_facts(view)
    assert facts["outcome"] is None
    assert "environment" not in facts
    assert json.loads(as_json(facts))["inputs"] == 1
