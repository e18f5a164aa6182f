"""The files in etc/graphite and etc/grafana fit what the monitor writes."""

from __future__ import annotations

import configparser
import itertools
import json
import re
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest

from copilot.monitor.config import MonitorConfig
from copilot.monitor.logic import DROPPED, REFUSED, UPDATES
from copilot.monitor.paths import metric_path
from copilot.monitor.samples import DERIVED
from tests.acceptance.monitoring import MANAGER, MANAGER_EVENTS, MANAGER_VALUES

ETC = Path(__file__).parents[3] / "etc"
DASHBOARD: dict[str, Any] = json.loads((ETC / "grafana" / "copilot.json").read_text())
REPORTED = [metric_path(MANAGER, event) for event in (*MANAGER_EVENTS, *MANAGER_VALUES)]
OWN = [UPDATES, DROPPED, REFUSED]
DURATIONS = [metric_path(MANAGER, f"job.run.{part}") for part in DERIVED]
WRITTEN = [*REPORTED, *OWN, *DURATIONS]


def sections(name: str) -> list[configparser.SectionProxy]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read(ETC / "graphite" / name)
    return [parser[section] for section in parser.sections()]


def section(name: str, path: str) -> configparser.SectionProxy:
    """The one that Carbon takes: the first whose pattern is found in the path."""
    return next(one for one in sections(name) if re.search(one["pattern"], path))


# -- Carbon


@pytest.mark.parametrize("path", [*WRITTEN, "copilot.agent.job.start", "copilot.total.generic.job.failed"])
def test_what_is_written_each_sample_has_a_slot_for_each(path: str) -> None:
    first = section("storage-schemas.conf", path)["retentions"].partition(":")[0]
    interval = f"{MonitorConfig.sample_interval}s"
    assert first == ("1m" if ".system." in path else interval)


@pytest.mark.parametrize("path", ["copilot.agent.e48b-42d9.system.load.1min", "copilot.agent.x.job.run.avg"])
def test_what_single_agents_say_takes_little_room(path: str) -> None:
    retentions = section("storage-schemas.conf", path)["retentions"].split(",")
    units = {"s": 1, "m": 60, "h": 3600, "d": 86400, "y": 365 * 86400}
    seconds = [
        [int(part[:-1]) * units[part[-1]] for part in retention.split(":")] for retention in retentions
    ]
    assert sum(span // step for step, span in seconds) * 12 < 250_000
    for (step, _), (longer, _) in itertools.pairwise(seconds):
        assert longer % step == 0  # Whisper insists


@pytest.mark.parametrize(
    ("path", "method"),
    [
        (f"copilot.{MANAGER}.job.succeeded", "sum"),
        (f"copilot.{MANAGER}.error.emptyQueue", "sum"),
        (f"copilot.{MANAGER}.queued.Jobs", "average"),
        (f"copilot.{MANAGER}.system.load.1min", "average"),
        (f"copilot.{MANAGER}.job.run.avg", "average"),
        (f"copilot.{MANAGER}.job.run.gmean", "average"),
        (f"copilot.{MANAGER}.job.run.min", "min"),
        (f"copilot.{MANAGER}.job.run.max", "max"),
        (f"copilot.{MANAGER}.job.run.count", "sum"),
        (f"copilot.{MANAGER}.job.run.start", "sum"),
        ("copilot.agent.job.start", "sum"),
        ("copilot.monitor.updates", "sum"),
        ("copilot.monitor.dropped", "max"),
        ("copilot.total.generic.job.failed", "sum"),
    ],
)
def test_counts_are_added_up_and_values_are_not(path: str, method: str) -> None:
    found = section("storage-aggregation.conf", path)
    assert (found["aggregationMethod"], float(found["xFilesFactor"])) == (method, 0.0)


def test_the_aggregator_knows_the_length_of_a_sample() -> None:
    lines = (ETC / "graphite" / "aggregation-rules.conf").read_text().splitlines()
    rules = [text for text in lines if text and not text.startswith("#")]
    assert rules
    for rule in rules:
        form = (
            rf"copilot\.total\.\S+ \({MonitorConfig.sample_interval}\) = (sum|max) (copilot\.jobmanager\.\S+)"
        )
        found = re.fullmatch(form, rule)
        assert found, rule
        pattern = re.sub(r"<\w+>", "*", found[2])
        assert any(matches(pattern, path) for path in REPORTED)


# -- Grafana


def matches(pattern: str, path: str) -> bool:
    """As Graphite does: part by part."""
    parts, words = pattern.split("."), path.split(".")
    return len(parts) == len(words) and all(map(fnmatchcase, words, parts))


def panels() -> list[dict[str, Any]]:
    return [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]


def patterns() -> list[str]:
    """The paths that the dashboard asks for, all managers chosen."""
    targets = [target["target"] for panel in panels() for target in panel["targets"]]
    found = [re.findall(r"copilot(?:\.[\w$*]+)+", target) for target in targets]
    assert all(len(one) == 1 for one in found)
    return [re.sub(r"\$\w+", "*", one[0]) for one in found]


@pytest.mark.parametrize("pattern", sorted(set(patterns())))
def test_the_dashboard_shows_what_is_written(pattern: str) -> None:
    assert any(matches(pattern, path) for path in WRITTEN)


@pytest.mark.parametrize("path", [*WRITTEN])
def test_the_dashboard_shows_all_that_is_written(path: str) -> None:
    assert any(matches(pattern, path) for pattern in patterns())


def test_the_dashboard_can_be_imported_anywhere() -> None:
    assert DASHBOARD["schemaVersion"] >= 39
    assert DASHBOARD["id"] is None
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(ids) == len(set(ids))
    sources = {one["datasource"]["uid"] for panel in panels() for one in (panel, *panel["targets"])}
    assert sources == {"${datasource}"}


def test_no_two_panels_lie_on_each_other() -> None:
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    cells = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(cells) == len(set(cells))
    assert max(x for x, _ in cells) < 24


def test_targets_are_functions_with_their_brackets_closed() -> None:
    for panel in panels():
        for target in panel["targets"]:
            text = target["target"]
            assert text.count("(") == text.count(")") > 0
