"""Why a job does not run, and why it failed: facts of the store in, a `Reason` out (decision 22).

The command line, the dashboard, XMPP and Python all show what comes from here.
"""

from __future__ import annotations

from dataclasses import replace

from copilot.client.explaining.arrays import explain_array
from copilot.client.explaining.ended import told, why_ended
from copilot.client.explaining.knowing import Known, know
from copilot.client.explaining.reasons import Code, Reason
from copilot.client.explaining.running import why_running
from copilot.client.explaining.waiting import (
    over_quota,
    why_blocked,
    why_delayed,
    why_held,
    why_missing,
    why_paused,
    why_quota,
    why_waiting,
)
from copilot.files.area import FileArea
from copilot.job import State
from copilot.store.base import Store

__all__ = ["Code", "Known", "Reason", "explain", "reason_of"]


async def explain(store: Store, job: str, *, area: FileArea | None = None) -> Reason:
    """Why this job is where it is; `area` is where inputs lie, if that is a directory of this machine. It reads a bounded number of
    things. Of an array it is summed up over its elements. A job that is not known is explained, too. Raises `StoreUnavailable`."""
    known = await know(store, job, area)
    if known.array is not None:
        return await explain_array(store, known.array, lambda element: explain(store, element, area=area))
    return reason_of(known)


def reason_of(known: Known) -> Reason:
    """What the facts say; of several reasons the one that has to go first. What became of former attempts is told beside it."""
    reason = _reason_of(known)
    waits = known.standing is not None and not known.standing.state.final
    return replace(reason, more=(*reason.more, *told(known))) if waits and known.attempts else reason


def _reason_of(known: Known) -> Reason:
    record, standing = known.record, known.standing
    if record is None or standing is None:
        return _unknown(known)
    if standing.state.final:
        return why_ended(known)
    if standing.state is State.RUNNING:
        return why_running(known)
    if standing.state is State.HELD:
        return why_held(known)
    if standing.state is State.BLOCKED:
        return why_blocked(known)
    if standing.delayed is not None and standing.delayed > known.now:
        return why_delayed(known, standing.delayed)
    if known.pause is not None:
        return why_paused(known)
    if known.missing:
        return why_missing(known)
    if (full := over_quota(known)) is not None:
        return why_quota(known, full)
    return why_waiting(known)


def _unknown(known: Known) -> Reason:
    if known.beyond is not None:
        array, size = known.beyond.spec.id, known.beyond.spec.array
        return Reason(
            job=known.job,
            code=Code.UNKNOWN,
            text=f"array {array} has {size:,} elements, 0 to {size - 1}",
            next=f"`copilot jobs explain {array}` sums them up",
            facts={"similar": [], "array": array, "elements": size},
        )
    like = f"; did you mean {' or '.join(known.similar)}?" if known.similar else ""
    return Reason(
        job=known.job,
        code=Code.UNKNOWN,
        text=f"the queue has no job of this name{like}",
        next="look for a typing error, or for another queue (--config); records of old jobs are removed",
        facts={"similar": list(known.similar)},
    )
