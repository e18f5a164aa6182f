"""`make demo`, but for the making of the environment: `copilot demo SCRIPT` from outside."""

from __future__ import annotations

import os
import re
import signal
import tarfile
from pathlib import Path

import pytest

import copilot
from tests.acceptance.running import gone, run, script, started, until
from tests.patience import PATIENCE_S

CALCULATOR = Path(copilot.__file__).parents[1] / "examples" / "calculator.sh"


@pytest.fixture
def temporary(place: Path) -> dict[str, str]:
    """Where the demonstration puts its private directory."""
    return {"TMPDIR": str(place)}


def test_the_demo_shows_each_step_and_the_result_and_leaves_nothing_running(
    place: Path, temporary: dict[str, str]
) -> None:
    ended = run("copilot", "demo", CALCULATOR, **temporary)
    assert ended.returncode == 0, ended.stderr
    steps = [line.partition(": ")[2] for line in ended.stderr.splitlines()]
    assert steps == [
        "submitted",
        "handed to agent agent-1@copilot.internal (attempt 1)",
        "running",
        "done",
        "output stored",
    ]
    told = re.fullmatch(
        r"Starting Prosody, .*\nWhile it runs, look at http://127\.0\.0\.1:\d+/ in a browser\.\n\$ copilot-job-submit --config \S+ --command \S+ --wait\n"
        r"The job printed:\n4\nIts output lies in (\S+)\nStopping .*\nNothing is left running\.\n",
        ended.stdout,
    )
    assert told, ended.stdout
    with tarfile.open(told[1]) as package:
        printed = package.extractfile(f"{Path(told[1]).stem}/stdout")
        assert printed is not None
        assert printed.read() == b"4\n"
    until(lambda: gone(place), "the end of all processes")


def test_the_demo_prints_4_on_a_machine_without_bc(place: Path, temporary: dict[str, str]) -> None:
    (place / "bin").mkdir()
    for program in (file for directory in os.get_exec_path() for file in Path(directory).glob("*")):
        if program.name != "bc" and not (place / "bin" / program.name).is_symlink():
            (place / "bin" / program.name).symlink_to(program)
    ended = run("copilot", "demo", CALCULATOR, **temporary, PATH=str(place / "bin"))
    assert "The job printed:\n4\n" in ended.stdout, ended.stderr


def test_a_demo_whose_script_fails_exits_with_its_code(place: Path, temporary: dict[str, str]) -> None:
    ended = run("copilot", "demo", script(place / "bad.sh", "echo so far; exit 3"), **temporary)
    assert ended.returncode == 3, ended.stderr
    assert "The job printed:\nso far\n" in ended.stdout
    assert "failed: user-exit: exit code 3" in ended.stderr


def test_a_demo_without_its_script_says_so_and_starts_nothing(place: Path, temporary: dict[str, str]) -> None:
    ended = run("copilot", "demo", place / "missing.sh", **temporary)
    assert ended.returncode == 2
    assert "missing.sh" in ended.stderr
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("step", ["Starting", "running"])
def test_ctrl_c_in_the_middle_of_the_demo_stops_everything(
    place: Path, temporary: dict[str, str], step: str
) -> None:
    endless = script(place / "endless.sh", "exec sleep 300")
    output = place / "out"
    with started("copilot", "demo", endless, output=output, **temporary) as demo:
        until(lambda: step in output.read_text(), step)
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE_S) == 130, output.read_text()
    until(lambda: gone(place), "the end of all processes")
    assert "Traceback" not in output.read_text()
    assert not list(place.glob("copilot-demo-*"))
