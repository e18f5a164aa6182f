"""Carries out what the agent's logic decides: the only part of an agent that touches disks, processes and files.

Each effect ends in a value that tells the truth about it; what went wrong with a job is an `Outcome`, not an
exception.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from copilot.agent.effects import Assignment, Execute, Forget, Pack, Remember, Upload
from copilot.agent.journal import write_note
from copilot.agent.sandbox import Sandbox
from copilot.errors import CopilotError, NoSpace, TransferError
from copilot.files.base import FileClient, FileFacts
from copilot.job import Cause, InputFile, JobSpec, Outcome, Output
from copilot.protocol.commands import Job, JobInput

log = logging.getLogger("copilot.agent")

FETCHES_AT_ONCE = 4
FETCH_TRIES = 4
FIRST_FETCH_RETRY = 1.0  # s, doubling
MAX_REASON = 500  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What the service needs of the configuration. Sizes in bytes, times in seconds."""

    work_dir: Path
    package_tool: Sequence[str]
    max_output: int
    max_run_time: float = 7 * 24 * 3600.0  # of a job whose manager names no limit


class AgentService:
    """Implements `copilot.runtime.component.Performer` for an agent."""

    def __init__(self, settings: ServiceSettings, files: FileClient) -> None:
        self._settings = settings
        self._files = files

    def perform(self, effect: Any) -> Awaitable[Any] | None:
        """Do it; see the effects."""
        match effect:
            case Remember(note=note):
                sandbox = self._sandbox(note.assignment)
                if note.outcome is None:
                    sandbox.prepare()
                write_note(sandbox.directory, note)
                return None
            case Execute(assignment=assignment):
                return self._execute(assignment)
            case Pack(assignment=assignment):
                return self._pack(self._sandbox(assignment))
            case Upload(assignment=assignment, url=url, output=output):
                facts = FileFacts(size=output.size, sha256=output.sha256)
                return self._files.put(self._sandbox(assignment).package, url, facts=facts)
            case Forget(assignment=assignment):
                return asyncio.to_thread(self._sandbox(assignment).remove)
        raise TypeError(f"an agent has no effect {effect!r}")

    def _sandbox(self, assignment: Assignment) -> Sandbox:
        job = assignment.job
        return Sandbox(
            self._settings.work_dir, job.id, job.attempt or 1, package_tool=tuple(self._settings.package_tool)
        )

    async def _execute(self, assignment: Assignment) -> Outcome:
        """Fetch, run, validate, pack."""
        sandbox, job = self._sandbox(assignment), assignment.job
        try:
            await self._fetch_all(sandbox, job)
        except (CopilotError, OSError) as error:
            outcome = _not_fetched(error)
        else:
            outcome = await self._run(sandbox, job)
        return await self._packed(sandbox, outcome)

    async def _fetch_all(self, sandbox: Sandbox, job: Job) -> None:
        wanted = asyncio.Semaphore(FETCHES_AT_ONCE)

        async def fetch(item: JobInput) -> None:
            async with wanted:
                await self._fetch(item, sandbox.input_path(item.name))

        async with _first_error(), asyncio.TaskGroup() as group:
            for item in _inputs(job):
                group.create_task(fetch(item))

    async def _fetch(self, item: JobInput, path: Path) -> None:
        for wait in (*(FIRST_FETCH_RETRY * 2**n for n in range(FETCH_TRIES - 1)), None):
            try:
                size, sha256 = (item.size, item.sha256) if item.sha256 else (None, None)
                await self._files.get(item.url, path, size=size, sha256=sha256)
            except TransferError as error:
                if wait is None or not error.retryable:
                    raise
                log.warning("%s: trying again in %.0f s", error, wait)
                await asyncio.sleep(wait)
            else:
                return

    async def _run(self, sandbox: Sandbox, job: Job) -> Outcome:
        spec = _spec(job)
        limit = min(job.max_run_time or self._settings.max_run_time, self._settings.max_run_time)
        outcome = await sandbox.run(spec, limit)
        if outcome.cause is not Cause.OK or job.validation is None:
            return outcome
        code = await sandbox.validate(spec)
        if code == 0:
            return replace(outcome, validate_exit_code=0)
        reason = f"the validation script {job.validation} exited with {code}"
        return replace(outcome, cause=Cause.USER_VALIDATION, validate_exit_code=code, reason=reason)

    async def _packed(self, sandbox: Sandbox, outcome: Outcome) -> Outcome:
        """With its output, or with the reason why there is none."""
        try:
            return replace(outcome, output=await self._pack(sandbox))
        except (CopilotError, OSError) as error:
            why = f"the output could not be packed: {error}"
            cause = Cause.INFRA_DISK_FULL if isinstance(error, NoSpace) else Cause.INFRA_STORE
        log.error("%s", why)
        if outcome.cause is not Cause.OK:
            cause = outcome.cause  # what came first explains more
        reason = "; ".join(part for part in (outcome.reason, why) if part)
        return replace(outcome, cause=cause, reason=reason[:MAX_REASON])

    async def _pack(self, sandbox: Sandbox) -> Output:
        package = await sandbox.pack(self._settings.max_output)
        for note in package.notes:
            log.info("%s: %s", package.path.name, note)
        return Output(size=package.facts.size, sha256=package.facts.sha256)


class _first_error:  # noqa: N801  # used like a function
    """Turns the group that `TaskGroup` raises into its first error."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, _: object, error: BaseException | None, __: object) -> None:
        if isinstance(error, BaseExceptionGroup):
            raise error.exceptions[0] from error


def _inputs(job: Job) -> tuple[JobInput, ...]:
    """What to fetch from where; a manager of 2011 names files of a directory on its Chirp server."""
    if job.inputs:
        return job.inputs
    base = f"chirp://{job.chirp_url}/{job.input_dir.strip('/')}"
    return tuple(JobInput(name=name, url=f"{base}/{name}", size=0, sha256="") for name in job.input_files)


def _spec(job: Job) -> JobSpec:
    return JobSpec(
        id=job.id,
        command=job.command,
        arguments=job.arguments,
        environment=job.environment,
        packages=job.packages,
        inputs=tuple(InputFile(name=item.name, size=item.size, sha256=item.sha256) for item in _inputs(job)),
        validation=job.validation,
    )


def _not_fetched(error: Exception) -> Outcome:
    cause = Cause.INFRA_DISK_FULL if isinstance(error, NoSpace) else Cause.INFRA_FETCH
    return Outcome(
        cause=cause, exit_code=1, reason=f"an input file could not be fetched: {error}"[:MAX_REASON]
    )
