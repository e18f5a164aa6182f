"""docs/alerts.md lists the sample alerts; `python -m tests.unit.test_alerts_page` writes its table anew."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
ALERTS = ROOT / "etc" / "prometheus" / "copilot-alerts.yml"
PAGE = ROOT / "docs" / "alerts.md"
_PART = re.compile(r"(?<=<!-- alerts -->\n\n).*?(?=\n\n<!-- end -->)", re.DOTALL)


def table() -> str:
    rows = ["| Alert | Who | After | What it means, and what to look at |", "|---|---|---|---|"]
    for group in yaml.safe_load(ALERTS.read_text())["groups"]:
        for rule in group["rules"]:
            text = " ".join(rule["annotations"]["description"].split()).replace("|", r"\|")
            rows.append(
                f"| `{rule['alert']}` | {rule['labels']['severity']} | {rule.get('for', 'at once')} | {text} |"
            )
    return "\n".join(rows)


def test_the_page_lists_every_alert() -> None:
    (part,) = _PART.findall(PAGE.read_text())
    assert part == table()


if __name__ == "__main__":
    PAGE.write_text(_PART.sub(lambda _: table(), PAGE.read_text()))
