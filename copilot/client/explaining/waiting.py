"""Why a job waits: what keeps it, and if nothing does, which agents could take it and what comes before it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from copilot.client.explaining.knowing import Known, Needed
from copilot.client.explaining.reasons import Code, Reason
from copilot.client.explaining.words import are, at, count, lasting, names
from copilot.host import KIBIBYTE, MEBIBYTE
from copilot.job import JobSpec, one_line, sized
from copilot.matching.host import slots_of
from copilot.matching.parts import Hosts, Part, Tried
from copilot.store.explaining import Circumstances, Machine
from copilot.store.trial import LEFT_TO_OTHERS

LEAST_STARTS = 3  # on which an estimate may rest
LONGEST_TEXT = 120  # characters of requirements in a sentence
_UNITS: Mapping[str, int] = {"memory": MEBIBYTE, "disk": KIBIBYTE}


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


def why_waiting(known: Known) -> Reason:
    """Nothing holds it: who could take it, and what comes before it?"""
    record, standing = known.found
    own = record.spec.requirements
    there = known.there()
    if not there:
        return _nobody(known)
    hosts = Hosts([one.host for one in there], [own, *(group.requirements for group in standing.before)])
    tried = hosts.attempt(own)
    fit = [there[number] for number in sorted(tried.meet)]
    if not fit:
        return _no_match(known, tried, there)
    return _among(known, _Fleet(there=there, fit=fit, tried=tried, hosts=hosts))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fleet:
    """Agents that are `there`, and those of them that `fit` the job."""

    there: Sequence[Machine]
    fit: Sequence[Machine]
    tried: Tried
    hosts: Hosts

    def facts(self) -> dict[str, Any]:
        return {"agents_online": len(self.there), "agents_matching": len(self.fit)}


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


def _no_match(known: Known, tried: Tried, there: Sequence[Machine]) -> Reason:
    record, _ = known.found
    unmet = [part for part in tried.parts if part.met == 0]
    own = [part for part in unmet if not part.size]
    sizes = [part for part in unmet if part.size]
    closest = None if tried.closest is None else there[tried.closest].agent
    facts: dict[str, Any] = {
        "agents_online": tried.hosts,
        "agents_matching": 0,
        "requirements": record.spec.requirements,
        "parts": [_part_facts(part) for part in tried.parts],
        "closest": None
        if closest is None
        else {"agent": closest, "lacks": [part.text for part in tried.lacks]},
    }
    online = f"{count(tried.hosts, 'agent')} online"
    code = Code.NO_MATCH
    if any(part.sealed for part in own):
        code = Code.SECRETS
        text = f"has secrets, which go to agents in a sealed session alone: {online}, none speaks in one"
        helps = "have the agents use secure mode v2 (docs/howto-keys.md)"
    elif own:
        text = f"needs {_and([_clipped(part.plain) for part in own])}: {online}, {'; '.join(_best(part) for part in own[:3])}"
        helps = "start an agent that has it, or cancel the job and submit it with other --requirements; `copilot agents list` shows who is there"
    elif sizes:
        code = Code.TOO_BIG
        text = f"needs {_and([_size(part) for part in sizes])} for one job: {online}, {'; '.join(_largest(part) for part in sizes)}"
        helps = "start a larger agent, or cancel the job and submit it with less"
    elif tried.apart is not None:
        one, other = tried.apart
        text = (
            f"needs {_clipped(one.plain)} and {_clipped(other.plain)} of one agent: {online}, {one.met} "
            f"{'has' if one.met == 1 else 'have'} the former, {other.met} the latter, none both"
        )
        helps = "start an agent that has both, or cancel the job and submit it with other --requirements"
    else:
        met = [f"{part.met} of {_clipped(part.plain)}" for part in tried.parts]
        text = f"no agent meets all of its requirements: {online}; so many meet {', '.join(met[:4])}"
        helps = "start an agent that has all, or cancel the job and submit it with other --requirements"
    return Reason(job=known.job, code=code, text=text, next=helps, facts=facts)


def _part_facts(part: Part) -> dict[str, Any]:
    return {
        "part": part.text,
        "met": part.met,
        "best": part.best,
        "said": [{"value": value, "agents": number} for value, number in part.said],
    }


def _best(part: Part) -> str:
    if part.best is not None:
        return f"best has {_number(part.best)}"
    if part.said:
        return f"they have {', '.join(f'{one_line(value)} ({number})' for value, number in part.said)}"
    return "none says anything of it" if part.text.count("other.") == 1 else "none does"


def _size(part: Part) -> str:
    name, _, value = part.plain.removeprefix("Max").partition(" >= ")
    unit = _UNITS.get(name.lower())
    return (
        f"{sized(int(value) * unit)} of {name.lower()}"
        if unit and value.isdigit()
        else f"{value} {name.lower()}"
    )


def _largest(part: Part) -> str:
    name = part.plain.removeprefix("Max").partition(" ")[0].lower()
    if not isinstance(part.best, int | float):
        return f"none says how much {name} it has"
    unit = _UNITS.get(name)
    return f"the largest has {sized(int(part.best) * unit) if unit else _number(part.best)}"


def _and(texts: Sequence[str]) -> str:
    shown = [one for one in texts[:3] if one]
    return " and ".join(shown) + (f" and {len(texts) - 3} more" if len(texts) > 3 else "")


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _clipped(text: str) -> str:
    text = one_line(text)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 1]}…"


def _among(known: Known, fleet: _Fleet) -> Reason:
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
    return _its_turn(known, fleet, well)


def _all_leave(known: Known, fleet: _Fleet) -> Reason:
    some = [one.agent for one in fleet.fit]
    return Reason(
        job=known.job,
        code=Code.DRAINING,
        text=f"{count(len(some), 'agent')} could take it, and {are(len(some))} to leave: {names(some)}",
        next="start other agents, or those again when they have left",
        facts={"agents": some[:20], **fleet.facts()},
    )


def _all_in_quarantine(known: Known, fleet: _Fleet, staying: Sequence[Machine]) -> Reason:
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


def _its_turn(known: Known, fleet: _Fleet, well: Sequence[Machine]) -> Reason:
    record, standing = known.found
    ahead, least = _ahead(standing, fleet, well)
    idle = [one for one in well if has_room(one, record.spec)]
    pace = _estimate(standing, ahead)
    busy = sum(known.holds.get(agent, 0) for agent in {one.agent for one in well})
    facts = {
        "before": ahead,
        "before_at_least": least,
        "place": ahead + 1,
        "agents_with_room": len(idle),
        "jobs_running_there": busy,
        "estimate": pace,
        **fleet.facts(),
    }
    could = f"{count(len(well), 'agent')} could take it"
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


def _no_room(known: Known, well: Sequence[Machine]) -> str:
    """Why agents get nothing now: they are full, or do not ask, for they were given a job that they could not take."""
    ask = [one for one in well if known.holds.get(one.agent, 0) < slots_of(one.host)]
    if not ask:
        return f"{are(len(well))} full now"
    return "does not ask for work just now" if len(well) == 1 else "none has room and asks for work just now"


def has_room(one: Machine, spec: JobSpec) -> bool:
    """Whether an agent waits for a job of this size."""
    return one.parked is not None and one.slots >= spec.cores


def _ahead(standing: Circumstances, fleet: _Fleet, well: Sequence[Machine]) -> tuple[int, bool]:
    """How many jobs that one of these agents could take come before it, and whether it may be more."""
    jids = {one.jid for one in well}
    could = {number for number, one in enumerate(fleet.there) if one.jid in jids}
    others = sum(
        group.jobs for group in standing.before if not could.isdisjoint(fleet.hosts.meet(group.requirements))
    )
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
