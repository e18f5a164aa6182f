"""What the key manager has done since its start, in plain numbers: for its own metrics, for the log and for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field

from copilot.records import dataclass

# Why somebody gets no ticket.
REFUSALS = ("in-clear", "not-registered", "wrong-credential")


@dataclass(slots=True)
class KeyManagerCounts:
    """Filled by the logic, read by whoever wants to know."""

    issued: int = 0
    refused: Counter[str] = field(default_factory=Counter)  # requests, by reason

    def standing(self) -> Mapping[str, str]:
        """What the key manager tells of itself to who asks (`runtime/status.py`)."""
        return {"tickets": str(self.issued), "tickets-refused": str(self.refused.total())}

    def events(self) -> Mapping[str, int]:
        """What it reports to the monitor."""
        return {"ticket.issued": self.issued, "ticket.refused": self.refused.total()}
