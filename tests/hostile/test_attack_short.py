"""The short form of `make attack`: all kinds of attacks, one after the other, with honest jobs beside them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.attack.attacks import ATTACKS

ROOT = Path(__file__).parents[2]
LIMIT_S = 180.0


@pytest.mark.timeout(LIMIT_S + 20)
@pytest.mark.usefixtures("prosody", "redis_server")  # skipped where these are not
def test_nothing_goes_through_and_everybody_else_is_served(open_directory: Path) -> None:
    ran = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.attack",
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
    assert re.search(rf"^attacks {len(ATTACKS)} tried \d+ wrong 0\n\Z", ran.stdout, re.MULTILINE)
