"""Jobs for parked agents in the queue in memory, and whom jobs with a rank prefer (decision 23); `scripts/dispatch.lua` is its twin."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from copilot.job import JobRecord, JobSpec
from copilot.matching.groups import request_of
from copilot.matching.host import read_host
from copilot.matching.matcher import suits
from copilot.matching.rank import rank_of, read_rank
from copilot.matching.resources import Fit, fits
from copilot.records import dataclass
from copilot.store.memory_rows import Asker, Job

DEEPEST = 8  # agents that an agent is asked to wait for, one after the other; the script has the same number


@dataclass(slots=True)
class _Ranking:
    """Agents in the order in which the jobs of a group prefer them, and how much."""

    order: list[str]
    scores: Mapping[str, float]
    at: int = 0


@dataclass(slots=True, kw_only=True)
class Dispatching:
    """One look at the parked agents: `askers` and their `slots` by full JID, those that have waited for longest first."""

    askers: Mapping[str, Asker]
    slots: dict[str, int]
    claim: Callable[[Asker, int], Sequence[JobRecord]]
    left: int  # jobs that are still to be given
    given: list[tuple[str, JobRecord]] = field(default_factory=list)
    _rankings: dict[str, _Ranking] = field(default_factory=dict)
    _next: _Ranking | None = None  # that by which another agent is preferred

    def run(self) -> list[tuple[str, JobRecord]]:
        """Each job that was given, and to whom."""
        for jid in self.askers:
            self._offer(jid, self.slots[jid], 0)
        return self.given

    def _offer(self, jid: str, count: int, depth: int) -> int:
        """Give an agent at most so many jobs; where one that comes first is for another agent, that one is given a job before."""
        total = 0
        while True:
            total += self._give(jid, count - total, depth)
            ranking = self._next
            if ranking is None or not self.left or total == count:
                return total
            if not self._offer(ranking.order[ranking.at], 1, depth + 1):
                ranking.at += 1  # that one gets no jobs now, or not these
            if not self.slots[jid] or not self.left:
                return total

    def _give(self, jid: str, count: int, depth: int) -> int:
        asker, most = self.askers[jid], min(count, self.slots[jid], self.left)
        self._next = None
        asker.prefers_other = (lambda job: self._prefers_other(jid, job)) if depth < DEEPEST else None
        records = self.claim(asker, most) if most else ()
        asker.prefers_other = None
        self.given += [(jid, record) for record in records]
        self.slots[jid] -= len(records)
        self.left -= len(records)
        return len(records)

    def _prefers_other(self, jid: str, job: Job) -> bool:
        if job.group not in self._rankings:
            self._rankings[job.group] = self._rank(job.record.spec)
        ranking, request = self._rankings[job.group], request_of(job.group)
        while ranking.at < len(ranking.order):
            other = ranking.order[ranking.at]
            if ranking.scores[other] <= ranking.scores.get(jid, 0.0):
                break
            if self.slots[other] and fits(self.askers[other].free, request) is Fit.NOW:
                self._next = ranking
                return True
            ranking.at += 1  # it has less and less free
        return False

    def _rank(self, spec: JobSpec) -> _Ranking:
        names = read_rank(spec.rank).attributes
        suited = [jid for jid, asker in self.askers.items() if self.slots[jid] and suits(spec, asker.host)]
        scores = {jid: rank_of(spec.rank, read_host(self.askers[jid].host, names)) for jid in suited}
        return _Ranking(sorted(suited, key=lambda jid: -scores[jid]), scores)
