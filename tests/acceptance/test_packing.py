"""Agents that have cores for several jobs, programs, tags and wishes, started as an operator starts them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Up, run, script, until

BARRIER = """echo "$COPILOT_CORES $OMP_NUM_THREADS $CUDA_VISIBLE_DEVICES" >"$1/$COPILOT_JOB_ID"
for try in $(seq 600); do [ -e "$1/go" ] && exit 0; sleep 0.05; done
exit 1"""


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    """A system without agents of its own: jobs wait until a test starts one."""
    up = Up(ground / "system")
    with up.running("--agents", 0):
        yield up


@pytest.fixture
def marks(place: Path) -> Path:
    """Where jobs say that they run, and wait for the word to end."""
    path = place / "marks"
    path.mkdir()
    path.chmod(0o777)
    return path


def submit(system: Up, name: str, *options: object) -> None:
    done = run("copilot", "submit", "--config", system.etc, "--id", name, *options)
    assert done.returncode == 0, done.stderr


def states(system: Up, *names: str) -> set[str]:
    return {system.record(name).state for name in names}


def test_an_agent_of_24_cores_runs_a_job_of_twelve_and_twelve_of_one_at_the_same_time(
    system: Up, place: Path, marks: Path
) -> None:
    """Each waits until all have begun; what comes after them does not begin before one has ended."""
    job = script(place / "barrier.sh", BARRIER)
    submit(system, "large", "--cores", 12, job, marks)
    submit(system, "small", "--count", 12, job, marks)
    small = [f"small-{number}" for number in range(1, 13)]
    submit(system, "late", job, marks)
    with system.agent(options=("-n", 24, "-s", 12), AGENT_SLOTS=""):
        until(lambda: len(list(marks.iterdir())) == 13, "thirteen jobs at the same time")
        assert {path.name for path in marks.iterdir()} == {"large", *small}
        assert states(system, "late") == {"waiting"}
        assert (marks / "large").read_text() == "12 12 \n"
        assert (marks / small[0]).read_text() == "1 1 \n"
        (marks / "go").touch()
        until(lambda: states(system, "large", "late", *small) == {"done"}, "all of them")


def test_jobs_find_programs_tags_and_gpus_and_an_agent_takes_only_those_that_it_wants(
    system: Up, place: Path, marks: Path
) -> None:
    job = script(place / "job.sh", BARRIER)
    (marks / "go").touch()
    programs = place / "programs"
    programs.mkdir()
    (programs / "tool.toml").write_text(
        '[[program]]\nname = "tool"\n[program.probe]\ncommand = ["echo", "tool 4.10"]\npattern = "tool (.*)"\n'
    )
    submit(system, "small", "--priority", 9, job, marks)
    submit(system, "fits", "--project", "theory", "--cores", "2-8", "--gpus", 1, "--requirements", 'versionGE(other.Program_tool, "4.9") && member("ssd", other.Tags)', job, marks)  # fmt: skip
    packing = ("-n", 4, "-s", 3, "--gpus", "7,")
    wishes = ("--tag", "ssd", "-p", "theory", "--requirements", "other.Cores > 1")
    with system.agent(1, (*packing, *wishes), AGENT_SLOTS="", AGENT_PROGRAMS_DIR=str(programs)):
        until(lambda: states(system, "fits") == {"done"}, "the job that it wants")
        assert (marks / "fits").read_text() == "3 3 7\n"
        assert states(system, "small") == {"waiting"}
