"""What the tests of two versions share."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.acceptance.running import Up, packed, run
from tests.versions.previous import QUIET

PAGE = Path(__file__).parents[2] / "docs" / "versions.md"
WAY_BACK = re.findall(r"copilot:\S+", PAGE.read_text().partition("redis-cli DEL")[2].partition("\n")[0])


def submitted(system: Up, command: Path, job: str, *options: object) -> None:
    """A job of that id is on the queue, by the submitter of the system's version."""
    done = system.submit(command, "--id", job, *options)
    assert done.returncode == 0, done.stderr


def said(system: Up, *words: object) -> str:
    """What `copilot` of the system's version prints."""
    done = run(system.program("copilot"), *words, "--config", system.etc, **QUIET)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(system: Up) -> dict[str, dict[str, Any]]:
    """What `copilot jobs list` of this version says of all jobs, by their ids."""
    lines = run("copilot", "jobs", "list", "--all", "--json", "--config", system.etc).stdout.splitlines()
    return {job["id"]: job for job in map(json.loads, lines)}


def output_of(system: Up, job: str) -> dict[str, str]:
    """The files of a job's output, by name; none before its finisher has it."""
    path = system.directory / "done" / job / f"{job}.tgz"
    return packed({"id": job, "output": path}) if path.exists() else {}
