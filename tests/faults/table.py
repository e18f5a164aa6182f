"""The table of a campaign, and its last line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import median

from copilot.job import Event, EventKind
from tests.faults.result import Happened, Result

MOST_LINES = 20  # of one kind of wrong


def table(result: Result) -> Iterator[str]:
    """Its lines."""
    plan, kinds = result.plan, Counter(event.kind for event in result.events)
    yield f"seed {plan.seed}, {plan.server}, {plan.managers} managers, {plan.agents} agents, {result.seconds:.0f} s"
    yield ""
    yield f"{'fault':32}{'times':>6}{'recovered after, s: median':>29}{'longest':>9}"
    for name in sorted({one.fault.kind.name for one in result.happened}):
        yield _of_kind(name, result)
    for name in result.skipped:
        yield f"{name:32}   not here: only root can have small disks"
    yield ""
    counts = {
        "jobs": plan.jobs,
        "attempts": kinds[EventKind.CLAIMED],
        "attempts that went back": kinds[EventKind.REQUEUED] + kinds[EventKind.HANDED_BACK],
        "attempts revived": kinds[EventKind.REVIVED],
        "faults": len(result.happened),
        "kinds of faults": len({one.fault.kind.name for one in result.happened}),
        "s from the last fault to the end": round(result.drained),
        "directories of attempts left": result.attempts_left,
    }
    found = result.found
    wrong = {
        "lost": found.lost,
        "done twice": found.twice,
        "stuck": found.stuck,
        "impossible moves": found.order,
        "orphan processes": result.orphans,
        "keys left in Redis": result.keys,
        "files left by copilot clean": result.files_left,
        "misdeeds of programs": result.misdeeds,
    }
    for what, number in (counts | {what: len(lines) for what, lines in wrong.items()}).items():
        yield f"{what:32}{number:6}"
    for what, lines in wrong.items():
        yield from (f"{what}: {line}" for line in lines[:MOST_LINES])
    yield (
        f"faults {len(result.happened)} lost {len(found.lost)} twice {len(found.twice)} "
        f"stuck {len(found.stuck)} orphans {len(result.orphans)}"
    )


def _of_kind(name: str, result: Result) -> str:
    of_kind = [one for one in result.happened if one.fault.kind.name == name]
    times = [time for one in of_kind if (time := recovery(one, result.events)) is not None]
    known = f"{median(times):29.1f}{max(times):9.1f}" if times else f"{'':29}"
    return f"{name:32}{len(of_kind):6}{known}"


def recovery(one: Happened, events: Sequence[Event]) -> float | None:
    """Seconds from the end of a fault until a job that was given out after it runs: with the agent that was hit, or
    with any. None if none was given out any more."""
    target = one.fault.target
    claimed = {}
    for event in events:
        if event.time < one.passed or (
            target.startswith("agent") and not event.agent.startswith(f"{target}@")
        ):
            continue
        if event.kind is EventKind.CLAIMED:
            claimed[event.job] = event.attempt
        elif event.kind is EventKind.RUNNING and claimed.get(event.job) == event.attempt:
            return event.time - one.passed
    return None
