"""Percentiles of spans of time over a sliding window, in memory that does not depend on how many there were."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from copilot.monitor.wheel import Wheel

SHORTEST = 0.001  # s; what is shorter counts as this
GROWTH = 1.05  # from one bucket to the next: a percentile is off by at most half of that, 2.5 %


class Spans:
    """Spans of the last `window` seconds, by buckets that grow by `GROWTH` and slices of a sixtieth of the window."""

    def __init__(self, window: float = 600.0, slices: int = 60) -> None:
        self._wheel = Wheel(window / slices, slices, self._clear)
        self._slices: list[Counter[int]] = [Counter() for _ in range(slices)]
        self._longest = [0.0] * slices

    def _clear(self, at: int) -> None:
        self._slices[at], self._longest[at] = Counter(), 0.0

    def add(self, time: float, span: float) -> None:
        """`span` seconds, that ended at `time`; what is older than the window is left out."""
        at = self._wheel.place(time)
        if at is not None:
            self._slices[at][_bucket(span)] += 1
            self._longest[at] = max(self._longest[at], span)

    def quantiles(self, now: float, shares: Sequence[float]) -> tuple[float | None, ...]:
        """The spans below which these shares of all lie; None where there are no spans."""
        total: Counter[int] = Counter()
        for at in self._wheel.kept(now):
            total.update(self._slices[at])
        count, found, passed = total.total(), list[float | None](), 0
        buckets = iter(sorted(total.items()))
        bucket = 0
        for share in shares:  # which ascend
            while passed < max(1, math.ceil(share * count)) and passed < count:
                bucket, number = next(buckets)
                passed += number
            found.append(_middle(bucket) if count else None)
        return tuple(found)

    def count(self, now: float) -> int:
        """How many there are."""
        return sum(self._slices[at].total() for at in self._wheel.kept(now))

    def longest(self, now: float) -> float | None:
        """The longest one, exactly; None if there is none."""
        return max((self._longest[at] for at in self._wheel.kept(now)), default=None)


def _bucket(span: float) -> int:
    return max(0, math.ceil(math.log(max(span, SHORTEST) / SHORTEST, GROWTH)))


def _middle(bucket: int) -> float:
    """Of the spans of a bucket; no span of it is further away than half of `GROWTH`."""
    return SHORTEST * GROWTH ** (bucket - 0.5) if bucket else SHORTEST
