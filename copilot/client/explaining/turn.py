"""Agents could take a job: what comes before it, what has no room for it now, and when its turn may come."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from copilot.client.explaining.knowing import Known
from copilot.client.explaining.reasons import Code, Reason
from copilot.client.explaining.words import are, at, count, lasting, names
from copilot.errors import BadRequirements
from copilot.host import MEBIBYTE
from copilot.job import JobSpec, one_line, sized
from copilot.matching.host import read_host, slots_of
from copilot.matching.parts import Hosts, Tried
from copilot.matching.rank import rank_of, read_rank
from copilot.matching.resources import Fit, Free, Request, fits
from copilot.records import dataclass
from copilot.store.explaining import Circumstances, Machine

LEAST_STARTS = 3  # on which an estimate may rest
MOST_PREFERRED = 20  # agents that are named


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """Agents that are `there`, and those of them that `fit` the job."""

    there: Sequence[Machine]
    fit: Sequence[Machine]
    tried: Tried
    hosts: Hosts

    def facts(self) -> dict[str, Any]:
        return {"agents_online": len(self.there), "agents_matching": len(self.fit)}


def its_turn(known: Known, fleet: Fleet, well: Sequence[Machine]) -> Reason:
    record, standing = known.found
    ahead, least = _ahead(standing, fleet, well)
    request = Request.of(record.spec)
    idle = _preferred([one for one in well if has_room(one, request)], record.spec)
    pace = _estimate(standing, ahead)
    busy = sum(known.holds.get(agent, 0) for agent in {one.agent for one in well})
    facts: dict[str, Any] = {
        "before": ahead,
        "before_at_least": least,
        "place": ahead + 1,
        "agents_with_room": len(idle),
        "jobs_running_there": busy,
        "estimate": pace,
        **fleet.facts(),
    }
    if record.spec.rank:
        preferred = [{"agent": one.agent, "rank": ranked(one, record.spec)} for one in idle[:MOST_PREFERRED]]
        facts |= {"rank": record.spec.rank, "preferred": preferred}
    could = f"{count(len(well), 'agent')} could take it"
    if (kept := _kept_or_late(known, well, facts)) is not None:
        return kept
    if ahead == 0 and not least and not idle:
        return Reason(
            job=known.job,
            code=Code.NO_ROOM,
            text=f"it is the next one: {could}, and {_no_room(known, well)} ({count(busy, 'job')} there): "
            f"{names([one.agent for one in well])}{_soon(pace)}",
            next="it begins when one of these has ended enough of its jobs; more agents make it quicker",
            facts=facts,
        )
    if ahead == 0 and not least:
        text = f"it is the next one, and {one_line(idle[0].agent)} has room for it"
        helps = "it begins in a moment; if not, look whether a job manager runs (`copilot doctor`)"
    else:
        more = "at least " if least else ""
        come = "comes" if ahead == 1 and not least else "come"
        text = f"{more}{count(ahead, 'job')} {come} before it in the queue; {could}{_soon(pace)}"
        helps = "it goes on by itself; a higher --priority comes first, more agents make it quicker"
    return Reason(job=known.job, code=Code.ITS_TURN, text=text, next=helps, facts=facts)


def _kept_or_late(known: Known, well: Sequence[Machine], facts: dict[str, Any]) -> Reason | None:
    """An agent is kept for it, or none stays for long enough."""
    record, standing = known.found
    if standing.reserved:
        since = standing.passed_over
        agent = standing.reserved.partition("/")[0]
        return Reason(
            job=known.job,
            code=Code.RESERVED,
            text=f"it did not fit since {at(since or known.now, known.now)}: {one_line(agent)} is kept for it, and takes nothing else that "
            f"would make it wait; {_needs(record.spec)}",
            next="it begins when enough of what runs there has ended",
            facts=facts | {"agent": agent, "passed_over_since": since},
        )
    request = Request.of(record.spec)
    never = [one for one in well if one.free is not None and fits(one.free, request) is Fit.NEVER]
    if len(never) == len(well) and request.time:
        longest = max((one.free.time or 0) for one in never if one.free is not None)
        return Reason(
            job=known.job,
            code=Code.TOO_LONG,
            text=f"it may run for {lasting(request.time)}, and the {count(len(well), 'agent')} that could take it leave{'s' if len(well) == 1 else ''} before "
            f"that: the last one in {lasting(longest)}",
            next="start agents that stay longer, or submit it with a shorter --walltime",
            facts=facts | {"max_run_time": request.time, "longest": longest},
        )
    return None


def _needs(spec: JobSpec) -> str:
    words = [count(spec.cores, "core")]
    if spec.gpus:
        words.append(count(spec.gpus, "GPU"))
    if spec.memory:
        words.append(f"{sized(spec.memory)} of memory")
    if spec.disk:
        words.append(f"{sized(spec.disk)} of disk")
    return f"it needs {', '.join(words)}"


def _most_free(well: Sequence[Machine]) -> str:
    """What that agent has free of those that wait for work that has most."""
    parked = [one for one in well if one.free is not None and one.parked is not None]
    best = max(
        parked, key=lambda one: (one.free.cores, one.free.memory or 0) if one.free else (0, 0), default=None
    )
    if best is None or best.free is None:
        return ""
    memory = "" if best.free.memory is None else f" and {sized(best.free.memory * MEBIBYTE)} of memory"
    return f"{one_line(best.agent)} has {count(best.free.cores, 'core')}{memory} free"


def _no_room(known: Known, well: Sequence[Machine]) -> str:
    """Why agents get nothing now: they are full, or do not ask, for they were given a job that they could not take."""
    record, _ = known.found
    if free := _most_free(well):
        return f"none has room for it now: {_needs(record.spec)}, {free}"
    ask = [one for one in well if known.used.get(one.agent, 0) < slots_of(one.host)]
    if not ask:
        return f"{are(len(well))} full now"
    return "does not ask for work just now" if len(well) == 1 else "none has room and asks for work just now"


def has_room(one: Machine, request: Request) -> bool:
    """Whether an agent waits for a job of this size."""
    free = Free.unsaid(one.slots) if one.free is None else one.free
    return one.parked is not None and fits(free, request) is Fit.NOW


def ranked(one: Machine, spec: JobSpec) -> float:
    """How much the job prefers an agent."""
    try:
        return rank_of(spec.rank, read_host(one.host, read_rank(spec.rank).attributes)) if spec.rank else 0.0
    except BadRequirements:
        return 0.0


def _preferred(idle: Sequence[Machine], spec: JobSpec) -> list[Machine]:
    """Those that the job prefers first, and of equal ones those that have waited for longest."""
    return sorted(idle, key=lambda one: (-ranked(one, spec), one.parked or 0.0)) if spec.rank else list(idle)


def _ahead(standing: Circumstances, fleet: Fleet, well: Sequence[Machine]) -> tuple[int, bool]:
    """How many jobs that one of these agents could take come before it, and whether it may be more."""
    jids = {one.jid for one in well}
    could = frozenset(number for number, one in enumerate(fleet.there) if one.jid in jids)
    before = (group.jobs for group in standing.before if fleet.hosts.any_meets(group.requirements, could))
    others = sum(before)
    return (standing.place or 0) + others, standing.more > 0


def _estimate(standing: Circumstances, ahead: int) -> float | None:
    """Seconds until it begins at the present pace; None without a basis."""
    pace = standing.pace
    if pace.seconds <= 0:
        return None
    if pace.group >= LEAST_STARTS:
        return ((standing.place or 0) + 1) * pace.seconds / pace.group
    if pace.started >= LEAST_STARTS:
        return (ahead + 1) * pace.seconds / pace.started
    return None


def _soon(seconds: float | None) -> str:
    return "" if seconds is None else f"; about {lasting(seconds)} at the present pace"
