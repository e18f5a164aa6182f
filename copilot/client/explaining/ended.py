"""How a job ended: its cause in words, each attempt, limits that were hit, the last lines of stderr, and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from copilot.client.explaining.causes import LimitHit, exit_words, limit_hit, meaning
from copilot.client.explaining.knowing import Known, fetch_failed
from copilot.client.explaining.reasons import Code, Reason
from copilot.client.explaining.words import at, count, lasting
from copilot.job import Attempt, Cause, JobRecord, JobSpec, Outcome, State, one_line, sized

LAST_LINES = 5  # of stderr, of the last attempt that has any
MOST_ATTEMPTS = 10  # that are told one by one


def why_ended(known: Known) -> Reason:
    """It is over."""
    record, _ = known.found
    if record.state is State.DONE:
        return _done(known, record)
    if record.state is State.CANCELLED:
        return _cancelled(known, record)
    return _failed(known, record)


def _facts(known: Known, record: JobRecord) -> dict[str, Any]:
    outcome = record.outcome
    hit = None if outcome is None else limit_hit(record.spec, outcome)
    return {
        "cause": None if outcome is None else outcome.cause,
        "exit_code": None if outcome is None else outcome.exit_code,
        "reason": "" if outcome is None else outcome.reason,
        "finished": record.finished,
        "attempts_used": record.attempts_used,
        "max_attempts": record.spec.max_attempts,
        "limit": None if hit is None else {"option": hit.option, "limit": hit.limit, "used": hit.used},
        "stderr": list(_tail(known.attempts, outcome)),
        "attempts": [_attempt_facts(one) for one in known.attempts],
    }


def _attempt_facts(one: Attempt) -> dict[str, Any]:
    outcome = one.outcome
    return {
        "attempt": one.attempt,
        "agent": one.agent,
        "host": "" if outcome is None else outcome.host,
        "kind": one.kind,
        "cause": one.cause,
        "claimed": one.claimed,
        "ended": one.ended,
        "exit_code": None if outcome is None else outcome.exit_code,
        "reason": "" if outcome is None else outcome.reason,
        "memory": None if outcome is None else outcome.memory,
        "cpu_time": None if outcome is None else outcome.cpu_time,
        "disk": None if outcome is None else outcome.disk,
    }


def _done(known: Known, record: JobRecord) -> Reason:
    place = "its output is stored" if record.published else "its output is on its way to its finisher"
    tries = f" in attempt {record.attempt}" if record.attempt > 1 else ""
    return Reason(
        job=known.job,
        code=Code.DONE,
        text=f"done{_when(known, record)}{tries} at {one_line(record.agent or 'no agent')}; {place}",
        next=f"nothing; `copilot jobs output {known.job}` fetches what it made",
        facts={**_facts(known, record), "published": record.published},
        more=tuple(told(known)) if record.attempt > 1 else (),
    )


def _cancelled(known: Known, record: JobRecord) -> Reason:
    reason = record.outcome.reason if record.outcome is not None else ""
    began = "" if record.attempt else ", before it began"
    return Reason(
        job=known.job,
        code=Code.CANCELLED,
        text=f"cancelled{_when(known, record)}{began}{f': {one_line(reason)}' if reason else ''}",
        next=_again(record),
        facts=_facts(known, record),
        more=tuple(told(known)) if record.attempt else (),
    )


def _failed(known: Known, record: JobRecord) -> Reason:
    outcome = record.outcome
    cause = None if outcome is None else outcome.cause
    if outcome is None or cause is None:  # a record of an older version
        return Reason(
            job=known.job,
            code=Code.FAILED,
            text=f"failed{_when(known, record)}; nothing is known of how",
            next=_again(record),
            facts=_facts(known, record),
        )
    code = Code.POLICY
    if cause.own:
        code = Code.FAILED
    elif cause.retryable:
        code = Code.INPUT_MISSING if fetch_failed(known.attempts) else Code.DEAD_LETTER
    shown = _tail(known.attempts, outcome)
    said = _beside(outcome, shown)
    says = f" ({said})" if said else ""
    ended = (
        f"its command ended with {exit_words(outcome.exit_code)}"
        if cause is Cause.USER_EXIT
        else f"{meaning(cause).text}, {exit_words(outcome.exit_code)}"
    )
    text = f"failed{_when(known, record)}: {ended}{says}"
    if cause.retryable:
        text = f"failed{_when(known, record)} after {count(record.attempts_used, 'attempt')}: {_causes(known.attempts, cause)}{says}"
    hit = limit_hit(record.spec, outcome)
    return Reason(
        job=known.job,
        code=code,
        text=text + (f"; {hit.told()}" if hit is not None else ""),
        next=_helps(record, outcome, hit),
        facts=_facts(known, record),
        more=(*told(known, shown), *(f"  stderr | {one_line(line)}" for line in shown)),
    )


def _causes(attempts: Sequence[Attempt], last: Cause) -> str:
    counts = Counter(one.cause for one in attempts if one.outcome is not None) or Counter([last])
    if len(counts) == 1:
        cause = next(iter(counts))
        return f"{'each time ' if counts[cause] > 1 else ''}{meaning(cause).text}"
    return ", ".join(
        f"{meaning(cause).text} ({number} of {counts.total()})" for cause, number in counts.most_common()
    )


def _helps(record: JobRecord, outcome: Outcome, hit: LimitHit | None) -> str:
    spec: JobSpec = record.spec
    if hit is not None:
        return f"submit it again under another id with more: {hit.suggestion}"
    if outcome.cause is Cause.INFRA_KILLED and outcome.memory:
        return (
            f"it had used {sized(outcome.memory)} of memory: if its host had no more, ask for more with --memory; if that is little, look at who "
            f"or what kills there; {_again(record)}"
        )
    helps = meaning(outcome.cause).helps.replace("`copilot jobs retry`", f"`copilot jobs retry {spec.id}`")
    return (
        helps
        if record.published or "retry" not in helps
        else f"{helps}, as soon as its finisher has its result"
    )


def _again(record: JobRecord) -> str:
    once_more = f"`copilot jobs retry {record.spec.id}` runs it once more"
    return once_more if record.published else f"{once_more}, as soon as its finisher has its result"


def _when(known: Known, record: JobRecord) -> str:
    return "" if record.finished is None else f" at {at(record.finished, known.now)}"


def _beside(outcome: Outcome, shown: Sequence[str]) -> str:
    """What its agent says of the end beside the exit code and the last of the lines of stderr that are `shown`, which are told anyway."""
    said = one_line(outcome.reason)
    if shown:
        said = said.replace(f"last line of stderr: {one_line(shown[-1])}", "")
    for code in (exit_words(outcome.exit_code), f"exit code {outcome.exit_code}"):
        said = said.removeprefix(code)
    return said.strip("; ")


def told(known: Known, shown: Sequence[str] = ()) -> Iterator[str]:
    """A line for each of the last attempts. `shown`: lines of stderr that are shown below."""
    left_out = len(known.attempts) - MOST_ATTEMPTS
    if left_out > 0:
        yield f"  {count(left_out, 'attempt')} before these"
    for one in known.attempts[-MOST_ATTEMPTS:]:
        outcome = one.outcome
        where = f"{one_line(one.agent)}{f' on {one_line(outcome.host)}' if outcome and outcome.host else ''}"
        end = "handed back" if outcome is None else exit_words(outcome.exit_code)
        span = f"{at(one.claimed, known.now)} for {lasting(one.ended - one.claimed)}"
        said = "" if outcome is None else _beside(outcome, shown)
        yield f"  attempt {one.attempt} at {where}, {span}: {one.cause}, {end}{f': {said}' if said else ''}"


def _tail(attempts: Sequence[Attempt], outcome: Outcome | None) -> list[str]:
    ends = [outcome, *(one.outcome for one in reversed(attempts))]
    tail = next((one.tail for one in ends if one is not None and one.tail), "")
    return tail.splitlines()[-LAST_LINES:]
