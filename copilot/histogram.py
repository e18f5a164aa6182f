"""How often a number was how large, in a few plain counters: what metrics tell of times and sizes.

Cheap enough for what happens with every message: one search among a dozen limits and two additions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from typing import TypeVar

K = TypeVar("K", bound=Hashable)

MOMENTS = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""Seconds that a program's own step may take: from 0.1 ms to 10 s."""

SPANS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 14400, 86400)
"""Seconds that a job may wait or run, or a file be under way: from 10 ms to a day."""


class Histogram:
    """Counts of the observed numbers: `counts[i]` of those that are not above `limits[i]` and above the limit before; the
    last one of those above all limits."""

    __slots__ = ("counts", "limits", "sum")

    def __init__(self, limits: Sequence[float]) -> None:
        """`limits` in ascending order."""
        self.limits = limits
        self.counts = [0] * (len(limits) + 1)
        self.sum = 0.0

    def observe(self, number: float) -> None:
        """One more. A time that two clocks make negative counts as none."""
        if number > 0.0:
            self.counts[bisect_left(self.limits, number)] += 1
            self.sum += number
        else:
            self.counts[0] += 1

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.counts)


class Histograms(dict[K, Histogram]):
    """One for each key; made when the first number comes. The keys are words of our own, so that there are few."""

    __slots__ = ("_limits",)

    def __init__(self, limits: Sequence[float]) -> None:
        super().__init__()
        self._limits = limits

    def __missing__(self, key: K) -> Histogram:
        made = self[key] = Histogram(self._limits)
        return made
