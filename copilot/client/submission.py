"""From files on this machine to a job on the queue.

The order that loses nothing: the inputs lie complete in the file area, then the job goes on the queue; if it does
not get there, the inputs go away again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from copilot.errors import BadName, JobExists
from copilot.files.area import FileArea, input_name
from copilot.files.disk import directory, disk_errors, open_file_below
from copilot.job import DEFAULT_MAX_ATTEMPTS, InputFile, JobSpec, check_job_id, check_relative_name
from copilot.store.base import Store

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job as its owner describes it: `command` and the other files are on this machine.

    `inputs` maps names in the job's directory to files here. `max_run_time` in seconds.
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
    max_run_time: float | None = None
    owner: str = ""
    chirp_server: str | None = None


async def submit(submission: Submission, store: Store, area: FileArea) -> JobSpec:
    """Stage the files, put the job on the queue, and return what was put there.

    Raises `BadName` for what is not allowed, `TransferError` if a file cannot be staged, `JobExists`, and
    `StoreUnavailable` (trying again helps).
    """
    check_job_id(submission.id, submitted=True)
    if await store.get(submission.id) is not None:
        raise JobExists(f"there is a job {submission.id} already: choose another id")
    files = _files(submission)
    environment = shell_environment(submission.environment)
    try:
        staged = [await _staged(area, submission.id, name, path) for name, path in files.items()]
        spec = JobSpec(
            id=submission.id,
            command=submission.command.name,
            arguments=submission.arguments,
            environment=environment,
            packages=tuple(submission.packages),
            inputs=tuple(staged),
            validation=None if submission.validation is None else submission.validation.name,
            priority=submission.priority,
            owner=submission.owner,
            max_attempts=submission.max_attempts,
            max_run_time=submission.max_run_time,
            chirp_server=submission.chirp_server,
        )
        await store.submit([spec])
    except BaseException:
        await _withdraw(submission.id, store, area)
        raise
    return spec


def shell_environment(variables: Mapping[str, str]) -> str:
    """Shell text that sets the variables. Raises `BadName` for a name or value that no environment takes."""
    for name, value in variables.items():
        if not _VARIABLE.match(name):
            raise BadName(
                f"environment variable {name[:140]!r}: expected letters, digits and '_', no digit first"
            )
        if "\0" in value:
            raise BadName(f"environment variable {name}: its value holds a NUL character; leave that out")
    return "\n".join(f"export {name}={shlex.quote(value)}" for name, value in variables.items())


def _files(submission: Submission) -> dict[str, Path]:
    """All files of the job by their name in its directory."""
    files: dict[str, Path] = {}
    named = [(submission.command.name, submission.command), *submission.inputs.items()]
    if submission.validation is not None:
        named.append((submission.validation.name, submission.validation))
    for name, path in named:
        if files.setdefault(check_relative_name(name), path) != path:
            raise BadName(
                f"two different files would be {name!r} in the job's directory: {files[name]} and {path}"
            )
        if not path.is_file():
            raise BadName(f"{path}: expected a file that exists")
    return files


async def _staged(area: FileArea, job: str, name: str, source: Path) -> InputFile:
    """The input in its place. A thread cannot be cancelled: its end is waited for, or it would stage what
    `_withdraw` has just removed."""
    work = asyncio.ensure_future(asyncio.to_thread(_stage, area, job, name, source))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        await asyncio.gather(work, return_exceptions=True)
        raise


def _stage(area: FileArea, job: str, name: str, source: Path) -> InputFile:
    facts = area.store_input(job, source, name)
    if os.geteuid() == 0:
        _give_to_owner(area, input_name(job, name))
    return InputFile(name=name, size=facts.size, sha256=facts.sha256)


def _give_to_owner(area: FileArea, relative: str) -> None:
    """What root submits must be readable for the user as whom the services run.

    That user may write here: a symlink of theirs on the way must not have root give them somebody else's file.
    """
    owner = area.root.stat()
    *parents, _ = relative.split("/")
    with disk_errors(f"giving {area.root / relative} to the owner of the file area"):
        for depth in range(1, len(parents) + 1):
            with directory(area.root, parents[:depth]) as opened:
                os.fchown(opened, owner.st_uid, owner.st_gid)
        with open_file_below(area.root, relative) as file:
            os.fchown(file.fileno(), owner.st_uid, owner.st_gid)


async def _withdraw(job: str, store: Store, area: FileArea) -> None:
    """Drop the inputs, unless the job may be on the queue after all."""
    with contextlib.suppress(Exception):  # the first error is the one to tell
        if await store.get(job) is None:
            await asyncio.to_thread(area.drop_inputs, job)
