"""What is kept for Carbon, and what is said of it; the line itself is tested in tests/integration/test_carbon.py."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from copilot.clock import SystemClock
from copilot.config import load
from copilot.monitor.carbon import CarbonLine, CarbonSettings, Points
from copilot.monitor.config import MonitorConfig
from copilot.monitor.counts import MonitorCounts
from copilot.monitor.logic import Forward, Sample


def line(counts: MonitorCounts, *, buffer: int = 3) -> CarbonLine:
    settings = CarbonSettings(host="127.0.0.1", port=2003, buffer=buffer, repeat=60.0)
    return CarbonLine(settings, counts, clock=SystemClock(), random=lambda: 0.5)


def test_the_oldest_are_dropped_and_counted() -> None:
    counts = MonitorCounts()
    one = line(counts)
    one.write(["a", "b"])
    assert (counts.waiting, counts.dropped) == (2, 0)
    one.write(["c", "d", "e"])
    assert (counts.waiting, counts.dropped) == (3, 2)


def test_each_sample_is_told_while_carbon_is_there(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    one = line(MonitorCounts(connected=True))
    points = Points(one)
    points.perform(Forward(lines=("copilot.a.b 1 1",)))
    points.perform(Sample(lines=("copilot.a.b 1 1",), updates=0))
    points.perform(Sample(lines=("copilot.a.b 1 1",), updates=7))
    assert caplog.messages == ["Sent 0 updates to Carbon.", "Sent 7 updates to Carbon."]


def test_without_a_carbon_nothing_is_kept_and_nothing_said(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    points = Points(None)
    points.perform(Forward(lines=("copilot.a.b 1 1",)))
    points.perform(Sample(lines=("copilot.a.b 1 1",), updates=1))
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("more", "server", "port", "repeat"),
    [
        ("", None, 2003, 60.0),
        ("CARBON_SERVER carbon.example.org\n", "carbon.example.org", 2003, 60.0),
        ("CARBON_SERVER localhost\nCARBON_PORT 2023\n", "localhost", 2023, 0.0),
        ("CARBON_PORT 2023\nCARBON_REPEAT 2m\n", None, 2023, 120.0),
    ],
)
def test_only_an_aggregator_gets_nothing_twice(
    tmp_path: Path, more: str, server: str | None, port: int, repeat: float
) -> None:
    file = tmp_path / "copilot-monitor.conf"
    file.write_text(
        "MON_JABBER_SERVER x.org\nMON_JABBER_DOMAIN x.org\nMON_JABBER_ID mon\nMON_JABBER_PASSWORD p\n" + more
    )
    file.chmod(0o600)
    config, warnings = load(MonitorConfig, file, {})
    assert warnings == ()
    assert (config.carbon_server, config.carbon_port, config.carbon_repeat) == (server, port, repeat)
    assert (config.allow, config.managers) == (("x.org",), None)


@pytest.mark.parametrize("value", ["", "jm@", "@x.org", "jm@x.org/one", "jm @x.org", "*"])
def test_who_may_report_is_written_as_accounts_or_domains(tmp_path: Path, value: str) -> None:
    kind = next(item for item in MonitorConfig.declared() if item.field == "managers").kind
    with pytest.raises(ValueError):  # noqa: PT011  # the loader says what was expected
        kind.convert(value)


def test_accounts_are_compared_in_lower_case() -> None:
    kind = next(item for item in MonitorConfig.declared() if item.field == "allow").kind
    assert kind.convert("Jm@X.org EXAMPLE.org jm@x.org") == ("jm@x.org", "example.org")
