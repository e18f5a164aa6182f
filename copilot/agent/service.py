"""Carries out what the agent's logic decides: the only part of an agent that touches disks, processes and files.

Each effect ends in a value that tells the truth about it; what went wrong with a job is an `Outcome`, not an
exception.
"""

from __future__ import annotations

import asyncio
import binascii
import hashlib
import logging
import re
import time
from base64 import b64decode
from collections.abc import Awaitable, Sequence
from dataclasses import field, replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from copilot.agent.cache import InputCache
from copilot.agent.capacity import Share
from copilot.agent.counts import AgentCounts
from copilot.agent.effects import (
    Assignment,
    Begin,
    Execute,
    Forget,
    Kill,
    Note,
    Pack,
    Remember,
    Show,
    Stop,
    Upload,
)
from copilot.agent.isolation.base import Bare, Isolation, Network
from copilot.agent.isolation.image import NoImage
from copilot.agent.isolation.images import NO_TOOL, Images
from copilot.agent.journal import Journal, attempt_name
from copilot.agent.limits.keeping import Keeping
from copilot.agent.processes import Wishes
from copilot.agent.sandbox import Sandbox
from copilot.agent.showing import read_part
from copilot.agent.spares import Spares
from copilot.agent.threads import in_thread
from copilot.agent.vault import Vault
from copilot.agent.wrapper import NOT_STARTED
from copilot.errors import BadName, CopilotError, NoSpace, ProtocolError, TransferError
from copilot.files.base import FileClient, FileFacts
from copilot.files.disk import disk_errors
from copilot.files.newfile import NewFile
from copilot.job import LIMITS, Cause, InputFile, JobSpec, Outcome, Output, Phase, one_line
from copilot.log import JobRef
from copilot.protocol.commands import Job, JobInput
from copilot.records import dataclass

log = logging.getLogger("copilot.agent")

FETCHES_AT_ONCE = 4
FETCH_TRIES = 4
FIRST_FETCH_RETRY = 1.0  # s, doubling

