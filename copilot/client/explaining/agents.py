"""Why an agent gets no job: what keeps it, or what it lacks of what the largest groups of waiting jobs require."""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from copilot.client.explaining.words import at, count, lasting
from copilot.job import one_line
from copilot.matching.parts import Tried, try_hosts
from copilot.records import dataclass
from copilot.store.base import Store
from copilot.store.controls import Gate, Pause, SetAside
from copilot.store.explaining import Machine, Machines
from copilot.store.survey import Group, Groups

MOST_GROUPS = 100  # the largest groups of waiting jobs, that are looked at
HOLDERS_AT_ONCE = 1000
MOST_LOOKS = 20  # so often
MOST_AGENTS = 5000
MOST_TOLD = 3


class AgentCode(enum.StrEnum):
    """Why an agent is as it is. Stable, as those of jobs."""

    UNKNOWN = "unknown-agent"
    OUT = "revoked"
    OFFLINE = "offline"
    LEAVING = "leaving"
    QUARANTINE = "quarantine"
    PROBATION = "probation"
    PAUSED = "paused"
    NO_JOBS = "no-jobs"
    NO_MATCH = "no-matching-jobs"
    FULL = "full"
    GETS = "gets-jobs"


AGENT_MEANINGS: Mapping[AgentCode, str] = {
    AgentCode.UNKNOWN: "it has not asked for work in the last 24 hours",
    AgentCode.OUT: "its account was revoked, or has expired",
    AgentCode.OFFLINE: "it asked for work before, and is not there now",
    AgentCode.LEAVING: "somebody wants it to leave (drain)",
    AgentCode.QUARANTINE: "jobs keep failing there, or somebody has put it in quarantine",
    AgentCode.PROBATION: "it was in quarantine and gets one job at a time until one succeeds",
    AgentCode.PAUSED: "the whole queue is paused",
    AgentCode.NO_JOBS: "no job waits",
    AgentCode.NO_MATCH: "jobs wait, but it meets the requirements of none that was looked at",
    AgentCode.FULL: "it has jobs, and does not ask for more now",
    AgentCode.GETS: "jobs wait for which it will do",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentReason:
    """As `Reason`, of an agent (bare JID)."""

    agent: str
    code: AgentCode
    text: str
    next: str
    facts: Mapping[str, Any] = field(default_factory=dict)

    def data(self) -> dict[str, Any]:
        """For programs."""
        return {
            "agent": self.agent,
            "code": self.code.value,
            "text": self.text,
            "next": self.next,
            "facts": dict(self.facts),
        }

    def lines(self) -> tuple[str, ...]:
        """For people."""
        return f"agent {self.agent}: {self.code}", f"  {self.text}", f"  next: {self.next}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What was read. `one` is the session of it that asked last."""

    agent: str
    machines: Machines
    groups: Groups
    holds: int
    pause: Pause | None
    aside: SetAside | None
    one: Machine

    @property
    def now(self) -> float:
        return self.machines.now


async def explain_agent(store: Store, agent: str) -> AgentReason:
    """Why this agent (bare JID) gets no job, if it gets none. Raises `StoreUnavailable`."""
    machines, groups, holds, pauses, asides = await asyncio.gather(
        store.machines(MOST_AGENTS),
        store.groups(MOST_GROUPS),
        _held_by(store, agent),
        store.paused(),
        store.asides(),
    )
    mine = [one for one in machines.rows if one.agent == agent]
    if not mine:
        return AgentReason(
            agent=agent,
            code=AgentCode.UNKNOWN,
            text="it has not asked for work in the last 24 hours, as far as anybody knows",
            next="look for a typing error (`copilot agents list`); on its machine look at the log of copilot-agent",
        )
    known = _Known(
        agent=agent,
        machines=machines,
        groups=groups,
        holds=holds,
        pause=next((one for one in pauses if one.gate is Gate.DISPATCH), None),
        aside=next((one for one in asides if one.agent == agent), None),
        one=mine[0],
    )
    return _kept(known) or _of_jobs(known)


async def _held_by(store: Store, agent: str) -> int:
    """How many jobs it has, of the first some ten thousand that run."""
    after, found = "", set[str]()  # a job may be in two parts
    for _ in range(MOST_LOOKS):
        part = await store.holders(after, HOLDERS_AT_ONCE)
        found |= {one.job for one in part.rows if one.agent == agent}
        after = part.next
        if not after:
            break
    return len(found)


def _kept(known: _Known) -> AgentReason | None:
    """What keeps it, whatever jobs there are."""
    one, now, agent = known.one, known.now, known.agent
    facts = {"asked": one.asked, "runs": known.holds}
    if one.out:
        return AgentReason(
            agent=agent,
            code=AgentCode.OUT,
            text="its account was revoked or has expired: it is given nothing",
            next="let it come in again by a new bundle (copilot-agent --join) and an empty work directory",
            facts=facts,
        )
    if not one.online(now) and not (known.holds and one.renewed is None):
        return AgentReason(
            agent=agent,
            code=AgentCode.OFFLINE,
            text=f"it is not there; it asked for work {lasting(now - one.asked)} ago or more",
            next="start it; if it runs, look at its log, and at `copilot doctor` there",
            facts=facts,
        )
    if one.leaves:
        return AgentReason(
            agent=agent,
            code=AgentCode.LEAVING,
            text=f"somebody wants it to leave: it finishes what it runs ({count(known.holds, 'job')}), and ends",
            next="start it again when it has ended",
            facts=facts,
        )
    if (quarantine := _quarantine(known, facts)) is not None:
        return quarantine
    if known.pause is not None:
        return AgentReason(
            agent=agent,
            code=AgentCode.PAUSED,
            text=f"the queue is {one_line(known.pause.told())}",
            next="it goes on when somebody resumes the queue (`copilot resume`)",
            facts=facts | {"by": known.pause.by, "since": known.pause.since},
        )
    return None


def _quarantine(known: _Known, facts: dict[str, Any]) -> AgentReason | None:
    one, now, aside = known.one, known.now, known.aside
    until, why = one.quarantine, "jobs keep failing there"
    if aside is not None:
        until = math.inf if aside.ends is None else max(until, aside.ends)
        why = f"put there by {one_line(aside.by or 'somebody')}{f': {one_line(aside.reason)}' if aside.reason else ''}"
    release = f"`copilot agents release {known.agent}` lets it out"
    if until > now:
        end = "until somebody lets it out" if until == math.inf else f"until {at(until, now)}"
        return AgentReason(
            agent=known.agent,
            code=AgentCode.QUARANTINE,
            text=f"in quarantine {end}: {why}",
            next=f"mend what fails there (`copilot agents show {known.agent}` names the jobs); then {release}",
            facts=facts | {"until": None if until == math.inf else until},
        )
    if one.probation:
        return AgentReason(
            agent=known.agent,
            code=AgentCode.PROBATION,
            text="jobs kept failing there: it gets one job at a time until one succeeds",
            next=f"it goes on by itself; {release} of that, too",
            facts=facts,
        )
    return None


def _of_jobs(known: _Known) -> AgentReason:
    rows = known.groups.rows
    waiting = sum(one.waiting for one in rows)
    tried = [(one, try_hosts(one.requirements, [known.one.host])) for one in rows]
    fit = [one for one, result in tried if result.meet]
    more = known.groups.total - len(rows)
    facts = {
        "asked": known.one.asked,
        "runs": known.holds,
        "parked": known.one.parked is not None,
        "jobs_waiting": waiting,
        "groups": known.groups.total,
        "groups_matching": len(fit),
        "lacks": [_lack_facts(one, result) for one, result in tried if not result.meet][:20],
    }
    if not rows:
        code, text = AgentCode.NO_JOBS, "no job waits"
        helps = "it gets the next one that it is fit for"
    elif not fit:
        code = AgentCode.NO_MATCH
        lacks = "; ".join(_lack(one, result) for one, result in tried[:MOST_TOLD])
        looked = (
            f" the {len(rows)} largest of {known.groups.total} groups were looked at;" if more > 0 else ""
        )
        text = f"{count(waiting, 'job')} wait, and it meets the requirements of none;{looked} {lacks}"
        helps = "a host that has that gets them; or submit the jobs with other --requirements"
    elif known.one.parked is None:
        code = AgentCode.FULL
        text = f"it has {count(known.holds, 'job')}, and does not ask for more now"
        helps = "it gets the next when one has ended"
    else:
        code = AgentCode.GETS
        text = f"{count(sum(one.waiting for one in fit), 'job')} wait that it may have, and it has room"
        helps = "it gets one in a moment, unless they need more than it has free; if not, look whether a job manager runs (`copilot doctor`)"
    return AgentReason(agent=known.agent, code=code, text=text, next=helps, facts=facts)


def _lack(one: Group, tried: Tried) -> str:
    needs = " and ".join(one_line(part.plain)[:80] for part in tried.lacks[:2]) or "what it does not have"
    has = ", ".join(_has(part.best, part.said) for part in tried.lacks[:2])
    return f"{count(one.waiting, 'job')} {'needs' if one.waiting == 1 else 'need'} {needs}: it has {has or 'not'}"


def _has(best: object, said: Sequence[tuple[str, int]]) -> str:
    if best is not None:
        return str(best)
    return " ".join(one_line(value) for value, _ in said) or "nothing of that"


def _lack_facts(one: Group, tried: Tried) -> dict[str, Any]:
    return {
        "jobs": one.waiting,
        "requirements": one.requirements,
        "lacks": [{"part": part.text, "has": part.best} for part in tried.lacks],
    }
