from __future__ import annotations

import sys
import sysconfig
from pathlib import Path

import pytest

from copilot.errors import ConfigError
from copilot.local.system import command_path


def test_a_command_is_among_the_scripts_of_the_environment() -> None:
    assert command_path("copilot-agent") == Path(sysconfig.get_path("scripts")) / "copilot-agent"


def test_where_the_system_has_its_scripts_elsewhere_it_is_beside_the_program_that_runs(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: "/usr/local/bin")
    monkeypatch.setattr(sys, "argv", [str(tmp_path / "copilot")])
    with pytest.raises(ConfigError, match=r"copilot-agent is not at /usr/local/bin"):
        command_path("copilot-agent")
    (tmp_path / "copilot-agent").touch()
    assert command_path("copilot-agent") == tmp_path / "copilot-agent"
