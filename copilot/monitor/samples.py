"""What happened in one interval, as the lines that Carbon gets at its end (report, sections 2.2.5 and 2.3.1).

    copilot.jobmanager.generic.one.job.succeeded 3 1313085190

Times are whole seconds since the epoch, durations are milliseconds. `take` says when its interval ended; nothing here
looks at a clock.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

START, END = "start", "end"
DERIVED = ("avg", "gmean", "min", "max", "count", START, END)  # what becomes of a duration
SHORTEST = 0.001  # ms: a duration of 0 counts as this in the geometrical mean, which else would be 0 for all
LONGEST = 1e15  # ms: 31,000 years; sums of it stay far from what a float can hold
MOST = 2**63 - 1  # of a count
ROUNDING = 1e-6  # by how much the parts of a report may contradict each other


@dataclass(frozen=True, slots=True, kw_only=True)
class Durations:
    """So many durations (ms): what is needed of them to put them together with others."""

    count: int
    total: float
    log_total: float  # of the natural logarithms
    shortest: float
    longest: float

    @classmethod
    def of(
        cls,
        mean: float,
        *,
        count: int | None = None,
        geometric_mean: float | None = None,
        shortest: float | None = None,
        longest: float | None = None,
    ) -> Durations:
        """As reported. Of several, a part that was not said is taken from the mean.

        Raises `ValueError` for what cannot be: no duration, one below 0 or above `LONGEST`, means outside of their bounds.
        """
        count = 1 if count is None else count
        gmean = mean if geometric_mean is None else geometric_mean
        low = mean if shortest is None else shortest
        high = mean if longest is None else longest
        slack = ROUNDING * max(high, 1.0)
        # What is no number fails each comparison.
        possible = 0 <= low <= gmean + slack and gmean <= mean + slack and mean <= high + slack
        if not (1 <= count <= MOST and possible and high <= LONGEST):
            raise ValueError(
                f"{count} durations of {mean:g} ms, geometrical mean {gmean:g}, from {low:g} to {high:g}: expected 1 to "
                f"{MOST}, from 0 to {LONGEST:g} ms, shortest ≤ geometrical mean ≤ mean ≤ longest"
            )
        log = math.log(max(gmean, SHORTEST))
        return cls(count=count, total=mean * count, log_total=log * count, shortest=low, longest=high)

    def __add__(self, other: Durations) -> Durations:
        return Durations(
            count=self.count + other.count,
            total=self.total + other.total,
            log_total=self.log_total + other.log_total,
            shortest=min(self.shortest, other.shortest),
            longest=max(self.longest, other.longest),
        )

    @property
    def mean(self) -> float:
        """Arithmetical."""
        return self.total / self.count

    @property
    def geometric_mean(self) -> float:
        """By logarithms, so that it cannot run over."""
        return math.exp(self.log_total / self.count)


class Samples:
    """Events and durations since the last `take`, by their paths."""

    def __init__(self) -> None:
        self._events: dict[str, int] = {}
        self._durations: dict[str, Durations] = {}
        self._tell_own: set[str] = set()  # durations whose start or end is reported as an event

    def event(self, path: str, count: int) -> None:
        """It happened `count` times."""
        self._events[path] = self._events.get(path, 0) + count
        of, _, last = path.rpartition(".")
        if last in (START, END):
            self._tell_own.add(of)

    def durations(self, path: str, durations: Durations) -> None:
        """It took so long."""
        before = self._durations.get(path)
        self._durations[path] = durations if before is None else before + durations

    def take(self, time: int) -> list[str]:
        """The lines of the interval that ends at `time`, and begin the next one. What did not happen has no line."""
        events, self._events = self._events, {}
        durations, self._durations = self._durations, {}
        lines = [line(path, count, time) for path, count in events.items() if count]
        for path, of in durations.items():
            lines += [line(f"{path}.{name}", value, time) for name, value in self._derived(path, of)]
        return lines

    def _derived(self, path: str, of: Durations) -> list[tuple[str, float]]:
        derived: list[tuple[str, float]] = [
            ("avg", of.mean),
            ("gmean", of.geometric_mean),
            ("min", of.shortest),
            ("max", of.longest),
            ("count", of.count),
        ]
        if path not in self._tell_own:
            derived += [(START, of.count), (END, of.count)]
        return derived


def line(path: str, value: float, time: int) -> str:
    """One point in Carbon's plain text."""
    return f"{path} {value!r} {time}"
