"""The two jobs of the benchmark, the same for every peer, and the check of what came back.

Runs in each peer's own environment, in its submitter and in its workers, and needs the standard library alone.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

KINDS = ("true", "script")
TRUE = "/bin/true"
SHELL = "/bin/sh"

# Exit status and standard output, a plain tuple: every peer's serialiser takes it.
Outcome = tuple[int, str]


def batch(kind: str, count: int) -> list[str | None]:
    """What is submitted for `count` jobs: a shell script each, of its own, or None for /bin/true."""
    return [None if kind == "true" else f"#!{SHELL}\necho {_line(number)}\n" for number in range(count)]


def run_job(script: str | None) -> Outcome:
    """One job in a worker: /bin/true as a process, or `script` staged into a fresh directory and run by /bin/sh."""
    if script is None:
        return subprocess.run([TRUE], check=False).returncode, ""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "script").write_text(script)
        done = subprocess.run([SHELL, "script"], cwd=directory, stdout=subprocess.PIPE, check=False)
    return done.returncode, done.stdout.decode()


def check(kind: str, outcomes: Sequence[Outcome], count: int) -> None:
    """Raise RuntimeError unless all `count` jobs came back, each with exit status 0 and its own line."""
    if len(outcomes) != count:
        raise RuntimeError(f"{count} jobs were submitted, but {len(outcomes)} results came back.")
    for number, outcome in enumerate(outcomes):
        expected = (0, "" if kind == "true" else f"{_line(number)}\n")
        if tuple(outcome) != expected:
            raise RuntimeError(f"Job {number} ({kind}) came back with {outcome!r} instead of {expected!r}.")


def _line(number: int) -> str:
    return f"job-{number}-was-here"
