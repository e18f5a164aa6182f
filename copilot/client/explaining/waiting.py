"""Why a job waits: what keeps it, and if nothing does, which agents could take it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from copilot.client.explaining.knowing import Known, Needed
from copilot.client.explaining.reasons import Code, Reason
from copilot.client.explaining.turn import Fleet, its_turn
from copilot.client.explaining.unmatched import no_match, not_wanted
from copilot.client.explaining.words import are, at, count, lasting, names
from copilot.job import one_line
from copilot.matching.host import requirements_of
from copilot.matching.matcher import accepts
from copilot.matching.needs import needed
from copilot.matching.parts import Hosts
from copilot.store.explaining import Machine
from copilot.store.shares import Share
from copilot.store.trial import LEFT_TO_OTHERS


def why_held(known: Known) -> Reason:
    """Somebody holds it."""
    _, standing = known.found
    since = standing.held
    when = "" if since is None else f" since {at(since, known.now)}"
    why = f": {one_line(known.said)}" if known.said else ""
    return Reason(
        job=known.job,
        code=Code.HELD,
        text=f"held{when}{why}",
        next=f"`copilot jobs release {known.job}` lets it wait at its old place",
        facts={"since": since, "reason": known.said},
    )


def why_blocked(known: Known) -> Reason:
    """It waits for other jobs."""
    open_ = [one for one in known.needed if not one.met]
    broken = [one for one in open_ if one.state is None or (one.state.final and not one.any_end)]
    told = names([_needed(one) for one in (broken or open_)])
    text = f"waits for {count(len(open_), 'job')}: {told}"
    if broken:
        text += "; that does not end by itself"
        helps = (
            f"`copilot jobs retry {broken[0].job}` runs that once more; `copilot jobs release {known.job}` lets this one run all the "
            "same"
        )
        if broken[0].state is None:
            helps = f"`copilot jobs release {known.job}` lets it run all the same, `cancel` ends it"
    else:
        helps = (
            f"it goes on by itself; `copilot jobs explain {open_[0].job}` says what keeps that"
            if open_
            else "it goes on in a moment"
        )
    facts = [
        {
            "job": one.job,
            "state": one.state,
            "cause": one.cause,
            "wanted": "over" if one.any_end else "done",
            "met": one.met,
        }
        for one in known.needed
    ]
    return Reason(
        job=known.job,
        code=Code.DEPENDENCY,
        text=text,
        next=helps,
        facts={"needs": facts, "failed": bool(broken)},
    )


def _needed(one: Needed) -> str:
    if one.state is None:
        return f"{one.job} (not known any more)"
    cause = f", {one.cause}" if one.cause and one.state.final else ""
    return f"{one.job} ({one.state}{cause})"


def why_delayed(known: Known, until: float) -> Reason:
    """It was handed back too often."""
    last = known.attempts[-1] if known.attempts else None
    times = 0
    for one in reversed(known.attempts):
        if one.outcome is not None:
            break
        times += 1
    by = "" if last is None else f", last by {one_line(last.agent)} ({last.cause})"
    return Reason(
        job=known.job,
        code=Code.BACK_OFF,
        text=f"handed back {count(times, 'time')} in a row{by}: waits until {at(until, known.now)} before it is tried again "
        f"({lasting(until - known.now)})",
        next="it goes on by itself; the log of the agent tells why it gave the job back",
        facts={
            "until": until,
            "hand_backs": times,
            "agent": None if last is None else last.agent,
            "cause": None if last is None else last.cause,
        },
    )


def why_missing(known: Known) -> Reason:
    """An input is not there: whoever gets the job will fail."""
    told = names([f"{one_line(one.name)} {one.why}" for one in known.missing])
    return Reason(
        job=known.job,
        code=Code.INPUT_MISSING,
        text=f"input {told}: no agent can run it like that",
        next=f"put the file back, or `copilot jobs cancel {known.job}` and submit it again",
        facts={"inputs": [{"name": one.name, "why": one.why} for one in known.missing]},
    )


def why_paused(known: Known) -> Reason:
    """An operator has stopped the whole queue."""
    assert known.pause is not None
    one = known.pause
    return Reason(
        job=known.job,
        code=Code.PAUSED,
        text=f"the queue is {one_line(one.told())}, since {at(one.since, known.now)}",
        next="it goes on when somebody resumes the queue (`copilot resume`); what runs goes on to its end",
        facts={"what": "queue", "by": one.by, "reason": one.reason, "since": one.since},
    )


def over_quota(known: Known) -> Share | None:
    """Of its owner or project, if that has no room for it."""
    record, _ = known.found
    full = [
        one for one in known.shares if one.full or (one.room is not None and one.room < record.spec.cores)
    ]
    return full[0] if full else None


def why_quota(known: Known, share: Share) -> Reason:
    """Its owner or project has as much running as it may."""
    record, _ = known.found
    kind, _, name = share.whose.partition(":")
    limits = [
        f"{has} of {most} {word}"
        for word, has, most in (("jobs", share.running, share.jobs), ("cores", share.used, share.cores))
        if most is not None
    ]
    needs = f", and it needs {count(record.spec.cores, 'core')}" if not share.full else ""
    return Reason(
        job=known.job,
        code=Code.QUOTA,
        text=f"{kind} {one_line(name) or '(none)'} has as much running as it may: {' and '.join(limits)}{needs}",
        next=f"it goes on when one of these jobs has ended; an operator can raise the limit (`copilot shares set {share.whose}`)",
        facts={
            "whose": share.whose,
            "jobs": share.jobs,
            "jobs_running": share.running,
            "cores": share.cores,
            "cores_used": share.used,
        },
    )


def why_waiting(known: Known) -> Reason:
    """Nothing holds it: who could take it, and what comes before it?"""
    record, standing = known.found
    own = needed(record.spec)
    there = known.there()
    if not there:
        return _nobody(known)
    hosts = Hosts([one.host for one in there], [own, *(group.requirements for group in standing.before)])
    tried = hosts.attempt(own)
    meet = [there[number] for number in sorted(tried.meet)]
    if not meet:
        return no_match(known, tried, there)
    fit = [one for one in meet if accepts(requirements_of(one.host), record.spec)]
    if not fit:
        return not_wanted(known, meet, len(there))
    return _among(known, Fleet(there=there, fit=fit, tried=tried, hosts=hosts))


def _nobody(known: Known) -> Reason:
    rows = () if known.machines is None else known.machines.rows
    last = max(rows, key=lambda one: max(one.asked, one.renewed or 0.0), default=None)
    seen = ""
    if last is not None:
        heard = max(last.asked, last.renewed or 0.0)
        ended = (
            "was revoked or has expired" if last.out else f"asked for work {lasting(known.now - heard)} ago"
        )
        seen = f"; the last one, {one_line(last.agent)}, {ended}"
    return Reason(
        job=known.job,
        code=Code.NO_AGENT,
        text=f"no agent is online{seen}",
        next="start an agent (copilot-agent); if one runs, `copilot doctor` looks for what keeps it away",
        facts={"agents_online": 0, "agents_known": 0 if known.machines is None else known.machines.total},
    )


def _among(known: Known, fleet: Fleet) -> Reason:
    """Some agents match."""
    record, standing = known.found
    staying = [one for one in fleet.fit if not one.leaves]
    if not staying:
        return _all_leave(known, fleet)
    well = [one for one in staying if known.kept(one) is None]
    if not well:
        return _all_in_quarantine(known, fleet, staying)
    if record.spec.exclusive and all(one.leased is False for one in well):
        return Reason(
            job=known.job,
            code=Code.EXCLUSIVE,
            text=f"exclusive, so it goes to agents that renew leases alone: {count(len(well), 'agent')} match"
            f"{'es' if len(well) == 1 else ''}, none does that",
            next="start an agent of this version",
            facts=fleet.facts(),
        )
    until = (standing.struck or -math.inf) + LEFT_TO_OTHERS
    if until > known.now and all(one.agent in standing.failed_at for one in well):
        return Reason(
            job=known.job,
            code=Code.LEFT_TO_OTHERS,
            text=f"failed a moment ago at {names([one.agent for one in well])}: left to other agents until {at(until, known.now)}, but no "
            "other one matches",
            next="it is tried there again then",
            facts={"until": until, "failed_at": list(standing.failed_at), **fleet.facts()},
        )
    return its_turn(known, fleet, well)


def _all_leave(known: Known, fleet: Fleet) -> Reason:
    some = [one.agent for one in fleet.fit]
    return Reason(
        job=known.job,
        code=Code.DRAINING,
        text=f"{count(len(some), 'agent')} could take it, and {are(len(some))} to leave: {names(some)}",
        next="start other agents, or those again when they have left",
        facts={"agents": some[:20], **fleet.facts()},
    )


def _all_in_quarantine(known: Known, fleet: Fleet, staying: Sequence[Machine]) -> Reason:
    until, first = min(((known.kept(one) or 0.0, one) for one in staying), key=lambda one: one[0])
    asides = [known.asides[one.agent] for one in staying if one.agent in known.asides]
    some = names([one.agent for one in staying])
    why = "for jobs keep failing there"
    if len(asides) == len(staying):
        said = f": {one_line(asides[0].reason)}" if asides[0].reason else ""
        why = f"put there by {one_line(asides[0].by or 'somebody')}{said}"
    free = (
        "until somebody lets one out"
        if until == math.inf
        else f"the first is free again at {at(until, known.now)}"
    )
    return Reason(
        job=known.job,
        code=Code.QUARANTINE,
        text=f"{count(len(staying), 'agent')} could take it, and {are(len(staying))} in quarantine, {why}: {some}; {free}",
        next=f"mend what fails there (`copilot agents show {first.agent}`), then `copilot agents release {first.agent}`",
        facts={
            "agents": [{"agent": one.agent, "until": _finite(known.kept(one))} for one in staying[:20]],
            "until": _finite(until),
            **fleet.facts(),
        },
    )


def _finite(number: float | None) -> float | None:
    return None if number is None or number == math.inf else number
