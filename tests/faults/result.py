"""What is known at the end of a campaign."""

from __future__ import annotations

from dataclasses import dataclass, field

from copilot.job import Event
from tests.faults.history import Found
from tests.faults.plan import Plan
from tests.faults.schedule import Fault


@dataclass(frozen=True, slots=True, kw_only=True)
class Happened:
    """A fault that was injected; `began` and `passed` in seconds since the epoch."""

    fault: Fault
    began: float
    passed: float


@dataclass(slots=True, kw_only=True)
class Result:
    """What came of a campaign; times in seconds."""

    plan: Plan
    happened: list[Happened] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # kinds that cannot be made here
    events: tuple[Event, ...] = ()
    found: Found = field(default_factory=Found)
    orphans: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)  # that nobody knows, or that should have gone
    attempts_left: int = 0  # directories of attempts in the file area
    files_left: list[str] = field(default_factory=list)  # what `copilot clean` leaves there and should not
    misdeeds: list[str] = field(default_factory=list)  # what programs did that no program should do
    seconds: float = 0.0
    drained: float = 0.0  # from the last fault to the end of the last job

    @property
    def good(self) -> bool:
        """Whether nothing is wrong."""
        found = self.found
        wrong = (found.lost, found.twice, found.stuck, found.order, self.orphans, self.keys)
        return not any((*wrong, self.files_left, self.misdeeds))
