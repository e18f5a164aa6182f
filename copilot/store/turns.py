"""Whose turn it is, and who is kept for a job that did not fit: as turns.lua, adding.lua and reserving.lua have it, for the queue in memory."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import replace

from copilot.job import JobSpec
from copilot.records import dataclass
from copilot.store import rules
from copilot.store.shares import OWNER, PROJECT, Share


class Turns:
    """Places of jobs: virtual start times (decision 20). Ranks are priorities, negated."""

    def __init__(self) -> None:
        self._numbers = 0
        self._started: dict[int, int] = {}
        self._ends: defaultdict[str, dict[int, int]] = defaultdict(dict)

    def next_places(self, spec: JobSpec, shares: Mapping[str, Share], count: int = 1) -> tuple[int, int]:
        """The place of the first of so many jobs in a row, and how far it is from each to the next."""
        rank, ends = -spec.priority, self._ends[rules.owner_of(spec)]
        step = _step(spec, shares)
        self._numbers += 1
        self._started.setdefault(rank, math.ceil((self._numbers - 1) / rules.TIES))
        begin = max(self._started[rank], ends.get(rank, 0))
        ends[rank] = begin + step * count
        return begin * rules.TIES + self._numbers % rules.TIES, step * rules.TIES

    def note_start(self, rank: int, place: int, cores: int, first: int | None) -> None:
        """Jobs of this rank that take so many cores together were started, the last one at this place; of those that wait one has the
        `first` place of that rank, None if none waits."""
        at, before = place // rules.TIES, self._started.get(rank, 0)
        if (
            first is not None and first < place
        ):  # it may be far ahead: who comes next is not to stand behind all those
            at = min(at, before + rules.TURN * cores)
        self._started[rank] = max(before, at)

    def forgive(self, owner: str) -> None:
        """He has no job any more: what he has taken back must not keep him waiting for long."""
        ends = {
            rank: min(at, started + rules.TURN)
            for rank, at in self._ends.pop(owner, {}).items()
            if at > (started := self._started.get(rank, 0))
        }
        if ends:
            self._ends[owner] = ends


def _step(spec: JobSpec, shares: Mapping[str, Share]) -> int:
    names = f"{OWNER}{rules.owner_of(spec)}", f"{PROJECT}{rules.words_of(spec.project)}"
    both = math.prod(shares[name].shares for name in names if name in shares)
    return max(1, math.floor(rules.TURN * spec.cores / min(both, rules.MOST_SHARES) + 0.5))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Passing:
    first: tuple[int, int]  # rank and place of the job
    since: float
    agent: str = ""  # that is kept for it, or was in vain
    until: float = 0.0

    def is_kept(self, time: float) -> bool:
        """Whether the agent is kept for it. A time that is too far away is that of a clock that was set back."""
        return time < self.until <= time + rules.RESERVED_FOR


class Passed:
    """Groups whose first job did not fit somewhere, and the agent that is kept for it."""

    def __init__(self) -> None:
        self._groups: dict[str, _Passing] = {}

    def is_kept_for(
        self,
        agent: str,
        group: str,
        first: tuple[int, int],
        time: float,
        may_be_kept: Callable[[str, float], bool],
    ) -> bool:
        """The first job of the group does not fit on the agent now: whether the agent is kept for it. Nothing is kept at an agent that is
        not there or gets no jobs, which `may_be_kept` tells."""
        known = self._groups.get(group)
        if known is None or known.first != first or known.since > time:
            self._groups[group] = _Passing(first=first, since=time)
            return False
        if known.is_kept(time):
            if may_be_kept(known.agent, time):
                return known.agent == agent
        elif known.until:
            self._groups[group] = _Passing(first=first, since=time, agent=known.agent)
            return False
        wait = 2 * rules.RESERVE_AFTER if known.agent == agent else rules.RESERVE_AFTER
        if known.since + wait > time or not may_be_kept(agent, time):
            return False
        self._groups[group] = replace(known, agent=agent, until=time + rules.RESERVED_FOR)
        return True

    def end_keeping(self, agent: str, group: str, first: tuple[int, int]) -> None:
        """The first job of the group would not end on the agent in time: it is kept for it no longer."""
        known = self._groups.get(group)
        if known is not None and (known.first, known.agent) == (first, agent):
            self._groups[group] = replace(known, until=0.0)

    def of(
        self, group: str, first: tuple[int, int], time: float, may_be_kept: Callable[[str, float], bool]
    ) -> tuple[float | None, str]:
        """Since when this job is passed over (None: it is not), and which agent is kept for it ("": none)."""
        known = self._groups.get(group)
        if known is None or known.first != first:
            return None, ""
        return known.since, known.agent if known.is_kept(time) and may_be_kept(known.agent, time) else ""

    def end(self, group: str) -> None:
        """A job of it was claimed."""
        self._groups.pop(group, None)
