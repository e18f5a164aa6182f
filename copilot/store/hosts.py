"""What a manager says of an agent's host when it claims jobs: the questions of `scripts/matching.lua`, and their answers.

Redis knows which groups of jobs match which class of hosts, but not why. When it meets something new it asks; what it is
told it remembers, for all managers.
"""

from __future__ import annotations

from collections.abc import Sequence

from copilot.job import JobSpec
from copilot.matching.host import Host, read_host, requirements_of
from copilot.matching.matcher import accepts, verdicts
from copilot.matching.needs import needed
from copilot.matching.rank import rank_of
from copilot.records import dataclass

KNOWN = 20_000  # classes of agents that are remembered; for another one Redis asks
# How many groups one question is about, by its turn: few answers are mostly enough to find a job. The script asks about
# fewer when their requirements are long. The last turn goes without those that are still unknown.
ASKED = (256, *[1000] * 99, 0)
ASKED_FOR_RANKS = 6  # turns for which a job waits to know whom it prefers; then it goes to the best one of those that are known


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """How a script sees a host: the class made from the attributes of these `names`, and `verdicts` on it."""

    names: str = ""
    host_class: str = ""
    verdicts: str = ""

    @property
    def words(self) -> tuple[str, str, str]:
        """As scripts take it."""
        return self.names, self.host_class, self.verdicts


class Hosts:
    """What one manager knows. Nothing of it is needed: whatever is missing, Redis asks for."""

    def __init__(self) -> None:
        self._names = ""  # attributes that are asked for, as Redis has said last
        self._classes: dict[str, str] = {}  # by full JID

    def look(self, jid: str, jdl: str) -> Look:
        """What is known of an agent's host. `jdl` is what it says of itself, "" for what it said last; `jid` its full JID, ""
        for one that is not remembered. No class: it is not known."""
        if jdl and (self._names or requirements_of(jdl)):
            return Look(names=self._names, host_class=self._read(jid, jdl).host_class)
        return Look(names=self._names, host_class="" if jdl else self._classes.get(jid, ""))

    def answer(self, jid: str, question: Sequence[str]) -> Look:
        """What Redis wants to know: names, what the host says of itself, then groups, a line for each: its number and its
        requirements or, for a host with requirements of its own, its first job; and of those whose jobs have a rank the number and
        that."""
        names, jdl, lines, ranks = question
        if names != self._names:
            self._names = names
            self._classes.clear()
        host = self._read(jid, jdl)
        groups = [line.split(" ", 1) for line in filter(None, lines.split("\n"))]
        judge = _judge_jobs if host.requirements else verdicts
        found = zip(groups, judge(host, [said for _, said in groups]), strict=True)
        ranked = (line.split(" ", 1) for line in filter(None, ranks.split("\n")))
        words = " ".join(
            [
                *(f"{number}+" if match else f"{number}-" for (number, _), match in found),
                *(f"{number}={rank_of(rank, host)!r}" for number, rank in ranked),
            ]
        )
        return Look(names=names, host_class=host.host_class, verdicts=words)

    def _read(self, jid: str, jdl: str) -> Host:
        host = read_host(jdl, tuple(self._names.split()))
        if jdl:  # who has said nothing yet may do so to another manager
            self._keep(jid, host.host_class)
        return host

    def _keep(self, jid: str, host_class: str) -> None:
        if not jid:
            return
        self._classes.pop(jid, None)  # a new entry stands at the end, in the order of time
        self._classes[jid] = host_class
        if len(self._classes) > KNOWN:
            del self._classes[next(iter(self._classes))]


def _judge_jobs(host: Host, specs: Sequence[str]) -> tuple[bool, ...]:
    """Of each of these jobs whether both sides want it. One that has left its queue meanwhile is nothing to anybody."""
    return tuple(bool(text) and _suits(host, JobSpec.from_json(text)) for text in specs)


def _suits(host: Host, spec: JobSpec) -> bool:
    return (not (needs := needed(spec)) or verdicts(host, [needs])[0]) and accepts(host.requirements, spec)
