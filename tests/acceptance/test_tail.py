"""Looking at what running jobs print, stopping them, and what they took: by the commands, on real servers."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.job import State
from tests.acceptance.running import Up, run, script, started, until
from tests.acceptance.test_remote import Laptop
from tests.patience import PATIENCE_S

# It prints a line, then waits until somebody makes a file.
TEXT = 'echo first; echo trouble >&2; until [ -e "{go}" ]; do sleep 0.05; done; echo last'


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    up = Up(ground / "system")
    with up.running("--agents", 0), up.agent(1, AGENT_SANDBOX="none"):  # it is to see a file of the test
        yield up


@pytest.fixture(scope="module")
def ada(system: Up) -> Laptop:
    return Laptop(system, "ada", "--project", "atlas")


def copilot(system: Up, *words: object) -> subprocess.CompletedProcess[str]:
    return run("copilot", *words, "--config", system.etc)


def running(system: Up, job: str) -> bool:
    return system.record(job).state is State.RUNNING


def test_what_a_job_prints_is_followed_to_its_end(system: Up, place: Path) -> None:
    go, output = place / "go", place / "output"
    assert system.submit(script(place / "job.sh", TEXT.format(go=go)), "--id", "t").returncode == 0
    until(lambda: running(system, "t"), "it runs")
    follow = ("copilot", "jobs", "tail", "t", "--follow", "--config", system.etc)
    with started(*follow, output=output) as following:
        until(lambda: output.read_text() == "first\n", "the first line, while it runs")
        assert copilot(system, "jobs", "tail", "t", "--stderr").stdout == "trouble\n"
        go.touch()
        assert following.wait(PATIENCE_S) == 0
    assert output.read_text() == "first\nlast\n"
    ended = copilot(system, "jobs", "tail", "t", "--lines", 1)
    assert (ended.returncode, ended.stdout) == (0, "last\n")
    assert copilot(system, "jobs", "tail", "t", "-e").stdout == "trouble\n"


def test_a_job_that_printed_nothing_is_told_of_where_else_to_look(system: Up, place: Path) -> None:
    assert system.submit(script(place / "job.sh", "echo trouble >&2"), "--id", "n", "--wait").returncode == 0
    ended = copilot(system, "jobs", "tail", "n")
    assert (ended.returncode, ended.stdout) == (0, "")
    assert ended.stderr == "copilot: it printed nothing to stdout; --stderr shows what it printed there\n"


def test_a_running_job_is_stopped_within_a_second_and_that_is_told(system: Up, place: Path) -> None:
    assert system.submit(script(place / "job.sh", TEXT.format(go="/nowhere")), "--id", "c").returncode == 0
    until(lambda: running(system, "c"), "it runs")
    stopped = json.loads(copilot(system, "jobs", "cancel", "c", "--wait", "--json").stdout)
    assert [(one["state"], one["ok"]) for one in stopped] == [("cancelled", True)]
    story = json.loads(copilot(system, "jobs", "show", "c", "--json").stdout)
    (attempt,) = story["attempts"]
    took = attempt["outcome"]
    assert 0 < took["wall_time"] < attempt["ended"] - attempt["claimed"] + 0.1
    assert took["bytes_in"] == (place / "job.sh").stat().st_size
    assert took["bytes_out"] > 0
    used = json.loads(copilot(system, "usage", "--by", "agent", "--json").stdout)
    (row,) = used["rows"]
    assert row["cancelled"] >= 1
    assert row["wall"] == used["total"]["wall"] > 0
    assert "total" in copilot(system, "usage", "--since", "2d").stdout


def test_who_submits_from_afar_sees_the_own_job_and_nobody_elses(
    system: Up, ada: Laptop, place: Path
) -> None:
    bob = Laptop(system, "bob")
    go, output = place / "go", place / "output"
    job = script(place / "far.sh", TEXT.format(go=go))
    assert ada.submit(job, "--id", "far").returncode == 0
    until(lambda: running(system, "far"), "it runs")
    refused = bob.look("tail", "far")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "no job far of yours is known" in refused.stderr
    follow = ("copilot", "jobs", "tail", "--remote", "far", "--follow", "--config", ada.config)
    with started(*follow, output=output) as following:
        until(lambda: output.read_text() == "first\n", "the first line, while it runs")
        go.touch()
        assert following.wait(PATIENCE_S) == 0
    assert output.read_text() == "first\nlast\n"


def test_what_there_is_nothing_of_is_told(system: Up, place: Path) -> None:
    nowhere = ("--requirements", "other.Cores > 100000", "--id", "w")
    assert system.submit(script(place / "job.sh", "exit 0"), *nowhere).returncode == 0
    waits = copilot(system, "jobs", "tail", "w")
    assert (waits.returncode, waits.stdout) == (1, "")
    assert "the job is waiting: it prints nothing yet" in waits.stderr
    unknown = copilot(system, "jobs", "tail", "nobody")
    assert unknown.returncode == 1
    assert "job nobody is not known" in unknown.stderr
