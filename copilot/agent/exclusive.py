"""Jobs that must never run twice at once: begun only under a lease that is sure, and stopped before it can end.

    held ──renewal accepted──▶ running ──its lease is nearly over──▶ stopped ──it still runs──▶ killed

A lease counts from when the renewal was said, so its end here is never later than at the manager. A job is not begun before
a renewal that names it was accepted: until then our manager may take it for undelivered, and give it to somebody else.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import replace

from copilot.agent.effects import Assignment, Begin, Kill, Stop
from copilot.job import Cause, Outcome
from copilot.protocol.commands import HeldJob
from copilot.records import dataclass
from copilot.runtime.component import Action, Actions, Perform

log = logging.getLogger("copilot.agent")

TIME_TO_STOP = 12.0  # s: 10 after SIGTERM, 2 for what the payload left behind
RESERVE = 3.0  # s, for a machine that is slow
CLOCKS_DIFFER = 0.001  # of a lease, twice what NTP corrects at most
LARGEST_SHARE = 1 / 3  # of a short lease that is used for the end
LOOK_EVERY = 1.0  # s; a machine that slept is late for what was due meanwhile, and its timers do not know

REASON = "it is exclusive and its lease was not renewed in time, so this agent has stopped it"


@dataclass(slots=True)
class _Run:
    """One that has begun. `until`: by then nothing of it may be left, by the clock of `now`."""

    assignment: Assignment
    until: float
    stopped: bool = False
    killed: bool = False

    @property
    def stop_at(self) -> float:
        return self.until - _time_for_the_end(self.lease)

    @property
    def kill_at(self) -> float:
        return self.stop_at + min(TIME_TO_STOP, 0.8 * _time_for_the_end(self.lease))

    @property
    def lease(self) -> float:
        return self.assignment.job.lease or 0.0


class Exclusives:
    """The exclusive jobs of one agent that have begun."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._looked = 0.0

    def wakeup(self) -> float | None:
        """When `tick` is to look."""
        times = [run.kill_at if run.stopped else run.stop_at for run in self._runs.values() if not run.killed]
        return min(*times, self._looked + LOOK_EVERY) if times else None

    def renewed(
        self, held: Iterable[HeldJob], said: float, running: Iterable[Assignment], now: float
    ) -> Actions:
        """A renewal of `held`, said at `said`, was accepted: begin what waits for that of `running`."""
        named = {(one.id, one.attempt) for one in held}
        actions: list[Action] = []
        for one in running:
            if not one.job.exclusive or (one.id, one.job.attempt or 1) not in named:
                continue
            lease = one.job.lease or 0.0
            run = self._runs.get(one.id)
            if run is not None:
                run.until = max(run.until, said + lease)
            elif said + lease - _time_for_the_end(lease) > now:
                self._runs[one.id] = _Run(assignment=one, until=said + lease)
                actions.append(Perform(effect=Begin(assignment=one)))
        return actions

    def tick(self, running: Iterable[Assignment], now: float) -> Actions:
        """Stop, of what is `running`, whatever somebody else may have soon."""
        self._looked = now
        jobs = {one.id for one in running}
        self._runs = {job: run for job, run in self._runs.items() if job in jobs}
        return [action for run in self._runs.values() for action in _due(run, now)]

    def ended(self, job: str, result: object) -> object:
        """The payload of a job has ended with `result`; what to make of that: if we have stopped it, it is not to blame."""
        run = self._runs.pop(job, None)
        if run is None or not run.stopped or not isinstance(result, Outcome) or result.cause is Cause.OK:
            return result
        return replace(result, cause=Cause.INFRA_CUT_OFF, reason=REASON)


def _time_for_the_end(lease: float) -> float:
    return min(TIME_TO_STOP + RESERVE + lease * CLOCKS_DIFFER, lease * LARGEST_SHARE)


def _due(run: _Run, now: float) -> Iterable[Action]:
    if now >= run.stop_at and not run.stopped:
        run.stopped = True
        log.warning("%s: %s", run.assignment.ref, REASON)
        yield Perform(effect=Stop(assignment=run.assignment))
    if now >= run.kill_at and not run.killed:
        run.killed = True
        yield Perform(effect=Kill(assignment=run.assignment))
