"""How long things of one kind took, as few numbers: enough for the means and extremes of the report (section 2.3.1), and to put
them together with others. In milliseconds, as they are reported.
"""

from __future__ import annotations

import math

from copilot.records import dataclass

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
