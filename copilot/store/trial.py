"""Agents at which jobs keep failing, as the queue in memory counts them; `scripts/trial.lua` has the rules and the reasons."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from copilot.job import Cause
from copilot.records import dataclass

# The script has the same numbers. Times in seconds.
QUICK = 10.0
STRIKES = 3
SEVERAL = 3
FIRST_QUARANTINE = 60.0
LONGEST_QUARANTINE = 3600.0
LEFT_TO_OTHERS = 15.0  # an idle agent asks every 10 s
LATELY = 600.0
AGENTS_MEMORY = 24 * 3600.0
TRIAL_MEMORY = 2 * 3600.0
MOST_LEFT = 100  # jobs that one claim leaves to others


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What is held against an agent (bare JID): the jobs that failed there in a row.

    `level` is how often in a row it was put in quarantine, `ends` the end of the last one in seconds since the epoch.
    """

    agent: str
    level: int = 0
    ends: float = 0.0
    probe: tuple[str, int] | None = None  # the job and attempt that it got since
    jobs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """An attempt that did not end well. `places`: all agents at which the job has failed, this one among them."""

    job: str
    agent: str
    cause: Cause
    places: Sequence[str]
    claimed: float


class Trials:
    """All agents on trial."""

    def __init__(self) -> None:
        self.trials: dict[str, Trial] = {}
        self._failing: dict[str, float] = {}  # the last strike, by agent
        self._agents: dict[str, float] = {}  # the last claim, by agent

    def allowance(self, agent: str, count: int, now: float, runs: Callable[[str, int], bool]) -> int:
        """How many jobs an agent may get now that asks for so many; `runs(job, attempt)` tells of its probe."""
        trial = self.trials.get(agent)
        if trial is None or trial.level == 0:
            return count
        if trial.probe is not None and runs(*trial.probe):
            return 0
        return 1 if trial.ends <= now else 0

    def in_quarantine(self, agent: str, now: float) -> bool:
        """Whether it gets nothing, for jobs keep failing there."""
        trial = self.trials.get(agent)
        return trial is not None and trial.level > 0 and trial.ends > now

    def claimed(self, agent: str, first: tuple[str, int], now: float) -> None:
        """An agent was given jobs, this one first."""
        old = now - AGENTS_MEMORY
        self._agents = {name: time for name, time in self._agents.items() if time > old} | {agent: now}
        trial = self.trials.get(agent)
        if trial is not None and trial.level > 0:
            self.trials[agent] = replace(trial, probe=first)

    def is_for_others(self, agent: str, places: Sequence[str], struck: float, now: float) -> bool:
        """Whether a job that last failed at `struck` had better go to another agent."""
        return agent in places and struck + LEFT_TO_OTHERS > now and len(self._agents) > 1

    def end(self, agent: str) -> bool:
        """Nothing is held against the agent any more; False if nothing was."""
        self._failing.pop(agent, None)
        return self.trials.pop(agent, None) is not None

    def failed(self, failure: Failure, now: float) -> int | None:
        """Judge the agent: for how many seconds it is in quarantine now, None if this does not lead there."""
        for agent in [name for name, time in self._failing.items() if time <= now - TRIAL_MEMORY]:
            self.end(agent)
        if len(failure.places) >= SEVERAL:
            self._exonerate(failure)
            return None
        self._failing[failure.agent] = now
        if not failure.cause.retryable and self._common(now):
            return None
        return self._strike(failure, now)

    def _exonerate(self, failure: Failure) -> None:
        for agent in failure.places:
            trial = self.trials.get(agent)
            if trial is not None and trial.level == 0:
                jobs = tuple(job for job in trial.jobs if job != failure.job)
                self.trials[agent] = replace(trial, jobs=jobs)
                if not jobs:
                    del self.trials[agent]

    def _common(self, now: float) -> bool:
        lately = sum(time >= now - LATELY for time in self._failing.values())
        return lately * 2 > len(self._agents)

    def _strike(self, failure: Failure, now: float) -> int | None:
        trial = self.trials.get(failure.agent, Trial(agent=failure.agent))
        if trial.level == 0:
            if failure.job in trial.jobs:
                return None
            trial = replace(trial, jobs=(*trial.jobs, failure.job))
        elif failure.claimed < trial.ends:
            return None
        else:
            trial = replace(trial, jobs=(failure.job,))
        seconds = None
        if trial.level > 0 or len(trial.jobs) >= STRIKES:
            seconds = min(FIRST_QUARANTINE * 2**trial.level, LONGEST_QUARANTINE)
            trial = replace(trial, level=trial.level + 1, ends=now + seconds, probe=None)
        self.trials[failure.agent] = trial
        return None if seconds is None else int(seconds)


def is_strike(cause: Cause, lasted: float) -> bool:
    """Whether an attempt that ended so, `lasted` seconds after its start, may count against its agent."""
    return cause not in (Cause.OK, Cause.CANCELLED) and (cause.retryable or lasted < QUICK)


def quarantine_text(seconds: int, job: str) -> str:
    """What the event stream says of it."""
    return f"jobs keep failing at this agent: it gets none for {seconds} s; the last was {job}"
