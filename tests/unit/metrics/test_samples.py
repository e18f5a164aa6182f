"""What etc/ has for Prometheus and Grafana, and the page for its readers, asks only for what the table has."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from copilot.metrics.table import METRICS, Kind

ROOT = Path(__file__).parents[3]
FILES = (
    ROOT / "etc" / "prometheus" / "copilot-alerts.yml",
    ROOT / "etc" / "grafana" / "copilot-prometheus.json",
    ROOT / "docs" / "metrics.md",
)
OF_PROMETHEUS = {"job", "instance", "le"}

KINDS = {metric.name: metric.kind for metric in METRICS}
LABELS = {metric.name: set(metric.labels) for metric in METRICS}
WORDS = {metric.name: {str(word) for word in metric.known} for metric in METRICS if len(metric.labels) == 1}


def plain(name: str) -> str:
    """The name in the table of what was asked for."""
    base = re.sub(r"_(bucket|count|sum)$", "", name)
    return base if KINDS.get(base) is Kind.HISTOGRAM else name


def expressions(path: Path) -> list[str]:
    """What a file asks Prometheus for."""
    text = path.read_text()
    if path.suffix == ".yml":
        return re.findall(r"expr: (.+?)\n +(?:for|labels):", text, re.DOTALL)
    if path.suffix == ".md":
        return [one.replace("\\|", "|") for one in re.findall(r"\? \| `(.+?)`", text)]
    panels = json.loads(text)["panels"]
    return [target["expr"] for panel in panels for target in panel.get("targets", ())]


def asked(path: Path) -> list[tuple[str, str]]:
    """Each metric in these with the selector behind it."""
    return re.findall(r"\b(copilot_[a-z_]+)(?:\{([^}]*)\})?", "\n".join(expressions(path)))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_metric_that_is_asked_for_exists(path: Path) -> None:
    names = {plain(name) for name in re.findall(r"\bcopilot_[a-z_]+", path.read_text())}
    assert asked(path)
    assert len(names) > 10
    assert names <= KINDS.keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_selectors_name_labels_and_words_that_the_metric_has(path: Path) -> None:
    for name, selector in asked(path):
        for label, value in re.findall(r'(\w+)\s*(?:=|!=|=~|!~)\s*"([^"]*)"', selector):
            own = plain(name)
            assert label in LABELS[own] | OF_PROMETHEUS, name
            if label in LABELS[own] and WORDS.get(own):
                assert set(value.split("|")) <= WORDS[own], name


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_counters_are_asked_for_their_increase_and_gauges_are_not(path: Path) -> None:
    text = "\n".join(expressions(path))
    for function, name in re.findall(r"\b(rate|increase)\(\s*(copilot_[a-z_]+)", text):
        assert KINDS[plain(name)] is not Kind.GAUGE, f"{function}({name})"
    for name, _ in asked(path):
        if KINDS[plain(name)] is not Kind.GAUGE:
            assert re.search(rf"\b(rate|increase)\(\s*{name}\b", text), name
