"""Draws a result file as SVG: how far each goal is reached, and ourselves among the peers.

    python plot.py RESULTS.json PLOT.svg

Runs where matplotlib is, see `bench.chart`, and knows nothing of the rest.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, NullLocator

OURS, OTHERS, MISSED = "#1b6ca8", "#b8b8b8", "#c8553d"
WIDTH, BAR = 10.0, 0.28  # inches
NARROWEST, WIDEST = 0.05, 20.0  # times the goal; what is beyond ends there
_GOAL = re.compile(r"([≥≤>]) ([0-9,.e+-]+)\Z")

Row = Mapping[str, Any]


def reached(row: Row) -> float | None:
    """How many times as good as its goal a row is; None if that cannot be told."""
    goal = _GOAL.match(row["goal"])
    if goal is None or row["value"] is None:
        return None
    bound, value = float(goal[2].replace(",", "")), float(row["value"])
    better, worse = (bound, value) if goal[1] == "≤" else (value, bound)
    return None if better == worse == 0 else better / worse if worse else WIDEST


def draw(found: Mapping[str, Any], path: Path) -> None:
    """One panel for the goals, one for each row with peers."""
    judged = [(row, times) for row in found["rows"] if (times := reached(row)) is not None]
    panels: list[tuple[int, Any]] = [(len(judged), lambda axes: goals(axes, judged))]
    panels += [
        (len(row["peers"]) + 1, lambda axes, row=row: peers(axes, row))
        for row in found["rows"]
        if row["peers"]
    ]
    heights = [bars * BAR + 0.8 for bars, _ in panels]
    figure = Figure(figsize=(WIDTH, sum(heights)), layout="constrained")
    grid = figure.subplots(len(panels), 1, height_ratios=heights, squeeze=False)
    for (_, paint), axes in zip(panels, grid[:, 0], strict=True):
        paint(axes)
    machine = found["machine"]
    figure.suptitle(f"{found['time'][:10]}, {machine['cores']} cores, {machine['cpu']}", fontsize=9)
    figure.savefig(path, metadata={"Date": None})


def goals(axes: Axes, judged: Sequence[tuple[Row, float]]) -> None:
    """Right of the line is met."""
    times = [min(max(one, NARROWEST), WIDEST) for _, one in judged]
    colours = [OURS if row["met"] else MISSED for row, _ in judged]
    axes.barh([row["name"] for row, _ in judged], [one - 1 for one in times], left=1, color=colours)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator([NARROWEST, 0.1, 0.2, 0.5, 1, 2, 5, 10, WIDEST]))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_locator(NullLocator())
    _finish(axes, "Times as good as the goal")


def peers(axes: Axes, row: Row) -> None:
    """The fastest on top."""
    found = dict(row["peers"]) | ({} if row["value"] is None else {"Co-Pilot": row["value"]})
    ordered = sorted(found.items(), key=lambda item: -item[1])
    bars = axes.barh(
        [name for name, _ in ordered],
        [value for _, value in ordered],
        color=[OURS if name == "Co-Pilot" else OTHERS for name, _ in ordered],
    )
    axes.bar_label(bars, fmt="%.0f", fontsize=7, padding=2)
    _finish(axes, f"{row['name']}, {row['unit']}")


def _finish(axes: Axes, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.tick_params(labelsize=7)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    mpl.rcParams["svg.hashsalt"] = "bench"  # the same figures make the same file
    draw(json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]))
