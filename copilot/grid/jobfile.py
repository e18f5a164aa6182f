"""What a job file says: a JSON object with these keys, of which only `command` is required.

    {"command": "run.sh",              file that is executed
     "id": "job-1",                    else the name of the job file without .json
     "arguments": "-v 'two words'",    quoted as for a shell
     "environment": {"MODE": "fast"},
     "packages": ["VO_X@Root::v6"],
     "inputs": {"data/in": "in.dat"},  further files: name in the job's directory, and where it lies
     "validation": "check.sh",         script that checks the result
     "priority": 5,                    higher goes first
     "max_run_time": 3600,             seconds
     "max_attempts": 3,                until failures of the infrastructure end the job
     "max_user_attempts": 1,           until its own do
     "exclusive": true,                never two attempts at once, rather stopped than doubled
     "requirements": "other.Memory >= 2000",   what the agent's host must be like
     "memory": 2147483648, "cpu_time": 600, "processes": 100,   what all of it may use: bytes, seconds, number
     "open_files": 1024, "file_size": 1073741824,               what each process and file may: number, bytes
     "disk": 10737418240,              bytes that its directory may take
     "network": true,                  it needs the network
     "image": "docker://debian:12",    container image that it runs in
     "owner": "alice"}

Files are named relative to the directory of the job file and lie in it or below. `command` and `validation` appear in
the job's directory under the last part of their names.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from copilot.errors import BadName
from copilot.grid.environment import shell_environment
from copilot.job import DEFAULT_MAX_ATTEMPTS, LIMITS, JobSpec, check_job_id, check_relative_name
from copilot.matching.needs import with_needs

MAX_BYTES = 64 * 1024  # of a job file: more than a job may hold (copilot.job)
_KINDS: Mapping[str, tuple[type | tuple[type, ...], str]] = {
    "command": (str, "text"),
    "id": (str, "text"),
    "arguments": (str, "text"),
    "environment": (dict, "an object of texts"),
    "packages": (list, "a list of texts"),
    "inputs": (dict, "an object of texts"),
    "validation": (str, "text"),
    "priority": (int, "a whole number"),
    "max_run_time": ((int, float), "a number of seconds"),
    "max_attempts": (int, "a whole number"),
    "max_user_attempts": (int, "a whole number"),
    "exclusive": (bool, "true or false"),
    "requirements": (str, "text"),
    "memory": (int, "a number of bytes"),
    "cpu_time": ((int, float), "a number of seconds"),
    "processes": (int, "a whole number"),
    "open_files": (int, "a whole number"),
    "file_size": (int, "a number of bytes"),
    "disk": (int, "a number of bytes"),
    "network": (bool, "true or false"),
    "image": (str, "text"),
    "owner": (str, "text"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobFile:
    """The job, and its files: names in the job's directory to names relative to the job file's directory."""

    spec: JobSpec
    files: Mapping[str, str]


def parse(name: str, text: bytes) -> JobFile:
    """Read the job file `<name>.json`. Raises `BadName` for anything that is not as it should be."""
    said = _object(text)
    for key, value in said.items():
        _check(key, value)
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
        ),
        network=said.get("network", False),
        image=said.get("image", ""),
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


def _check(key: str, value: Any) -> None:
    if key not in _KINDS:
        raise BadName(f"{key[:60]!r}: no such key; expected {', '.join(_KINDS)}")
    kind, expected = _KINDS[key]
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    fits = isinstance(value, kind) and isinstance(value, bool) == (kind is bool)
    if not fits or not all(isinstance(x, str) for x in parts):
        raise BadName(f"{key}: expected {expected}")
