"""What must be reached: each figure that has a goal, once, with the part of the benchmark that measures it.

A part tells names and values; whether a goal is met is decided here, so all parts are judged alike. What a part does
not tell stands in the table all the same, as not measured.
"""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.row import Row


class Sense(enum.Enum):
    """Which side of the bound is good."""

    AT_LEAST = "≥"
    AT_MOST = "≤"
    ABOVE = ">"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One figure that must be reached. `bound` None: that of the best peer in the same run."""

    part: str
    name: str
    unit: str
    sense: Sense
    bound: float | None

    def judged(self, row: Row) -> Row:
        """`row`, with the goal and whether it is met."""
        bound = self.bound if self.bound is not None else max(row.peers.values(), default=None)
        goal = f"{self.sense.value} {'every peer' if bound is None else number(bound)}"
        return replace(row, unit=self.unit, goal=goal, met=self._reached(row.value, bound))

    def missing(self, why: str) -> Row:
        """The row of this goal if nothing was measured."""
        return self.judged(Row(name=self.name, unit=self.unit, value=None, note=f"not measured: {why}"))

    def _reached(self, value: float | None, bound: float | None) -> bool:
        if value is None or bound is None:
            return False
        if self.sense is Sense.AT_MOST:
            return value <= bound
        return value > bound if self.sense is Sense.ABOVE else value >= bound


def _goals(part: str, *figures: tuple[str, str, Sense, float | None]) -> tuple[Goal, ...]:
    return tuple(
        Goal(part=part, name=name, unit=unit, sense=sense, bound=bound)
        for name, unit, sense, bound in figures
    )


GOALS: Sequence[Goal] = (
    *_goals(
        "jobs",
        ("/bin/true, end to end", "jobs/s", Sense.ABOVE, None),
        ("script and stored stdout, end to end", "jobs/s", Sense.ABOVE, None),
        ("submit to payload started, idle agent, p50", "ms", Sense.AT_MOST, 5),
        ("submit to payload started, idle agent, p99", "ms", Sense.AT_MOST, 25),
    ),
    *_goals(
        "broker",
        ("broker alone, Prosody", "cycles/s", Sense.AT_LEAST, 3000),
        ("broker alone, ejabberd", "cycles/s", Sense.AT_LEAST, 5000),
        ("broker alone, Prosody, protocol of 2011", "cycles/s", Sense.AT_LEAST, 500),
        ("two managers to one", "times", Sense.ABOVE, 1),
        ("three managers to two", "times", Sense.ABOVE, 1),
    ),
    *_goals(
        "queue",
        ("claim p99, 1,000,000 waiting jobs in 1,000 groups", "ms", Sense.AT_MOST, 5),
        ("claim p99, 1,000,000 waiting jobs to 1,000", "times", Sense.AT_MOST, 1.5),
        ("submit in bulk", "jobs/s", Sense.AT_LEAST, 20_000),
    ),
    *_goals(
        "fleet",
        ("idle fleet: messages an agent in ten minutes", "messages", Sense.AT_MOST, 1),
        ("idle fleet: CPU of a manager", "% of a core", Sense.AT_MOST, 2),
        ("idle fleet: manager's memory for an agent", "kB", Sense.AT_MOST, 5),
        ("idle fleet: reached by a submit of 10,000 jobs", "% of agents", Sense.AT_LEAST, 100),
        ("idle fleet: back after a restart, to the server's own cost", "times", Sense.AT_MOST, 1.3),
        ("idle fleet: leases lost by a restart", "leases", Sense.AT_MOST, 0),
    ),
    *_goals(
        "agent",
        ("agent resident, files by Chirp", "MB", Sense.AT_MOST, 40),
        ("agent resident, files by HTTP", "MB", Sense.AT_MOST, 50),
        ("agent's start to its first payload", "s", Sense.AT_MOST, 1),
    ),
    *_goals(
        "files",
        ("200 MB by Chirp, to chirp_put", "%", Sense.AT_LEAST, 90),
        ("200 MB up by HTTP, to curl", "%", Sense.AT_LEAST, 90),
        ("200 MB down by HTTP, to curl", "%", Sense.AT_LEAST, 90),
        ("1,000 files of 1 kB by Chirp, to chirp_put once a file", "times", Sense.AT_LEAST, 20),
    ),
)


def judged(part: str, rows: Sequence[Row], why: str) -> list[Row]:
    """The rows of a part with their goals, and those of its goals that it did not measure, because of `why`."""
    goals = {goal.name: goal for goal in GOALS if goal.part == part}
    found = {row.name: row for row in rows}
    known = [goal.judged(found[name]) if name in found else goal.missing(why) for name, goal in goals.items()]
    return known + [row for row in rows if row.name not in goals]


def number(value: float) -> str:
    """Three digits or all before the point, and commas between thousands."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.3g}"
