"""Where a job runs, since when, and what happens if its agent is gone."""

from __future__ import annotations

from collections.abc import Mapping

from copilot.client.explaining.knowing import Known
from copilot.client.explaining.reasons import Code, Reason
from copilot.client.explaining.words import at, lasting
from copilot.job import JobRecord, Phase, one_line
from copilot.store.explaining import Circumstances

UNHEARD = 0.6  # of a lease without a renewal: agents renew every third of it
_PHASES: Mapping[str, str] = {
    Phase.FETCH: "fetches its inputs",
    Phase.RUN: "runs",
    Phase.UPLOAD: "stores its output",
    "": "runs",
}


def why_running(known: Known) -> Reason:
    """An agent has it."""
    record, standing = known.found
    agent = record.agent or ""
    facts = {
        "agent": agent,
        "attempt": record.attempt,
        "attempts_left": max(0, record.spec.max_attempts - record.attempts_used),
        "phase": standing.phase,
        "since": record.claimed,
        "confirmed": standing.confirmed,
        "until": standing.deadline,
        "lease": standing.lease,
        "missing_inputs": [one.name for one in known.missing],
    }
    since = (
        ""
        if record.claimed is None
        else f" since {at(record.claimed, known.now)} ({lasting(known.now - record.claimed)})"
    )
    where = f"at {one_line(agent)}, attempt {record.attempt},{since}"
    last = _heard(standing)
    silent = _silent(known, standing, agent)
    if standing.cancelling is not None:
        why = f" ({one_line(known.said)})" if known.said else ""
        gone = f"; it was not heard for {lasting(known.now - last)}" if silent and last is not None else ""
        return Reason(
            job=known.job,
            code=Code.CANCELLING,
            text=f"runs {where}; somebody wants it to end since {at(standing.cancelling, known.now)}{why}, and its agent has yet to stop it{gone}",
            next=f"it is cancelled when its agent has stopped it, at the latest when its time ends{_at(standing, known)}",
            facts={**facts, "cancelling_since": standing.cancelling, "reason": known.said, "silent": silent},
        )
    if standing.confirmed is None:
        return Reason(
            job=known.job,
            code=Code.HANDED,
            text=f"handed to {one_line(agent)} as attempt {record.attempt}{since}; it has not confirmed yet that it has the job",
            next=f"if it does not{_at(standing, known)}, the job goes back to the queue, which does not count as an attempt",
            facts=facts,
        )
    if silent:
        return Reason(
            job=known.job,
            code=Code.SILENT,
            text=f"runs {where}; but that agent is gone{_for(known, last)}",
            next=_after_silence(known, record, standing),
            facts={**facts, "last_heard": last, "suspected": standing.suspected},
        )
    limit = (
        ""
        if standing.lease is None
        else f"; its agent renewed its lease {lasting(known.now - (last or known.now))} ago"
    )
    return Reason(
        job=known.job,
        code=Code.RUNNING,
        text=f"{_PHASES.get(standing.phase, 'runs')} {where}{limit}",
        next=f"its agent reports how it ended; `copilot jobs tail {known.job}` shows what it writes",
        facts={**facts, "last_heard": last},
    )


def _heard(standing: Circumstances) -> float | None:
    """When the lease was renewed last."""
    if standing.lease is None or standing.deadline is None or standing.confirmed is None:
        return None
    return standing.deadline - standing.lease


def _silent(known: Known, standing: Circumstances, agent: str) -> bool:
    last = _heard(standing)
    if standing.suspected:
        return True
    if last is None or standing.lease is None:
        return False
    rows = () if known.machines is None else [one for one in known.machines.rows if one.agent == agent]
    found_gone = bool(rows) and not any(one.online(known.now) for one in rows)
    return found_gone or known.now - last > UNHEARD * standing.lease


def _for(known: Known, last: float | None) -> str:
    return "" if last is None else f": not heard for {lasting(known.now - last)}"


def _at(standing: Circumstances, known: Known) -> str:
    return "" if standing.deadline is None else f" by {at(standing.deadline, known.now)}"


def _after_silence(known: Known, record: JobRecord, standing: Circumstances) -> str:
    back = "if it does not come back" + _at(standing, known)
    if record.attempts_used < record.spec.max_attempts:
        return f"{back}, the job goes to another agent (attempt {record.attempt + 1})"
    return f"{back}, the job fails: this is the last of {record.spec.max_attempts} attempts"
