"""A job as its owner describes it, with files on this machine, to a job on the queue."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from copilot.errors import BadName
from copilot.files.staging import Staging
from copilot.grid.environment import shell_environment
from copilot.grid.intake import StagingIntake
from copilot.job import DEFAULT_MAX_ATTEMPTS, JobSpec
from copilot.matching.requirements import normal_requirements
from copilot.store.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job as its owner describes it: `command` and the other files are on this machine.

    `inputs` maps names in the job's directory to files here. `max_run_time` in seconds. `requirements` is an expression
    over what a host says of itself, like `other.Memory >= 2000`; empty for a job that may run on any.
    """

    id: str
    command: Path
    arguments: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)
    packages: Sequence[str] = ()
    inputs: Mapping[str, Path] = field(default_factory=dict)
    validation: Path | None = None
    priority: int = 0
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    max_user_attempts: int = 1
    max_run_time: float | None = None
    owner: str = ""
    chirp_server: str | None = None
    exclusive: bool = False
    requirements: str = ""


async def submit(submission: Submission, store: Store, staging: Staging) -> JobSpec:
    """Stage the files, put the job on the queue, and return what was put there.

    The very same job once more, with the same files, changes nothing. Raises `BadName` for what is not allowed,
    `BadRequirements` for requirements that cannot be read, `TransferError` if a file cannot be staged, `JobExists` if another job has the id, and `StoreUnavailable` (trying
    again helps, also if it is unknown whether the job got there).
    """
    files = _files(submission)
    spec = JobSpec(
        id=submission.id,
        command=submission.command.name,
        arguments=submission.arguments,
        environment=shell_environment(submission.environment),
        packages=tuple(submission.packages),
        validation=None if submission.validation is None else submission.validation.name,
        priority=submission.priority,
        owner=submission.owner,
        max_attempts=submission.max_attempts,
        max_user_attempts=submission.max_user_attempts,
        max_run_time=submission.max_run_time,
        chirp_server=submission.chirp_server,
        exclusive=submission.exclusive,
        requirements=normal_requirements(submission.requirements),
    )
    return await StagingIntake(store, staging).submit(spec, files)


def _files(submission: Submission) -> dict[str, Path]:
    """All files of the job by their name in its directory."""
    files: dict[str, Path] = {}
    named = [(submission.command.name, submission.command), *submission.inputs.items()]
    if submission.validation is not None:
        named.append((submission.validation.name, submission.validation))
    for name, path in named:
        if files.setdefault(name, path) != path:
            raise BadName(
                f"two different files would be {name!r} in the job's directory: {files[name]} and {path}"
            )
    return files
