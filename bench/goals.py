"""What must be reached: each figure that has a goal, once, with the part of the benchmark that measures it.

A part tells names and values; whether a goal is met is decided here, so all parts are judged alike. What a part does
not tell stands in the table all the same, as not measured.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from bench.row import Row, number


class Sense(enum.Enum):
    """Which side of the bound is good."""

    AT_LEAST = "≥"
    AT_MOST = "≤"
    ABOVE = ">"


@dataclass(frozen=True, kw_only=True)
class Goal:
    """One figure that must be reached: that of the row of this name, whatever follows a comma.

    `bound` is a number, or the name of the row to compare with, or None: the best peer in the same run or, without peers,
    what the part itself has set.
    """

    part: str
    name: str
    unit: str
    sense: Sense
    bound: float | str | None

    def is_for(self, row: Row) -> bool:
        """Whether `row` tells of this goal."""
        return row.name == self.name or row.name.startswith(f"{self.name}, ")

    def judged(self, row: Row, others: Mapping[str, float | None]) -> Row:
        """`row`, with the goal and whether it is met; `others` are the values of all rows by their names."""
        bound = self.bound
        if isinstance(bound, str):
            bound = others.get(bound)
        elif bound is None:
            if not row.peers and row.goal:
                return row
            bound = max(row.peers.values(), default=None)
        goal = f"{self.sense.value} {self._unknown() if bound is None else number(bound)}"
        return replace(row, goal=goal, met=self._reached(row.value, bound))

    def missing(self, why: str) -> Row:
        """The row of this goal if nothing was measured."""
        return self.judged(Row(name=self.name, unit=self.unit, value=None, note=f"not measured: {why}"), {})

    def _unknown(self) -> str:
        """In words, a bound that only a run can tell."""
        if isinstance(self.bound, str):
            return self.bound.rpartition(", ")[2]
        return "every peer" if self.sense is Sense.ABOVE else "all"

    def _reached(self, value: float | None, bound: float | None) -> bool:
        if value is None or bound is None:
            return False
        if self.sense is Sense.AT_MOST:
            return value <= bound
        return value > bound if self.sense is Sense.ABOVE else value >= bound


def _goals(part: str, *figures: tuple[str, str, Sense, float | str | None]) -> tuple[Goal, ...]:
    return tuple(
        Goal(part=part, name=name, unit=unit, sense=sense, bound=bound)
        for name, unit, sense, bound in figures
    )


CYCLES = "job cycles: {}, extensions"  # as the broker's part names them

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
        ("job cycles: prosody, extensions, 1 manager", "jobs/s", Sense.AT_LEAST, 3000),
        ("job cycles: ejabberd, extensions, 1 manager", "jobs/s", Sense.AT_LEAST, 5000),
        ("job cycles: prosody, 2011, 1 manager", "jobs/s", Sense.AT_LEAST, 500),
        *(
            (f"{CYCLES.format(server)}, {more}", "jobs/s", Sense.ABOVE, f"{CYCLES.format(server)}, {fewer}")
            for server in ("prosody", "ejabberd")
            for fewer, more in (("1 manager", "2 managers"), ("2 managers", "3 managers"))
        ),
    ),
    *_goals(
        "queue",
        ("submit in bulk, 1,000 groups", "jobs/s", Sense.AT_LEAST, 20_000),
        ("claim p99, 1,000 groups, 1,000,000 jobs", "ms", Sense.AT_MOST, 5),
        ("claim p99, 1,000 groups, 1,000,000 jobs to 1,000 jobs", "times", Sense.AT_MOST, 1.5),
    ),
    *_goals(
        "board",
        ("Redis while somebody watches", "% of a core", Sense.AT_MOST, 3),
        *(
            (f"page: {name}", "ms", Sense.AT_MOST, 20)
            for name in (
                "agents",
                "jobs that wait",
                "jobs that run",
                "jobs that are done",
                "one job",
                "history of a day",
            )
        ),
    ),
    *_goals(
        "fleet",
        ("said by an idle agent", "messages/10 min", Sense.AT_MOST, 1),
        ("CPU of both managers, idle", "% of a core", Sense.AT_MOST, 2),
        ("memory of a manager (PSS)", "kB/agent", Sense.AT_MOST, 5),
        ("agents that got one of as many jobs", "agents", Sense.AT_LEAST, None),
        ("that, to the log-in of the fleet", "times", Sense.AT_MOST, 1.3),
        ("leases lost", "leases", Sense.AT_MOST, 0),
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
    """The rows of a part with their goals, and those of its goals that it did not measure, because of `why`.

    A row that is nobody's keeps a goal that the part has set.
    """
    values = {row.name: row.value for row in rows}
    left, found = list(rows), []
    for goal in (one for one in GOALS if one.part == part):
        row = next(filter(goal.is_for, left), None)
        if row is None:
            found.append(goal.missing(why))
        else:
            left.remove(row)
            found.append(goal.judged(row, values))
    return found + left
