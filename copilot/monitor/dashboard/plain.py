"""The board's data as what JSON can say. Names stay as they are: whoever shows them takes them for text."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from copilot.job import JobSpec, Outcome
from copilot.monitor.board import JobView

_encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


def as_json(value: object) -> bytes:
    """ASCII JSON of data classes, mappings and sequences; a number that is none (NaN, infinity) becomes null."""
    return _encode(_plain(value)).encode()


def job_facts(view: JobView) -> dict[str, Any]:
    """What the page tells of a job. Its environment stays out: people put passwords there."""
    record, spec = view.record, view.record.spec
    return {
        "id": spec.id,
        "state": record.state,
        "cancelling": view.cancelling,
        "why": None if view.why is None else _plain(view.why),
        "owner": spec.owner,
        "command": spec.command,
        "arguments": spec.arguments,
        "requirements": spec.requirements,
        "rank": spec.rank,
        "priority": spec.priority,
        "packages": spec.packages,
        "exclusive": spec.exclusive,
        "max_run_time": spec.max_run_time,
        "inputs": len(spec.inputs),
        "inputs_size": sum(item.size for item in spec.inputs),
        "attempt": record.attempt,
        "attempts_used": record.attempts_used,
        "max_attempts": _allowed(spec),
        "agent": record.agent,
        "submitted": record.submitted,
        "claimed": record.claimed,
        "finished": record.finished,
        "published": record.published,
        "outcome": _outcome(record.outcome),
        "attempts": [
            {
                "attempt": one.attempt,
                "agent": one.agent,
                "claimed": one.claimed,
                "ended": one.ended,
                "kind": one.kind,
                "cause": one.cause,
                "outcome": _outcome(one.outcome),
            }
            for one in view.attempts
        ],
        "events": view.events,
    }


def _allowed(spec: JobSpec) -> int:
    return max(spec.max_attempts, spec.max_user_attempts)


def _outcome(outcome: Outcome | None) -> dict[str, Any] | None:
    if outcome is None:
        return None
    return {
        "cause": outcome.cause,
        "exit_code": outcome.exit_code,
        "validate_exit_code": outcome.validate_exit_code,
        "reason": outcome.reason,
        "host": outcome.host,
        "output_size": None if outcome.output is None else outcome.output.size,
        "tail": outcome.tail,
    }


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: _plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
