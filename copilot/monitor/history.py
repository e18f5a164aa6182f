"""Time series of the last ten minutes and of the last day, in rings whose memory never grows.

Each value has a step of time as its place (wheel.py).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Mapping

from copilot.monitor.board import History
from copilot.monitor.wheel import Wheel

FINE, FINE_STEPS = 1.0, 600  # s a step
COARSE, COARSE_STEPS = 60.0, 1440
MOST_STEPS = 300  # in one answer
LEVELS = ("waiting", "running", "held", "wait_p50", "wait_p90")  # what is so at a time
COUNTS = ("submitted", "done", "failed")  # what happens in a time
UNKNOWN = math.nan


class Ring:
    """Steps of `width` seconds; the oldest one makes room for the newest."""

    def __init__(self, width: float, steps: int) -> None:
        self.width = width
        self._wheel = Wheel(width, steps, self._clear)
        self._values = {name: array("d", [UNKNOWN] * steps) for name in (*LEVELS, *COUNTS)}

    def put(self, time: float, values: Mapping[str, float | None]) -> None:
        """What is so at a time: the last word of a step counts."""
        at = self._wheel.place(time)
        if at is not None:
            for name, value in values.items():
                self._values[name][at] = UNKNOWN if value is None else value

    def count(self, time: float, name: str) -> None:
        """It happened once more."""
        at = self._wheel.place(time)
        if at is not None:
            before = self._values[name][at]
            self._values[name][at] = 1.0 if math.isnan(before) else before + 1.0

    def values(self, name: str, first: int, last: int) -> Iterator[float]:
        """The values of the steps with these numbers, NaN where nothing is known."""
        for number in range(first, last):
            at = self._wheel.has(number)
            yield UNKNOWN if at is None else self._values[name][at]

    def _clear(self, at: int) -> None:
        for values in self._values.values():
            values[at] = UNKNOWN


class Series:
    """All that is remembered over time. `known`: the time from which on, and that up to which, all events were seen."""

    def __init__(self) -> None:
        self.known: tuple[float, float] | None = None
        self._rings = Ring(FINE, FINE_STEPS), Ring(COARSE, COARSE_STEPS)

    def put(self, time: float, values: Mapping[str, float | None]) -> None:
        """What is so at a time: any of `LEVELS`."""
        for ring in self._rings:
            ring.put(time, values)

    def count(self, time: float, name: str) -> None:
        """One of `COUNTS` happened."""
        for ring in self._rings:
            ring.count(time, name)

    def read(self, span: float, now: float) -> History:
        """The last `span` seconds (60 to 86400) up to `now`, in at most `MOST_STEPS` steps. The last step may not be over:
        a rate in it is that of the part which is."""
        if not 60 <= span <= COARSE * COARSE_STEPS:
            raise ValueError(f"span {span}: expected 60 to {COARSE * COARSE_STEPS:.0f} seconds")
        ring = self._rings[span > FINE * FINE_STEPS]
        # Steps of the ring in one step of the answer.
        together = max(1, math.ceil(span / ring.width / MOST_STEPS))
        step = ring.width * together
        end = int(now // step) + 1
        first = end - min(MOST_STEPS, math.ceil(span / step))
        starts = [number * step for number in range(first, end)]
        series: dict[str, tuple[float | None, ...]] = {}
        for name in LEVELS:
            values = list(ring.values(name, first * together, end * together))
            series[name] = tuple(_last(values[at : at + together]) for at in range(0, len(values), together))
        for name in COUNTS:
            values = list(ring.values(name, first * together, end * together))
            series[name] = tuple(
                self._rate(values[at * together : (at + 1) * together], start, min(start + step, now))
                for at, start in enumerate(starts)
            )
        return History(step=step, times=tuple(starts), series=series)

    def _rate(self, values: list[float], start: float, end: float) -> float | None:
        if self.known is None or end <= self.known[0] or start >= self.known[1]:
            return None
        return sum(value for value in values if not math.isnan(value)) / max(end - start, FINE)


def _last(values: list[float]) -> float | None:
    return next((value for value in reversed(values) if not math.isnan(value)), None)
