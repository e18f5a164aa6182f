"""What a job file of a directory says: a JSON object, in which only `command` is required.

    {"command": "run.sh", "arguments": "-v 'two words'", "inputs": {"data/in": "in.dat"},
     "cores": "2-8", "memory": "2GiB", "max_run_time": "1h30m"}

`copilot.grid.jobkeys` has the table of keys. Files are named relative to the directory of the job file and lie in it or below. `command` and `validation` appear in
the job's directory under the last part of their names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any

from copilot.errors import BadName
from copilot.grid.environment import shell_environment
from copilot.grid.jobkeys import read_keys
from copilot.job import DEFAULT_MAX_ATTEMPTS, LIMITS, JobSpec, check_job_id, check_relative_name
from copilot.matching.needs import with_needs
from copilot.matching.rank import normal_rank
from copilot.records import dataclass

MAX_BYTES = 64 * 1024  # of a job file: more than a job may hold (copilot.job)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """The job, and its files: names in the job's directory to names relative to the job file's directory."""

    spec: JobSpec
    files: Mapping[str, str]


def parse(name: str, text: bytes) -> JobFile:
    """Read the job file `<name>.json`, whose id is `name` if it says none. Raises `BadName` for anything that is not as it should be."""
    said = read_keys(_object(text))
    if "command" not in said:
        raise BadName("command: missing; expected the name of the file that is executed")
    command, validation = said["command"], said.get("validation")
    spec = JobSpec(
        id=check_job_id(said.get("id", name), submitted=True),
        command=_last_part(command),
        arguments=said.get("arguments", ""),
        environment=shell_environment(said.get("environment", {})),
        packages=tuple(said.get("packages", ())),
        validation=None if validation is None else _last_part(validation),
        priority=said.get("priority", 0),
        owner=said.get("owner", ""),
        max_attempts=said.get("max_attempts", DEFAULT_MAX_ATTEMPTS),
        max_user_attempts=said.get("max_user_attempts", 1),
        max_run_time=said.get("max_run_time"),
        exclusive=said.get("exclusive", False),
        requirements=with_needs(
            said.get("requirements", ""),
            memory=said.get("memory"),
            disk=said.get("disk"),
            network=said.get("network", False),
            image=said.get("image", ""),
            cores=said.get("cores", 1),
            gpus=said.get("gpus", 0),
        ),
        network=said.get("network", False),
        image=said.get("image", ""),
        project=said.get("project", ""),
        cores=said.get("cores", 1),
        max_cores=said.get("max_cores"),
        gpus=said.get("gpus", 0),
        tags=said.get("tags", ()),
        after=said.get("after", ()),
        after_any=said.get("after_any", ()),
        array=said.get("array", 0),
        rank=normal_rank(said.get("rank", "")),
        **dict[str, Any]({name: said.get(name) for name in LIMITS}),
    )
    named = [(_last_part(path), path) for path in (command, validation) if path is not None]
    return JobFile(spec=spec, files=_files([*named, *said.get("inputs", {}).items()]))


def _last_part(path: str) -> str:
    return PurePosixPath(check_relative_name(path)).name


def _files(named: Iterable[tuple[str, str]]) -> dict[str, str]:
    files: dict[str, str] = {}
    for inside, path in named:
        if files.setdefault(inside, check_relative_name(path)) != path:
            raise BadName(f"two different files would be {inside!r} in the job's directory: rename one")
    return files


def _object(text: bytes) -> dict[str, Any]:
    if len(text) > MAX_BYTES:
        raise BadName(f"more than {MAX_BYTES} bytes: put large texts into an input file")
    try:
        said = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise BadName(f"not JSON in UTF-8: {error}") from error
    if not isinstance(said, dict):
        raise BadName('expected a JSON object, like {"command": "run.sh"}')
    return said
