"""How long things of one kind took, as few numbers: enough for the means and extremes of the report (section 2.3.1)."""

from __future__ import annotations

import math
from dataclasses import dataclass

SHORTEST = (
    1e-6  # s; what took no measurable time counts as this in the geometrical mean, which it would make 0
)


@dataclass(slots=True)
class Durations:
    """Seconds that were added so far; a geometrical mean is kept as a sum of logarithms, so that no product overflows."""

    count: int = 0
    total: float = 0.0
    logarithms: float = 0.0
    shortest: float = math.inf
    longest: float = 0.0

    def add(self, seconds: float) -> None:
        """One more; negative ones, which a clock that was set back makes, count as 0."""
        taken = max(0.0, seconds)
        self.count += 1
        self.total += taken
        self.logarithms += math.log(max(taken, SHORTEST))
        self.shortest = min(self.shortest, taken)
        self.longest = max(self.longest, taken)

    @property
    def mean(self) -> float:
        """The arithmetical mean; only where there is something."""
        return self.total / self.count

    @property
    def geometric_mean(self) -> float:
        """The geometrical mean; only where there is something."""
        return math.exp(self.logarithms / self.count)
