"""The examples do what they say, run as a user would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_a_job_runs_in_one_process_without_any_server() -> None:
    done = subprocess.run(
        [sys.executable, EXAMPLES / "in_process.py"], capture_output=True, text=True, timeout=50, check=False
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
        timeout=50,
        check=False,
    )
    assert done.stdout.splitlines()[-1] == "hello from example"
