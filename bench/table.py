"""Goals and figures side by side, as text."""

from __future__ import annotations

from collections.abc import Sequence

from bench.row import Row, number, score

HEAD = ("Figure", "Goal", "Seen", "Unit", "")


def table(rows: Sequence[Row]) -> str:
    """Rows with a goal first, then those that only inform, then what is to be said of a row; last `met M of N`."""
    ordered = sorted(rows, key=lambda row: not row.goal)
    cells = [HEAD, *map(_cells, ordered)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(HEAD))]
    lines = ["  ".join(_aligned(line, widths)).rstrip() for line in cells]
    lines.insert(1, "  ".join("-" * width for width in widths if width))
    remarks = [line for row in ordered for line in _remarks(row)]
    return "\n".join([*lines, "", *remarks, *([""] if remarks else []), score(rows)])


def _cells(row: Row) -> tuple[str, ...]:
    seen = "-" if row.value is None else number(row.value)
    verdict = "" if not row.goal else "met" if row.met else "NOT MET"
    return row.name, row.goal, seen, row.unit, verdict


def _aligned(line: Sequence[str], widths: Sequence[int]) -> list[str]:
    """Numbers to the right."""
    return [
        cell.rjust(width) if column in (1, 2) else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(line, widths, strict=True))
    ]


def _remarks(row: Row) -> list[str]:
    peers = sorted(row.peers.items(), key=lambda item: -item[1])
    lines = [f"  {number(value):>8}  {peer}" for peer, value in peers]
    return (
        [f"{row.name}: {row.note}".rstrip(": ") + ("" if not lines else ":"), *lines]
        if lines or row.note
        else []
    )
