"""Agents that are added without a bundle: a copy of the file that `copilot up` prepares is all that they get."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Up, packed, script, until


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    """A system without agents of its own: jobs wait until a test starts one."""
    up = Up(ground / "system")
    with up.running("--agents", 0):
        yield up


def test_a_copied_spare_file_makes_an_agent_that_takes_a_job(system: Up, place: Path) -> None:
    with system.agent():
        record = system.job(script(place / "where.sh", "pwd"))
    assert (record["state"], record["agent"]) == ("done", "agent-1@copilot.internal")
    assert packed(record)["stdout"].startswith(f"{system.directory.parent}/machine-1/work/jobs/")


def test_waiting_jobs_go_by_priority_then_by_age(system: Up, place: Path) -> None:
    place.chmod(0o777)
    order = place / "order"
    job = script(place / "job.sh", f"echo $COPILOT_JOB_ID >> {order}")
    for name, priority in (("old", 0), ("low", -5), ("high", 7), ("young", 0)):
        assert system.submit(job, "--id", name, "--priority", priority).returncode == 0
    with system.agent():
        until((system.directory / "done" / "low" / "low.tgz").exists, "the last job")
    assert order.read_text().split() == ["high", "old", "young", "low"]


def test_packages_are_set_up_by_the_tool_of_the_agent(system: Up, place: Path) -> None:
    tool = script(
        place / "tool",
        'case $2 in Root/v5) echo "export ROOTSYS=/opt/root";; *) echo "no $2 here" >&2; exit 1;; esac',
    )
    tool.chmod(0o755)
    job = script(place / "job.sh", "echo $ROOTSYS")
    with system.agent(AGENT_PACKAGE_TOOL=f"{tool} print"):
        good = system.job(job, "--packages", "VO_ALICE@Root::v5")
        bad = system.job(job, "--packages", "VO_ALICE@Root::v5 Geant4/v11")
    assert (good["state"], packed(good)["stdout"]) == ("done", "/opt/root\n")
    assert (bad["state"], bad["cause"]) == ("failed", "user-prerequisite")
    assert bad["reason"].startswith("package Geant4/v11 cannot be set up on this host")


def test_a_job_whose_input_has_vanished_fails_and_says_which(system: Up, place: Path) -> None:
    data = place / "data.txt"
    data.write_text("data")
    options = ("--id", "robbed", "--input", data, "--max-attempts", 1)
    assert system.submit(script(place / "job.sh", "cat data.txt"), *options).returncode == 0
    (system.directory / "files" / "robbed.a0" / "data.txt").unlink()
    with system.agent():
        until(lambda: system.record("robbed").state == "failed", "the report")
    record = system.record("robbed")
    assert record.outcome is not None
    assert (record.state, record.outcome.cause) == ("failed", "infra-fetch")
    assert "data.txt" in record.outcome.reason
