"""The units in etc/systemd: they start commands that there are, and believe what those say of themselves."""

from __future__ import annotations

import configparser
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from copilot.agent.config import AgentConfig
from copilot.agent.drain import LAST_STEPS

UNITS = sorted((Path(__file__).parents[3] / "etc" / "systemd").glob("*.service"))
DAEMONS = {
    "copilot-agent",
    "copilot-fileserver",
    "copilot-jobmanager-generic",
    "copilot-monitor",
    "copilot-storagemanager",
}


def service(path: Path) -> configparser.SectionProxy:
    parser = configparser.ConfigParser(strict=True, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser["Service"]


def test_there_is_one_for_each_daemon() -> None:
    assert {path.stem for path in UNITS} == DAEMONS


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_a_command_of_ours_as_a_user_of_its_own(path: Path) -> None:
    section = service(path)
    command = Path(section["ExecStart"]).name
    assert command == path.stem
    assert command in {one.name for one in entry_points(group="console_scripts")}
    assert section["User"] != "root"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_watched_and_started_again_unless_a_setting_is_wrong(path: Path) -> None:
    section = service(path)
    restart = "on-failure" if path.stem == "copilot-agent" else "always"  # an agent may leave for good
    assert (section["Type"], section["Restart"]) == ("notify", restart)
    assert int(section["WatchdogSec"]) > 0
    assert section["RestartPreventExitStatus"] == "2"


def test_systemd_lets_an_agent_finish_within_its_grace() -> None:
    section = service(next(path for path in UNITS if path.stem == "copilot-agent"))
    assert int(section["TimeoutStopSec"]) > AgentConfig.drain_grace + LAST_STEPS
