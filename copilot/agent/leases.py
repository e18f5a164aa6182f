"""Keeping hold of jobs: one message renews all leases of one manager, every third of the shortest (protocol page, 4).

A state machine without I/O. A renewal goes to the instance that spoke to us last. If it is not accepted soon, it is said
anew, to all of them, until somebody accepts it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import field

from copilot.agent.effects import Assignment
from copilot.protocol.commands import HeldJob, RenewLease
from copilot.protocol.envelope import bare
from copilot.records import dataclass
from copilot.runtime.component import Action, Actions, Send

RENEWALS_A_LEASE = 3
TRIES_A_LEASE = 10  # while nobody answers
RENEWALS_REMEMBERED = 2 * TRIES_A_LEASE  # those of more than a lease; what was said earlier counts no more


@dataclass(slots=True)
class _Bond:
    """What binds us to one manager. Times in seconds of the clock that `now` is of."""

    instance: str  # full JID that spoke to us last
    due: float
    interval: float  # between two renewals
    accepted: float  # when the last renewal was said that was accepted
    silent: bool = False  # what was said last is not accepted yet: the next renewal goes to all instances
    said: deque[tuple[float, RenewLease]] = field(default_factory=lambda: deque(maxlen=RENEWALS_REMEMBERED))


class Leases:
    """The leases of one agent. `random()` yields 0 … 1."""

    def __init__(self, random: Callable[[], float]) -> None:
        self._random = random
        self._bonds: dict[str, _Bond] = {}  # by the manager's bare JID

    def wakeup(self) -> float | None:
        """When `tick` has something to say."""
        return min((bond.due for bond in self._bonds.values()), default=None)

    def assigned(self, assignment: Assignment, sender: str, now: float) -> None:
        """`sender` (full JID) has given us a job: its lease has begun. An exclusive one waits for the first renewal."""
        bond = self._bonds.get(assignment.manager)
        if assignment.job.lease is None:
            return
        interval = assignment.job.lease / RENEWALS_A_LEASE
        due = now if assignment.job.exclusive else now + interval
        if bond is None:
            bond = _Bond(instance=sender, due=due, interval=interval, accepted=now)
            self._bonds[assignment.manager] = bond
        bond.instance, bond.due = sender, min(bond.due, due)

    def begun(self, assignment: Assignment, now: float) -> None:
        """A job that has waited is executed now: an exclusive one is not to wait for the next renewal, which lets it run."""
        bond = self._bonds.get(assignment.manager)
        if bond is not None and assignment.job.exclusive:
            bond.due = min(bond.due, now)

    def online(self, now: float) -> None:
        """After an outage everything is renewed at once, with some jitter, for the whole fleet comes back; and with all
        instances, for ours may be gone."""
        for bond in self._bonds.values():
            bond.due = min(bond.due, now + self._random())
            bond.silent = True

    def tick(self, held: Iterable[Assignment], phase: Callable[[Assignment], str], now: float) -> Actions:
        """Renew what is due of all that is `held`; `phase` says what is going on with it."""
        mine = list(held)
        actions: list[Action] = []
        for manager, bond in list(self._bonds.items()):
            jobs = [one for one in mine if one.manager == manager and one.job.lease is not None]
            if not jobs:
                del self._bonds[manager]
            elif bond.due <= now:
                actions.append(self._renew(bond, jobs, phase, now))
        return actions

    def _renew(
        self, bond: _Bond, jobs: list[Assignment], phase: Callable[[Assignment], str], now: float
    ) -> Send:
        to = bare(bond.instance) if bond.silent else bond.instance
        shortest = min(one.job.lease or 0.0 for one in jobs)
        bond.due = now + self._jittered(shortest / TRIES_A_LEASE)
        bond.silent = True
        bond.interval = shortest / RENEWALS_A_LEASE
        held = tuple(HeldJob(id=one.id, attempt=one.job.attempt or 1, phase=phase(one)) for one in jobs)
        renewal = RenewLease(held=held)
        bond.said.append((now, renewal))
        return Send(to=to, command=renewal)

    def accepted(self, to: str, renewal: RenewLease) -> float | None:
        """`renewal`, which went to this JID, was acknowledged: the leases of what it names count from when it was said,
        which is returned (None: that was too long ago). It is known by its identity, for two may say the same."""
        bond = self._bonds.get(bare(to))
        when = next((when for when, said in bond.said if said is renewal), None) if bond is not None else None
        if bond is None or when is None:
            return None
        if when >= bond.accepted:
            bond.accepted, bond.silent = when, False
            bond.due = when + self._jittered(bond.interval)
        return when

    def _jittered(self, seconds: float) -> float:
        """So that a fleet does not speak in step."""
        return seconds * (0.8 + 0.2 * self._random())

    def run_out(self, assignment: Assignment, now: float) -> bool:
        """Whether no renewal was accepted for the length of the job's lease: somebody else may have the job by now."""
        bond, lease = self._bonds.get(assignment.manager), assignment.job.lease
        return bond is not None and lease is not None and bond.accepted + lease <= now
