"""The examples do what they say, run as a user would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.patience import PATIENCE_S

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_job_runs_in_one_process_without_any_server() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "in_process.py"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    *steps, result = done.stdout.splitlines()
    assert [step.split()[0] for step in steps] == ["submitted", "claimed", "running", "done", "published"]
    assert result == "4"


def test_a_script_of_ones_own_can_be_tried(tmp_path: Path) -> None:
    script = tmp_path / "hello.sh"
    script.write_text("#!/bin/sh\necho hello from $COPILOT_JOB_ID\n")
    done = subprocess.run(
        [sys.executable, EXAMPLES / "in_process.py", script],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "hello from example"


def test_functions_are_called_as_with_any_executor() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "executor.py"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.stderr == ""
    about, chunks, raised = done.stdout.splitlines()
    assert about.startswith("pi is about 3.1")
    assert chunks == "two calls in a job: [1, 2, 3, 4]"
    assert raised == "it has raised: ZeroDivisionError"


def test_a_program_submits_jobs_and_takes_their_results() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "client.py"],
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    ended, answer, failed = done.stdout.splitlines()
    assert ended == "ended: done done done failed"
    assert answer == "3 times 7 is 21"
    assert failed == "failed: user-exit"
