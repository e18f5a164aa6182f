"""What the monitor has done since its start, in plain numbers: for its own metrics, for the log and for tests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import field

from copilot.records import dataclass

# Why a report is not taken.
REFUSALS = ("not-allowed", "bad-name", "foreign-name", "bad-number", "too-many-paths")


@dataclass(slots=True)
class MonitorCounts:
    """Filled by the logic and by the line to Carbon, read by whoever wants to know."""

    reports: int = 0  # taken
    refused: Counter[str] = field(default_factory=Counter)  # reports, by reason
    paths: int = 0  # different ones that were forwarded
    sent: int = 0  # lines that were handed to Carbon's machine, repeated ones included
    dropped: int = 0  # lines that Carbon never got, because too many waited for it
    waiting: int = 0  # lines that wait now
    connections: int = 0  # to Carbon, that came about
    connected: bool = False  # to Carbon, now

    def standing(self) -> Mapping[str, str]:
        """What the monitor tells of itself to who asks (`runtime/status.py`)."""
        return {
            "reports": str(self.reports),
            "reports-refused": str(self.refused.total()),
            "carbon": "connected" if self.connected else "not connected",
            "lines-sent": str(self.sent),
            "lines-waiting": str(self.waiting),
            "lines-dropped": str(self.dropped),
        }
