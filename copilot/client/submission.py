"""A job as its owner describes it, with files on this machine, to a job on the queue."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, field, replace
from pathlib import Path

from copilot.errors import BadName
from copilot.files.staging import Staging
from copilot.grid.environment import shell_environment
from copilot.grid.intake import StagingIntake
from copilot.job import DEFAULT_MAX_ATTEMPTS, JobSecret, JobSpec, Limits
from copilot.matching.needs import with_needs
from copilot.matching.rank import normal_rank
from copilot.matching.requirements import for_sealed_hosts
from copilot.records import dataclass
from copilot.store.base import Store

AT_ONCE = 64  # jobs whose files are staged while others go on the queue
NUMBER = "COPILOT_NUMBER"  # variable of the environment of a job that is one of many


Sealer = Callable[[str], tuple[JobSecret, ...]]  # the secrets of the job with this id, sealed for it alone


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job as its owner describes it: `command` and the other files are on this machine.

    `inputs` maps names in the job's directory to files here. `max_run_time` in seconds. `requirements` is an expression
    over what a host says of itself, like `other.Memory >= 2000`; empty for a job that may run on any. `rank` is one that says which of
    these it prefers. `limits` and all from `network`
    on as in `JobSpec`; a host that cannot give so much does not get the job. `sealer` makes its secrets.
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
    project: str = ""
    sealer: Sealer | None = field(default=None, repr=False)
    limits: Limits = field(default_factory=Limits)
    network: bool = False
    image: str = ""
    cores: int = 1
    max_cores: int | None = None
    gpus: int = 0
    tags: Sequence[str] = ()
    after: Sequence[str] = ()
    after_any: Sequence[str] = ()
    array: int = 0
    rank: str = ""
    hold: bool = False


MAX_PRIORITY = 30  # either way, of what is submitted; what other programs have put on the queue may have more


async def submit(submission: Submission, store: Store, staging: Staging) -> JobSpec:
    """Stage the files, put the job on the queue, and return what was put there.

    The very same job once more, with the same files, changes nothing. Raises `BadName` for what is not allowed,
    `BadRequirements` for requirements or a rank that cannot be read, `TransferError` if a file cannot be staged, `JobExists` if another job has the id, and `StoreUnavailable` (trying
    again helps, also if it is unknown whether the job got there).
    """
    return await StagingIntake(store, staging).submit(described(submission), files_of(submission))


def described(submission: Submission) -> JobSpec:
    """The job as the queue knows it, but for its files. Raises `BadName` for what is not allowed, `BadRequirements`."""
    if not -MAX_PRIORITY <= submission.priority <= MAX_PRIORITY:
        raise BadName(
            f"job {submission.id}: priority {submission.priority}: expected -{MAX_PRIORITY} to {MAX_PRIORITY}"
        )
    secrets = () if submission.sealer is None else submission.sealer(submission.id)
    requirements = with_needs(
        submission.requirements,
        memory=submission.limits.memory,
        disk=submission.limits.disk,
        network=submission.network,
        image=submission.image,
        cores=submission.cores,
        gpus=submission.gpus,
    )
    return JobSpec(
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
        requirements=for_sealed_hosts(requirements) if secrets else requirements,
        project=submission.project,
        secrets=secrets,
        network=submission.network,
        image=submission.image,
        cores=submission.cores,
        max_cores=submission.max_cores,
        gpus=submission.gpus,
        tags=tuple(submission.tags),
        after=tuple(submission.after),
        after_any=tuple(submission.after_any),
        array=submission.array,
        rank=normal_rank(submission.rank),
        hold=submission.hold,
        **asdict(submission.limits),
    )


async def submit_all(submissions: Sequence[Submission], store: Store, staging: Staging) -> list[JobSpec]:
    """Submit many jobs, `AT_ONCE` at a time: what they ask of the queue at the same moment goes there together.

    Returns what was put on the queue, in the order of `submissions`. Raises as `submit`, for the first that fails; those before it
    may be on the queue, and the very same call once more takes up the rest.
    """
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(submission: Submission) -> JobSpec:
        async with gate:
            return await submit(submission, store, staging)

    tasks = [asyncio.ensure_future(one(submission)) for submission in submissions]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)  # nothing goes on behind the caller's back


def numbered(submission: Submission, count: int) -> list[Submission]:
    """So many jobs like this one: `<id>-1`, `<id>-2` …, each told its number as `COPILOT_NUMBER`."""
    return [
        replace(
            submission,
            id=f"{submission.id}-{number}",
            environment={**submission.environment, NUMBER: str(number)},
        )
        for number in range(1, count + 1)
    ]


def files_of(submission: Submission) -> dict[str, Path]:
    """All files of the job by their name in its directory. Raises `BadName`."""
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
