"""A clock that a test sets by hand."""

from __future__ import annotations


class HandClock:
    """Both readings are the same, in seconds."""

    def __init__(self, now: float) -> None:
        self.now = now

    def monotonic(self) -> float:
        return self.now

    def wall(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds
