"""How jobs, outcomes and events are written in Redis: hash and stream fields to records, and back."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from functools import lru_cache
from typing import Any

from copilot.job import Attempt, Cause, Event, EventKind, JobRecord, JobSpec, Outcome, Output, State
from copilot.store.arrays import ArrayRecord
from copilot.store.trial import Trial

ARRAY = "array"  # before the fields of one, in the answer of find.lua
SPECS_REMEMBERED = 512  # a job's record is read again and again while it is worked on
_OF_OUTCOME = tuple(field.name for field in fields(Outcome) if field.name != "output")
_compact = json.JSONEncoder(separators=(",", ":")).encode

spec_from_json = lru_cache(maxsize=SPECS_REMEMBERED)(JobSpec.from_json)


def outcome_to_json(outcome: Outcome) -> str:
    """An outcome without its output: that has a field of its own, for it is dropped when the job runs again."""
    return _compact({name: getattr(outcome, name) for name in _OF_OUTCOME})


def output_to_json(output: Output | None) -> str:
    """An output, or "" for none."""
    return "" if output is None else _compact({"size": output.size, "sha256": output.sha256})


def record_from_fields(fields: Mapping[str, str]) -> JobRecord:
    """The record that the hash `job:<id>` describes (`keys.FIELDS`)."""
    return JobRecord(
        spec=spec_from_json(fields["spec"]),
        state=State(fields["state"]),
        attempt=int(fields["attempt"]),
        attempts_used=int(fields["attempts_used"]),
        agent=fields.get("agent"),
        submitted=float(fields["submitted"]),
        first_event=fields["first_event"],
        claimed=_time(fields.get("claimed")),
        finished=_time(fields.get("finished")),
        outcome=_outcome(fields.get("outcome"), fields.get("output")),
        published="published" in fields,
        user_failures=int(fields.get("user_failures", 0)),
        cores=int(fields.get("cores", 1)),
    )


def array_from_fields(fields: Mapping[str, str]) -> ArrayRecord:
    """The array that the hash `array:<id>` describes."""
    return ArrayRecord(
        spec=spec_from_json(fields["spec"]),
        counts={state: int(fields.get(f"n:{state}", 0)) for state in State},
        submitted=float(fields["submitted"]),
        first_event=fields["first_event"],
        finished=_time(fields.get("finished")),
        removed=int(fields.get("n:removed", 0)),
        unpublished=int(fields.get("n:unpublished", 0)),
    )


def element_from_fields(
    common: Mapping[str, str], index: int, state: str, since: str, outcome: str
) -> JobRecord:
    """An element that no agent ever had: `common` is the hash of its array, the rest is said by its part in `parts:<id>`."""
    over = State(state).final
    return JobRecord(
        spec=spec_from_json(common["spec"]).element(index),
        state=State(state),
        attempt=0,
        attempts_used=0,
        agent=None,
        submitted=float(common["submitted"]),
        first_event=common["first_event"],
        finished=float(since) if over else None,
        outcome=_outcome(outcome or None, None),
        published=over,
    )


def attempt_from_json(text: str) -> Attempt:
    """An entry of the list `attempts:<id>`."""
    data: dict[str, Any] = json.loads(text)
    return Attempt(
        attempt=data["attempt"],
        agent=data["agent"],
        claimed=float(data["claimed"]),
        ended=float(data["ended"]),
        kind=EventKind(data["kind"]),
        cause=Cause(data["cause"]),
        outcome=None if data["outcome"] is None else _read_outcome(data["outcome"], None),
    )


def event_from_fields(ident: str, fields: Mapping[str, str]) -> Event:
    """An entry of the event stream."""
    kind, text = EventKind(fields["kind"]), fields["text"]
    wait = float(text) if kind is EventKind.CLAIMED and text else None
    return Event(
        id=ident,
        time=float(fields["time"]),
        job=fields["job"],
        kind=kind,
        attempt=int(fields["attempt"]),
        agent=fields["agent"],
        cause=fields["cause"],
        text=text if wait is None else "",
        wait=wait,
    )


def trial_from_line(agent: str, line: str) -> Trial:
    """An entry of the hash `trials`."""
    level, ends, probe, *jobs = line.split()
    job, _, attempt = probe.rpartition(":")
    given = (job, int(attempt)) if job else None
    return Trial(agent=agent, level=int(level), ends=float(ends), probe=given, jobs=tuple(jobs))


def _time(text: str | None) -> float | None:
    return None if text is None else float(text)


def _outcome(text: str | None, output: str | None) -> Outcome | None:
    return None if text is None else _read_outcome(json.loads(text), output)


def _read_outcome(data: dict[str, Any], output: str | None) -> Outcome:
    data = {
        name: value for name, value in data.items() if name in _OF_OUTCOME
    }  # a newer version may say more
    data["cause"] = Cause(data["cause"])
    return Outcome(**data, output=None if output is None else Output(**json.loads(output)))