_ATTEMPT = re.compile(r"(?P<job>.+)\.a(?P<attempt>[1-9][0-9]*)\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """What the service needs of the configuration. Sizes in bytes, times in seconds."""

    work_dir: Path
    package_tool: Sequence[str]
    max_output: int
    input_cache: int = 0
    max_run_time: float = 7 * 24 * 3600.0  # of a job whose manager names no limit
    isolation: Isolation = field(default_factory=Bare)
    keeping: Keeping = field(default_factory=Keeping)
    network: Network = Network.ASKED
    images: Images | None = None


class AgentService:
    """Implements `copilot.runtime.component.Performer` for an agent."""

    def __init__(
        self, settings: ServiceSettings, files: FileClient, *, counts: AgentCounts | None = None
    ) -> None:
        """What is done is counted in `counts`."""
        self._counts = counts or AgentCounts()
        self._settings = settings
        self._files = files
        self._work_dir = settings.work_dir.resolve()
        self._cache = InputCache(self._work_dir / "inputs", settings.input_cache, self._counts)
        self._spares = Spares(self._work_dir / "jobs")
        self._sandboxes: dict[str, Sandbox] = {}  # by attempt, until it is forgotten
        self._packages: dict[str, bytes] = {}  # small outputs, by attempt, until it is forgotten
        self._vault = Vault(self._work_dir)
        self._journal = Journal(settings.work_dir / "journal")
        self._at_work: dict[str, _Work] = {}  # by job id: what `Execute` is at

    def recover(self) -> list[Note]:
        """The notes of a former life. Attempts without one are removed: they were not begun, or are over.

        Call it once, before anything is performed; it blocks. What cannot be removed is named in the log.
        """
        kept = self._journal.read()
        self._vault.clear()
        if self._settings.input_cache == 0:
            self._cache.clear()
        self._cache.measure()
        self._packages = {
            attempt_name(one.note.assignment): one.package for one in kept if one.package is not None
        }
        noted = {attempt_name(one.note.assignment) for one in kept}
        for directory in (self._work_dir / "jobs").glob("*.a*"):
            match = _ATTEMPT.match(directory.name)
            if match is None or directory.name in noted:
                continue
            try:
                Sandbox(self._work_dir, match["job"], int(match["attempt"])).remove()
            except (CopilotError, OSError) as error:
                job = JobRef(match["job"], int(match["attempt"]))
                log.error("%s: %s is left over from a crash and cannot be removed: %s", job, directory, error)
        self._spares.clear()
        return [one.note for one in kept]

    def close(self) -> None:
        """Leave nothing but what the next life needs."""
        self._journal.close()
        self._spares.clear()
        self._vault.clear()
        self._settings.keeping.close()
        if self._settings.images is not None:
            self._settings.images.close()

    def perform(self, effect: Any) -> Awaitable[Any] | None:
        """Do it; see the effects."""
        match effect:
            case Remember(note=note):
                self._remember(note)
                return None
            case Execute(assignment=assignment, share=share):
                work = self._at_work[assignment.id] = (
                    _Work()
                )  # now: what is to end it may come in the same moment
                return self._execute(assignment, share, work)
            case Pack(assignment=assignment):
                return self._pack(self._sandbox(assignment), assignment)
            case Begin() | Stop() | Kill():
                if effect.assignment.id in self._at_work:
                    self._at_work[effect.assignment.id].heed(effect)
                return None
            case Upload(assignment=assignment, url=url, output=output):
                return self._upload(assignment, url, output)
            case Show() as show:
                assignment = show.assignment
                sandbox = Sandbox(self._work_dir, assignment.id, assignment.job.attempt or 1)
                path = sandbox.stderr if show.stream == "stderr" else sandbox.stdout
                return in_thread(partial(read_part, path, show))
            case Forget(assignment=assignment):
                return self._forget(assignment)
        raise TypeError(f"an agent has no effect {effect!r}")

    def _sandbox(self, assignment: Assignment) -> Sandbox:
        """The one of this attempt. It knows whether something may be left of a former life."""
        name = attempt_name(assignment)
        if name not in self._sandboxes:
            job, tool = assignment.job, tuple(self._settings.package_tool)
            self._sandboxes[name] = Sandbox(
                self._work_dir,
                job.id,
                job.attempt or 1,
                package_tool=tool,
                spares=self._spares,
                isolation=self._settings.isolation,
                keeping=self._settings.keeping,
            )
        return self._sandboxes[name]

    def _remember(self, note: Note) -> None:
        name = attempt_name(note.assignment)
        if note.taken is not None:  # kept for a day, which is too long for the memory
            self._packages.pop(name, None)
        try:
            self._write_down(name, note)
        except (OSError, NoSpace):
            self._counts.journal_failures += 1
            if not self._cache.clear():
                raise
            self._write_down(name, note)
        self._counts.journal_writes += 1

    def _write_down(self, name: str, note: Note) -> None:
        if note.outcome is None:
            self._sandboxes.pop(name, None)
            self._packages.pop(name, None)
            self._sandbox(note.assignment).prepare()
        self._journal.keep(note, self._packages.get(name))

    async def _upload(self, assignment: Assignment, url: str, output: Output) -> None:
        path, package = self._sandbox(assignment).package, self.package(assignment)
        if package is not None:
            with disk_errors(f"writing the output of job {assignment.id}"), NewFile.at(path) as new:
                new.write(package)
                new.commit(durable=False)
        await self._files.put(path, url, facts=FileFacts(size=output.size, sha256=output.sha256))

    async def _forget(self, assignment: Assignment) -> None:
        self._journal.drop(assignment)  # first: a report must not outlive its output
        name, sandbox = attempt_name(assignment), self._sandbox(assignment)
        self._packages.pop(name, None)
        if not sandbox.set_aside():
            await in_thread(sandbox.remove)
        del self._sandboxes[name]

    def phase(self, assignment: Assignment) -> str:
        """What `Execute` is at with this job."""
        work = self._at_work.get(assignment.id)
        return Phase.RUN if work is None else work.phase

    def package(self, assignment: Assignment) -> bytes | None:
        """The packed output of an assignment that was executed, if it is small."""
        return self._packages.get(attempt_name(assignment))

    async def _execute(self, assignment: Assignment, share: Share, work: _Work) -> Outcome:
        """Fetch, run, validate, pack."""
        sandbox, begun = self._sandbox(assignment), time.monotonic()
        sandbox.share = share
        if not assignment.job.exclusive:
            work.heed(Begin(assignment=assignment))
        try:
            outcome = await self._attempt(sandbox, assignment.job, work)
            wall_time = round(time.monotonic() - begun, 3)
            outcome = replace(outcome, wall_time=wall_time, bytes_in=work.fetched)
            return await self._packed(sandbox, assignment, outcome)
        finally:
            if self._at_work.get(assignment.id) is work:
                del self._at_work[assignment.id]

    async def _attempt(self, sandbox: Sandbox, job: Job, work: _Work) -> Outcome:
        """Fetch, run, validate; what this host fails at is no fault of the job."""
        try:
            spec = _spec(job, self._settings.network)
        except BadName as error:
            return _failure(error, Cause.USER_PREREQUISITE, "this agent takes no such job")
        try:
            if not await self._prepared(sandbox, job, work):
                return _stopped()
        except (CopilotError, OSError) as error:
            return _failure(error, Cause.INFRA_FETCH, "an input file could not be fetched")
        try:
            if spec.image and not await _unless(work.wishes.stop, self._take_image(sandbox, spec.image)):
                return _stopped()
        except (CopilotError, OSError) as error:
            return _failure(error, Cause.INFRA_FETCH, "its container image cannot be had")
        work.phase = Phase.RUN
        try:
            self._lay_secrets(sandbox, job)
            return await self._run(sandbox, spec, self._limit(job), work.wishes)
        except (CopilotError, OSError) as error:
            return _failure(error, Cause.INFRA_LOST, "this host could not run the job to its end")
        finally:
            self._vault.remove(sandbox.directory.name)

    def image_fault(self, image: str) -> str | None:
        """Why this host cannot run jobs of that container image, as far as it is known at once; None if nothing speaks against it."""
        images = self._settings.images
        return f"image {image}: {NO_TOOL}" if images is None else images.fault(image)

    async def _take_image(self, sandbox: Sandbox, image: str) -> None:
        """Have it here, and the payload run in it. Raises `NoImage`, `BadName`, OSError."""
        if self._settings.images is None:
            raise NoImage(f"image {image}: {NO_TOOL}")
        sandbox.isolation = await self._settings.images.isolation(image)

    def _lay_secrets(self, sandbox: Sandbox, job: Job) -> None:
        """Just before the payload begins. Raises `TransferError`s, and `ProtocolError` for what is no base64."""
        if not job.secrets:
            return
        try:
            values = {one.name: b64decode(one.data, validate=True) for one in job.secrets}
        except ValueError:
            raise ProtocolError("bad-value", "a secret that came with the job is not base64") from None
        with disk_errors("writing the secrets of a job"):
            sandbox.secrets = self._vault.lay(sandbox.directory.name, values, sandbox.isolation.account)

    async def _prepared(self, sandbox: Sandbox, job: Job, work: _Work) -> bool:
        """What comes before the payload begins; whether that came to its end before somebody wished the job's."""
        inputs = _inputs(job)
        missing = [item for item in inputs if not _is_written(item, sandbox)]
        work.fetched = sum(item.size for item in inputs if item not in missing)
        if not missing and work.begin.done():
            return True
        return await _unless(work.wishes.stop, self._fetch_all(sandbox, missing, work))

    async def _fetch_all(self, sandbox: Sandbox, missing: Sequence[JobInput], work: _Work) -> None:
        wanted = asyncio.Semaphore(FETCHES_AT_ONCE)

        async def fetch(item: JobInput) -> None:
            async with wanted:
                await self._fetch(item, sandbox, work)

        try:
            async with asyncio.TaskGroup() as group:
                for item in missing:
                    group.create_task(fetch(item))
        except BaseExceptionGroup as failures:  # the first one ended the others
            raise failures.exceptions[0] from failures
        await work.begin

    async def _fetch(self, item: JobInput, sandbox: Sandbox, work: _Work) -> None:
        for wait in (*(FIRST_FETCH_RETRY * 2**n for n in range(FETCH_TRIES - 1)), None):
            try:
                size = await self._fetch_once(item, sandbox.input_path(item.name))
            except TransferError as error:
                if wait is None or not error.retryable:
                    raise
                log.warning("%s: %s: trying again in %.0f s", sandbox.ref, error, wait)
                await asyncio.sleep(wait)
            else:
                work.fetched += size
                return

    async def _fetch_once(self, item: JobInput, path: Path) -> int:
        """How many bytes came from elsewhere."""
        if not item.sha256:  # a manager of 2011 says nothing of it
            await self._files.get(item.url, path)
            return _size(path)
        download = partial(self._files.get, item.url, path, size=item.size, sha256=item.sha256)
        cached = await self._cache.fetch(path, size=item.size, sha256=item.sha256.lower(), download=download)
        return 0 if cached else item.size

    async def _run(self, sandbox: Sandbox, spec: JobSpec, limit: float, wishes: Wishes) -> Outcome:
        outcome = await sandbox.run(spec, limit, wishes)
        if sandbox.ran is not None:
            self._counts.payload.observe(sandbox.ran)
        if outcome.cause is not Cause.OK or spec.validation is None:
            return outcome
        return _validated(outcome, spec.validation, await sandbox.validate(spec, wishes))

    def _limit(self, job: Job) -> float:
        longest = self._settings.max_run_time
        return longest if job.max_run_time is None else min(job.max_run_time, longest)

    async def _packed(self, sandbox: Sandbox, assignment: Assignment, outcome: Outcome) -> Outcome:
        """With its output, or with the reason why there is none."""
        try:
            output = await self._pack(sandbox, assignment)
            return replace(outcome, output=output, bytes_out=output.size)
        except (CopilotError, OSError) as error:
            failure = _failure(error, Cause.INFRA_STORE, "the output could not be packed")
        log.error("%s: %s", assignment.ref, failure.reason)
        if outcome.cause is Cause.OK:
            return replace(outcome, cause=failure.cause, reason=failure.reason)
        reason = one_line(f"{outcome.reason}; {failure.reason}")  # what came first explains more
        return replace(outcome, reason=reason)

    async def _pack(self, sandbox: Sandbox, assignment: Assignment) -> Output:
        package = await sandbox.pack(self._settings.max_output)
        for note in package.notes:
            log.info("%s: its output: %s", assignment.ref, note)
        if package.data is not None:
            self._packages[attempt_name(assignment)] = package.data
        return Output(size=package.facts.size, sha256=package.facts.sha256)


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(slots=True)
class _Work:
    """A job that is being executed. `begin` is done when it may run, `fetched` are bytes of inputs that came from elsewhere."""

    phase: Phase = Phase.FETCH
    begin: asyncio.Future[None] = field(default_factory=_future)
    wishes: Wishes = field(default_factory=Wishes)
    fetched: int = 0

    def heed(self, order: Begin | Stop | Kill) -> None:
        """Somebody wants this of it."""
        stop, kill = self.wishes.stop, self.wishes.kill
        wanted = {Begin: (self.begin,), Stop: (stop,), Kill: (kill, stop)}[type(order)]
        for future in wanted:
            if not future.done():
                future.set_result(None)


async def _unless(stop: asyncio.Future[None], work: Awaitable[object]) -> bool:
    """Do `work` to its end, or until `stop` is done; whether it came to its end. Raises what it raises."""
    doing = asyncio.ensure_future(work)
    try:
        await asyncio.wait((doing, stop), return_when=asyncio.FIRST_COMPLETED)
        if not doing.done():
            return False
        await doing
        return True
    finally:
        doing.cancel()
        await asyncio.gather(doing, return_exceptions=True)


def _is_written(item: JobInput, sandbox: Sandbox) -> bool:
    """Write an input that came with the job; False if it did not, or is not what was announced."""
    if item.data is None:
        return False
    try:
        contents = b64decode(item.data, validate=True)
    except (binascii.Error, ValueError):
        return False
    if (len(contents), hashlib.sha256(contents).hexdigest()) != (item.size, item.sha256):
        text = "%s: input file %s: what came with the job is not what was announced; fetching it"
        log.warning(text, sandbox.ref, item.name)
        return False
    sandbox.write_input(item.name, contents)
    return True


def _inputs(job: Job) -> tuple[JobInput, ...]:
    """What to fetch from where; a manager of 2011 names files of a directory on its Chirp server."""
    if job.inputs:
        return job.inputs
    base = f"chirp://{job.chirp_url}/{quote(job.input_dir.strip('/'))}"
    return tuple(
        JobInput(name=name, url=f"{base}/{quote(name)}", size=0, sha256="") for name in job.input_files
    )


def _spec(job: Job, network: Network) -> JobSpec:
    """A manager that says nothing of the network (one of 2011, or older than this agent) does not know that it is to be asked for."""
    asked = job.network is None or job.network
    return JobSpec(
        id=job.id,
        command=job.command,
        arguments=job.arguments,
        environment=job.environment,
        packages=job.packages,
        inputs=tuple(InputFile(name=item.name, size=item.size, sha256=item.sha256) for item in _inputs(job)),
        validation=job.validation,
        network=network is Network.ALWAYS or (network is Network.ASKED and asked),
        image=job.image or "",
        **{name: getattr(job, name) for name in LIMITS},
    )


def _size(path: Path) -> int:
    return path.lstat().st_size


def _stopped() -> Outcome:
    return Outcome(cause=Cause.CANCELLED, exit_code=NOT_STARTED, reason="stopped before it began")


def _validated(outcome: Outcome, script: str, code: int) -> Outcome:
    if code == 0:
        return replace(outcome, validate_exit_code=0)
    reason = one_line(f"the validation script {script} exited with {code}")
    return replace(outcome, cause=Cause.USER_VALIDATION, validate_exit_code=code, reason=reason)


def _failure(error: Exception, cause: Cause, what: str) -> Outcome:
    """An attempt that `error` ended: by `cause`, unless the error itself knows better."""
    if isinstance(error, NoSpace):
        cause = Cause.INFRA_DISK_FULL
    elif isinstance(error, BadName):
        cause = Cause.USER_PREREQUISITE  # it is as bad on every other host
    return Outcome(cause=cause, exit_code=1, reason=one_line(f"{what}: {error}"))
