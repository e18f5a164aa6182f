"""docs/metrics.md tells of every metric exactly what the code does.

`python -m tests.unit.test_metrics_page` writes its table anew.
"""

from __future__ import annotations

import re
from pathlib import Path

from copilot.metrics.table import METRICS
from tests.unit.metrics.scraping import World

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"
PLACE = re.compile(r"(?<=<!-- metrics -->\n\n).+?(?=\n\n<!-- end -->)", re.DOTALL)


def table() -> str:
    """One row a metric."""
    rows = [
        f"| `{one.name}` | {one.kind} | {f'`{one.label}`' if one.label else ''} | {one.meaning} |"
        for one in METRICS
    ]
    return "\n".join(["| Name | Type | Label | Meaning |", "|---|---|---|---|", *rows])


def test_every_metric_is_explained_as_the_code_has_it() -> None:
    found = PLACE.search(PAGE.read_text())
    assert found
    assert found[0] == table()


async def test_the_page_names_everything_that_is_shown_and_nothing_else() -> None:
    shown = {name.partition("{")[0] for name in await World().scrape()}
    named = set(re.findall(r"`((?:copilot|process)_[a-z_]+)`", PAGE.read_text()))
    assert shown <= named
    assert named - shown == {"copilot_messages_dropped_total", "copilot_messages_refused_total"}  # none yet


if __name__ == "__main__":
    PAGE.write_text(PLACE.sub(lambda _: table(), PAGE.read_text()))
