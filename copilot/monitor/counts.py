"""What the monitor has heard and passed on since its start, in plain numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

REPORTS = ("event", "duration", "value")


@dataclass(slots=True)
class MonitorCounts:
    """Filled by the monitor, read by whoever wants to know. Lines are those that Carbon takes."""

    reports: Counter[str] = field(default_factory=Counter)  # by kind, one of `REPORTS`
    lines_sent: int = 0
    lines_dropped: int = 0  # because Carbon was away for longer than there is room
    lines_waiting: int = 0
    carbon_connects: int = 0
    carbon_up: bool = False
