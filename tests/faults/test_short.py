"""The short form of `make faults`: 300 jobs, 30 faults."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.programs import ROOT

LIMIT_S = 400.0


@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.usefixtures("prosody", "redis_server", "chirp_server")  # skipped where these are not
def test_of_300_jobs_none_is_lost_done_twice_or_stuck_though_30_faults_happen(open_directory: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.faults",
            "--short",
            "--seed",
            "1",
            "--directory",
            open_directory / "campaign",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    assert re.search(r"^faults 30 lost 0 twice 0 stuck 0 orphans 0\n\Z", ran.stdout, re.MULTILINE)
