"""docs/metrics.md tells of every metric exactly what the code does.

`python -m tests.unit.test_metrics_page` writes its table anew.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from copilot.metrics.table import ALL, PARTS, Metric
from tests.unit.metrics.scraping import World

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
PLACE = re.compile(r"(?<=<!-- metrics -->\n\n).+?(?=\n\n<!-- end -->)", re.DOTALL)


def table() -> str:
    """One row a metric."""
    rows = [row(metric, part.shown_by) for part in PARTS for metric in part.metrics]
    return "\n".join(["| Name | Type | Labels | Shown by | Meaning |", "|---|---|---|---|---|", *rows])


def row(metric: Metric[Any], shown_by: Sequence[str]) -> str:
    labels = ", ".join(f"`{label}`" for label in metric.labels)
    who = "all" if shown_by == ALL else ", ".join(shown_by)
    return f"| `{metric.name}` | {metric.kind} | {labels} | {who} | {metric.meaning} |"


def test_every_metric_is_explained_as_the_code_has_it() -> None:
    found = PLACE.search(PAGE.read_text())
    assert found
    assert found[0] == table()


async def test_the_page_names_everything_that_is_shown_and_nothing_else() -> None:
    parts = re.compile(r"_(bucket|count|sum)$")
    shown = {parts.sub("", name.partition("{")[0]) for name in await World().scrape()}
    named = {
        parts.sub("", name)
        for name in re.findall(r"`((?:copilot|process|python)_[a-z_]+)`", PAGE.read_text())
    }
    assert shown <= named
    not_yet = {one.name for part in PARTS for one in part.metrics if one.labels and not one.known}
    assert named - shown <= not_yet


if __name__ == "__main__":
    PAGE.write_text(PLACE.sub(lambda _: table(), PAGE.read_text()))
