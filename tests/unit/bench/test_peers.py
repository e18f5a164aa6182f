"""The benchmark of other systems: wrong results are errors, medians are medians, nothing stays behind."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from bench.peers import jobs
from bench.peers.run import Round, results

ROOT = Path(__file__).parents[3]

# A peer whose "server" leaves its session and outlives the one that started it, as daemons do.
DAEMON = """
import contextlib, pathlib, subprocess
from bench.peers import harness
from bench.peers.jobs import run_job

@contextlib.contextmanager
def start():
    subprocess.run(["/bin/sh", "-c", "setsid sleep 600 </dev/null >/dev/null 2>&1 & echo $! >pid"], check=True)
    yield lambda batch: [run_job(script) for script in batch]

harness.main("daemon", version="1", durability="none", start=start)
"""


@pytest.mark.parametrize("kind", jobs.KINDS)
def test_jobs_that_were_run_pass_the_check(kind: str) -> None:
    jobs.check(kind, [jobs.run_job(script) for script in jobs.batch(kind, 3)], 3)


@pytest.mark.parametrize(
    "outcomes",
    [
        [(0, "job-0-was-here\n")],
        [(0, "job-1-was-here\n"), (0, "job-0-was-here\n")],
        [(0, "job-0-was-here\n"), (1, "job-1-was-here\n")],
        [(0, "job-0-was-here\n"), (0, "")],
    ],
    ids=["one is missing", "in another order", "one failed", "no output"],
)
def test_a_wrong_result_is_an_error(outcomes: list[jobs.Outcome]) -> None:
    with pytest.raises(RuntimeError, match="came back"):
        jobs.check("script", outcomes, 2)


def test_results_are_medians_of_each_job_and_durability() -> None:
    def one(seconds: float, durability: str = "memory") -> Round:
        return Round(peer="p", version="1", durability=durability, job="true", jobs=100, seconds=seconds)

    first, second = results([one(1.0), one(4.0, "disk"), one(2.0), one(10.0)])
    assert (first.durability, first.jobs_per_second, first.rounds) == ("memory", 50.0, (100.0, 50.0, 10.0))
    assert (second.durability, second.rounds) == ("disk", (25.0,))


def test_a_peer_prints_its_rounds_and_leaves_no_process_behind(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", DAEMON, "--jobs", "2", "--rounds", "2"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert [json.loads(line)["job"] for line in done.stdout.splitlines()] == ["true", "script"] * 2
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))
