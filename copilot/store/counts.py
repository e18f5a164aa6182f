"""What one program has asked of the queue's server since its start, in plain numbers."""

from __future__ import annotations

from collections import Counter
from dataclasses import field

from copilot.histogram import MOMENTS, Histogram
from copilot.records import dataclass

UNAVAILABLE, REFUSED, NO_ENTRY = "unavailable", "refused", "no-entry"
ERRORS = (UNAVAILABLE, REFUSED, NO_ENTRY)


@dataclass(slots=True)
class StoreCounts:
    """Filled by the store, read by whoever wants to know."""

    round_trips: int = 0
    seconds: Histogram = field(default_factory=lambda: Histogram(MOMENTS))
    """Of the round trips that were answered; without those that wait for events."""
    errors: Counter[str] = field(default_factory=Counter)  # commands without an answer of use, by kind
