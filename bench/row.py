"""One figure of the benchmark: the only form in which its parts tell what they measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """`value` is the median of `rounds`, in `unit`; None if it was not measured, and then `note` says why.

    `goal` is what must be reached, as people read it (`≥ 3,000`); empty for a figure that only informs. `peers` are others
    that did the same in the same run, by their name with version and durability.
    """

    name: str
    unit: str
    value: float | None
    goal: str = ""
    met: bool = False
    rounds: tuple[float, ...] = ()
    peers: Mapping[str, float] = field(default_factory=dict)
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """As it stands in a result file."""
        return asdict(self)


def row_from_json(found: Mapping[str, Any]) -> Row:
    """The inverse of `Row.to_json`; a goal may be a number, a note be called `limit`. Raises ValueError for what is no row."""
    try:
        return Row(
            name=str(found["name"]),
            unit=str(found["unit"]),
            value=None if found["value"] is None else float(found["value"]),
            goal=_goal(found.get("goal")),
            met=bool(found.get("met")),
            rounds=tuple(map(float, found.get("rounds", ()))),
            peers={str(peer): float(value) for peer, value in found.get("peers", {}).items()},
            note=str(found.get("note") or found.get("limit") or ""),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{found!r} is no row ({error!r}): expected at least name, unit and value, see bench.row.Row"
        ) from error


def number(value: float) -> str:
    """Three digits or all before the point, and commas between thousands."""
    if value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:,.3g}"


def _goal(found: object) -> str:
    return number(found) if isinstance(found, int | float) else str(found or "")


def score(rows: Sequence[Row]) -> str:
    """The last line of every run."""
    goals = [row for row in rows if row.goal]
    return f"met {sum(row.met for row in goals)} of {len(goals)}"
