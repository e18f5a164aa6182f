"""How many jobs an agent has and what it is at with them, for whoever asks."""

from __future__ import annotations

from collections.abc import Mapping

from copilot.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """Numbers of jobs, but for `slots`. `waiting` are here and have no slot yet, `kept` are results that a manager of 2011
    has taken. `leaving`: it takes nothing new."""

    manager: str
    slots: int
    held: int
    waiting: int
    fetching: int
    running: int
    uploading: int
    kept: int
    leaving: bool

    def fields(self) -> Mapping[str, str]:
        """For `ComponentStatus`."""
        return {
            "manager": self.manager,
            "slots": str(self.slots),
            "jobs-held": str(self.held),
            "jobs-waiting-for-a-slot": str(self.waiting),
            "jobs-fetching": str(self.fetching),
            "jobs-running": str(self.running),
            "jobs-uploading": str(self.uploading),
            "results-kept": str(self.kept),
            "leaving": "yes" if self.leaving else "no",
        }
