"""What has become of the XMPP session of a program since its start, in plain numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import field

from copilot.histogram import SPANS, Histogram
from copilot.records import dataclass


@dataclass(slots=True)
class SessionCounts:
    """Filled by the transport, read by whoever wants to know."""

    begun: int = 0  # sessions; the first one included
    lost: int = 0  # sessions that ended before we wanted
    failed: int = 0  # attempts that led to none
    login: Histogram = field(default_factory=lambda: Histogram(SPANS))
    """Seconds from the first packet to the session."""
    up: bool = False
    buffered: Callable[[], int] = int  # bytes that wait for the socket now
    unread: Callable[[], int] = int  # events that have come and nobody has asked for yet
