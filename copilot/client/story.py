"""A job and what became of each of its attempts, as lines for people and as plain data for programs."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from copilot.client.slices import counted
from copilot.job import Attempt, JobRecord, JobSpec, Outcome, State, one_line, sized
from copilot.records import dataclass
from copilot.store.arrays import ArrayRecord

WIDTH = 11  # of the names
SECRETS_WAIT = "because of its secrets only one that speaks in a sealed session (secure mode v2)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """All that is known of a job. `cancelling`: it runs, and somebody wants it to end; `array`: how its elements stand, if it has some."""

    record: JobRecord
    attempts: tuple[Attempt, ...]
    cancelling: bool = False
    array: ArrayRecord | None = None


def facts(story: Story) -> dict[str, Any]:
    """Plain data, ready for JSON; times in seconds since the epoch."""
    facts = asdict(story.record)
    spec = facts.pop("spec")
    spec["secrets"] = [secret["name"] for secret in spec["secrets"]]
    attempts = [asdict(attempt) for attempt in story.attempts]
    found = {"id": spec["id"], **facts, "cancelling": story.cancelling, "spec": spec, "attempts": attempts}
    if story.array is not None:
        found["counts"] = {state.value: number for state, number in story.array.counts.items()}
    return found


def lines(story: Story) -> Iterator[str]:
    """Text for a terminal: nothing in it moves a cursor, whatever a job or an agent has said."""
    record = story.record
    if story.array is not None:
        yield from _of_array(story.array)
        return
    yield f"job {record.spec.id}: {_state(story)}"
    yield from _rows(_head(record), indent="  ")
    yield f"  {'next':<{WIDTH}}{_next(story)}"
    for attempt in story.attempts:
        yield ""
        yield f"attempt {attempt.attempt}: {attempt.kind}{_cause(attempt.cause, attempt.outcome)}"
        yield from _rows(_told(attempt), indent="  ")
        yield from _tail(attempt.outcome)
    if record.state is State.RUNNING:
        yield ""
        yield f"attempt {record.attempt}: running"
        yield from _rows((("agent", record.agent), ("claimed", when(record.claimed))), indent="  ")


def _of_array(array: ArrayRecord) -> Iterator[str]:
    spec = array.spec
    yield f"array {spec.id}: {array.state}"
    yield from _rows((("elements", f"{spec.array:,}: {counted(array.counts)}"),), indent="  ")
    yield from _rows([row for row in _head(array.record) if row[0] not in _NOT_OF_ARRAYS], indent="  ")
    yield f"  {'next':<{WIDTH}}`copilot jobs list '{spec.id}[:20]'` has elements, `copilot jobs show '{spec.id}[0]'` one of them"


_NOT_OF_ARRAYS = ("output", "attempts", "failures", "reason")


def when(seconds: float | None) -> str:
    """A time since the epoch as people here write it; "" for none."""
    if seconds is None:
        return ""
    return datetime.fromtimestamp(seconds, tz=UTC).astimezone().isoformat(sep=" ", timespec="seconds")


def _state(story: Story) -> str:
    if story.cancelling:
        return "running, to be cancelled"
    record = story.record
    over = record.outcome if record.state.final else None
    return f"{record.state}{'' if over is None else _cause(over.cause, over)}"


def _cause(cause: str, outcome: Outcome | None) -> str:
    return f" ({cause})" if outcome is None else f" ({cause}, exit code {outcome.exit_code})"


def _head(record: JobRecord) -> Sequence[tuple[str, str | None]]:
    spec, failures = record.spec, record.user_failures
    return (
        ("owner", spec.owner),
        ("command", f"{shlex.quote(spec.command)} {spec.arguments}".rstrip()),
        ("project", spec.project),
        ("tags", " ".join(spec.tags)),
        ("priority", str(spec.priority)),
        ("cores", _cores(spec)),
        ("gpus", str(spec.gpus) if spec.gpus else ""),
        ("walltime", "" if spec.max_run_time is None else str(timedelta(seconds=round(spec.max_run_time)))),
        ("secrets", " ".join(secret.name for secret in spec.secrets)),
        ("limits", _limits(spec)),
        ("network", "needed" if spec.network else None),
        ("image", spec.image),
        ("requires", spec.requirements),
        ("rank", spec.rank),
        ("exclusive", "never two attempts at once" if spec.exclusive else None),
        ("after", _waits_for(spec)),
        ("submitted", when(record.submitted)),
        ("ended", when(record.finished)),
        ("reason", record.outcome.reason if record.state.final and record.outcome else ""),
        ("output", _output(record) if record.state.final else ""),
        ("attempts", f"{record.attempts_used} of {spec.max_attempts} used"),
        ("failures", f"{failures} of its own, of {spec.max_user_attempts}" if failures else None),
    )


def _output(record: JobRecord) -> str:
    if not record.published:
        return "not yet with its finisher"
    has_some = record.outcome is not None and record.outcome.output is not None
    return f"stored; `copilot jobs output {record.spec.id}` lists its files" if has_some else ""


def _cores(spec: JobSpec) -> str:
    most = spec.max_cores or spec.cores
    if most > spec.cores:
        return f"{spec.cores} to {most}"
    return str(spec.cores) if spec.cores > 1 else ""


def _waits_for(spec: JobSpec) -> str:
    done, over = " ".join(spec.after), " ".join(spec.after_any)
    return "; ".join(filter(None, (done and f"{done} (done)", over and f"{over} (over)")))


def _next(story: Story) -> str:
    record = story.record
    job = record.spec.id
    over = "nothing" if record.state is State.DONE else f"`copilot jobs retry {job}` runs it once more"
    return {
        State.WAITING: "the first agent that asks gets it, after jobs of higher priority and older ones"
        + (f"; {SECRETS_WAIT}" if record.spec.secrets else ""),
        State.HELD: f"`copilot jobs release {job}` lets it wait again",
        State.BLOCKED: f"it waits in the queue when the jobs that it waits for are done or over; `copilot jobs release {job}` lets it do so now",
        State.RUNNING: "its agent is told to stop it"
        if story.cancelling
        else "its agent reports how it ended",
    }.get(record.state, over if record.published else "a storage manager gives its result to the finisher")


def _told(attempt: Attempt) -> Sequence[tuple[str, str | None]]:
    outcome = attempt.outcome
    took = timedelta(seconds=max(0, round(attempt.ended - attempt.claimed)))
    validation = None if outcome is None else outcome.validate_exit_code
    return (
        ("agent", attempt.agent),
        ("host", "" if outcome is None else outcome.host),
        ("claimed", when(attempt.claimed)),
        ("ended", f"{when(attempt.ended)} (after {took})"),
        ("validation", "" if validation is None else f"exit code {validation}"),
        ("reason", "" if outcome is None else outcome.reason),
        ("used", "" if outcome is None else _used(outcome)),
        ("sandbox", "" if outcome is None else outcome.sandbox),
    )


def _limits(spec: JobSpec) -> str:
    return _list(
        ("memory", spec.memory, sized),
        ("CPU time", spec.cpu_time, _seconds),
        ("processes", spec.processes, str),
        ("open files", spec.open_files, str),
        ("file size", spec.file_size, sized),
        ("disk", spec.disk, sized),
    )


def _used(outcome: Outcome) -> str:
    return _list(
        ("CPU time", outcome.cpu_time, _seconds),
        ("memory", outcome.memory, sized),
        ("disk", outcome.disk, sized),
        ("wall time", outcome.wall_time, _seconds),
        ("fetched", outcome.bytes_in or None, sized),
        ("stored", outcome.bytes_out, sized),
    )


def _list(*items: tuple[str, Any, Callable[[Any], str]]) -> str:
    return ", ".join(f"{name} {show(value)}" for name, value, show in items if value is not None)


def _seconds(number: float) -> str:
    return f"{number:g} s"


def _rows(rows: Sequence[tuple[str, str | None]], indent: str) -> Iterator[str]:
    for name, value in rows:
        if value:
            yield f"{indent}{name:<{WIDTH}}{one_line(value)}"


def _tail(outcome: Outcome | None) -> Iterator[str]:
    for number, line in enumerate(outcome.tail.splitlines() if outcome else ()):
        yield f"  {'' if number else 'stderr':<{WIDTH}}| {one_line(line)}"
