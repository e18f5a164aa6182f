"""How an agent parts from jobs that it cannot end: stop them, give them back by `leaving`, then remove what they left.

A state machine without I/O. A job goes these ways, several at once:

    begin ──▶ being stopped ──▶ stopped ──`leaving`──▶ given back ──acknowledged──▶ may be forgotten

Payloads are stopped before their jobs are given back, so that no two agents work at one. What was not acknowledged stays in
the journal, and is reported as lost at the next start: no job is forgotten by both sides.
"""

from __future__ import annotations

from collections.abc import Iterable

from copilot.agent.effects import Assignment, Stop
from copilot.protocol.commands import HeldJob, Leaving
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.protocol.rules import FEATURE_DRAIN
from copilot.runtime.component import Action, Actions, Perform, Send

STOP_WITHIN = 15.0  # s for the payloads to end; then it is said all the same
GOODBYE_WITHIN = 5.0  # s for the managers to acknowledge it


class Goodbye:
    """What one agent gives back, and to whom. Managers are bare JIDs."""

    def __init__(self) -> None:
        self._stopping: dict[str, Assignment] = {}
        self._stopped: dict[str, Assignment] = {}
        self._given: dict[str, Assignment] = {}  # `leaving` has named them
        self._running: set[str] = set()  # jobs whose payload has not ended yet
        self._stop_by = 0.0
        self._answer_by: float | None = None  # None: nobody is waited for
        self._told: set[str] = set()
        self._knowing: set[str] = set()  # managers that have announced the feature

    def wakeup(self) -> float | None:
        """When `tick` has something to say, or nobody is to be waited for any more."""
        if self._stopping:
            return self._stop_by
        if self._stopped:
            return 0.0
        return self._answer_by

    def heard(self, received: Received) -> None:
        """Who announces the feature understands `leaving`."""
        if FEATURE_DRAIN in (received.features or ()):
            self._knowing.add(bare(received.sender))

    def has(self, job: str) -> bool:
        """Whether this job is on its way back."""
        return job in self._stopping or job in self._stopped or job in self._given

    def begin(self, assignments: Iterable[Assignment], now: float) -> Actions:
        """Stop these, and give them back to managers that take them."""
        new = [one for one in assignments if one.manager in self._knowing and not self.has(one.id)]
        if new:
            self._stopping |= {one.id: one for one in new}
            self._running |= {one.id for one in new}
            self._stop_by = now + STOP_WITHIN
        return [Perform(effect=Stop(assignment=one)) for one in new]

    def ended(self, job: str) -> bool:
        """The payload of this job has ended; whether the job is on its way back."""
        self._running.discard(job)
        if job in self._stopping:
            self._stopped[job] = self._stopping.pop(job)
        return self.has(job)

    def tick(self, now: float) -> Actions:
        """Say what is to be said."""
        if self._answer_by is not None and self._answer_by <= now:
            self._answer_by = None
        if self._stopping and now < self._stop_by:
            return []
        back = {**self._stopped, **self._stopping}
        self._stopped, self._stopping = {}, {}
        if back:
            self._given |= back
            self._answer_by = now + GOODBYE_WITHIN
        managers = {one.manager: None for one in back.values()}
        return [self._leaving(manager, back.values()) for manager in managers]

    def _leaving(self, manager: str, jobs: Iterable[Assignment] = ()) -> Action:
        self._told.add(manager)
        held = [HeldJob(id=one.id, attempt=one.job.attempt or 1) for one in jobs if one.manager == manager]
        return Send(to=manager, command=Leaving(held=tuple(held)))

    def last(self, manager: str) -> Actions:
        """Nothing is left to be given back: say so, unless we have said it."""
        return [self._leaving(manager)] if manager in self._knowing - self._told else []

    def accepted(self, goodbye: Leaving) -> list[Assignment]:
        """The manager has these back: they may be forgotten when they do not run any more."""
        back = [self._given.pop(one.id) for one in goodbye.held if one.id in self._given]
        self._answer_by = self._answer_by if self._given else None
        return back

    def runs(self, job: str) -> bool:
        """Whether the payload of a job that we have given back has not ended yet."""
        return job in self._running

    @property
    def waits(self) -> bool:
        """Whether there is something to wait for."""
        return bool(self._stopping or self._stopped) or self._answer_by is not None
