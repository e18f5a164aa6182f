"""Jobs from afar: people submit them, follow them and stop them by messages, with no access to queue and file area.

    wantUpload ─▶ haveUpload (signed URLs) ─▶ the files go to the file server ─▶ submitJob ─▶ haveJobState …

Whose a job is, is the account that the server vouches for, never what a message says. Nothing is remembered that matters:
where an input lies follows from who sends which file for which job, so any instance may serve any step, and the same
once more changes nothing. An acknowledged `submitJob` is in the store.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from base64 import b64decode, b64encode
from binascii import Error as BadBase64
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from copilot.errors import (
    BadName,
    IntakePaused,
    JobExists,
    QueueFull,
    TooManyJobs,
    TooManyWatches,
    TransferError,
)
from copilot.files.area import input_name
from copilot.job import (
    DEFAULT_MAX_ATTEMPTS,
    LIMITS,
    InputFile,
    JobRecord,
    JobSecret,
    JobSpec,
    check_job_id,
    one_line,
)
from copilot.jobmanager.desk import Desk, Why
from copilot.jobmanager.one_at_a_time import OneAtATime
from copilot.jobmanager.watching import Watching
from copilot.log import JobRef, PeerRef
from copilot.matching.rank import normal_rank
from copilot.matching.requirements import normal_requirements
from copilot.protocol.commands import (
    HaveJobOutput,
    HaveJobState,
    HaveUpload,
    Operate,
    Operated,
    SentInput,
    StopJob,
    SubmitJob,
    Upload,
    WantJobOutput,
    WantJobs,
    WantJobState,
    WantUpload,
)
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.protocol.rules import MOST_LISTED, SMALL_INPUTS, TAKES
from copilot.records import dataclass
from copilot.roles import Account, looks_after, may_say
from copilot.runtime.component import Action, Actions, Event, Offline, Refuse, Send, Tick
from copilot.store.arrays import Wish
from copilot.store.base import Store
from copilot.store.watched import Stream

log = logging.getLogger("copilot.jobmanager")

MOST_OPEN = 64  # jobs of one submitter for which URLs are out, and that are not on the queue yet
FULL_FOR = 60.0  # s after which it makes sense to submit again when there was no room
MOST_PRIORITY = 1000  # either way, as for who submits on the spot
MOST_ATTEMPTS = 100
STAGED_DIGITS = 32  # hexadecimal

T = TypeVar("T")


class SubmittedFiles(Protocol):
    """Where the inputs of jobs from afar go. `staged` is the directory of one submission (`JobSpec.staged`). The coroutines may
    be repeated, and raise `TransferError`."""

    def upload_url(self, job: str, name: str, size: int, sha256: str, expires_in: float) -> str:
        """Where this file, and no other, is written to within the next `expires_in` seconds."""
        ...

    def result_url(self, job: str, expires_in: float) -> str | None:
        """Where the output of this finished job is read; None where its finisher has taken it elsewhere."""
        ...

    async def missing(self, spec: JobSpec) -> frozenset[str]:
        """The names of inputs that are not there yet."""
        ...

    async def keep(self, spec: JobSpec, contents: Mapping[str, bytes]) -> None:
        """Write small inputs to their places, and let agents read all of them."""
        ...

    async def drop(self, job: str, staged: str) -> None:
        """Remove the inputs of a submission that came to nothing."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmissionSettings:
    """What it needs of the configuration; times in seconds, sizes in bytes. `max_jobs`: of one submitter that may wait or run;
    `max_input`: of one job's inputs together."""

    max_jobs: int = 1000
    max_input: int = 10 * 2**30
    upload_lifetime: float = 3600.0


class _Refused(Exception):
    """Why a request has no effect; `code` as in `error`."""

    def __init__(self, code: str, text: str, retry_after: float | None = None) -> None:
        super().__init__(text)
        self.code = code
        self.retry_after = retry_after


class Submissions:
    """Answers `wantUpload`, `submitJob`, `wantJobState`, `wantJobs`, `wantJobOutput`, `stopJob` and `operate`."""

    def __init__(
        self,
        store: Store,
        files: SubmittedFiles | None,
        settings: SubmissionSettings,
        *,
        wall: Callable[[], float],
        desk: Desk,
    ) -> None:
        """`files` is None where files travel by Chirp alone. `wall` is the time in seconds since the epoch."""
        self._desk, self._slow = desk, OneAtATime()
        self._store = store
        self._files = files
        self.settings = settings  # may be replaced while it runs
        self._wall = wall
        self._open: dict[str, OrderedDict[tuple[str, str], float]] = {}  # by account: submission → until when
        self._watching = Watching(store)

    def wakeup(self) -> float | None:
        """When watched jobs are to be looked at."""
        return self._watching.wakeup()

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        """As `Component.handle`."""
        match event:
            case Received(
                command=WantUpload()
                | SubmitJob()
                | WantJobState()
                | WantJobs()
                | StopJob()
                | Operate()
                | WantJobOutput()
            ):
                return self._answer(event, now)
            case Tick() if self._watching.due(now):
                return self._tell_changes(now)
            case Offline():
                self._watching.clear()  # whoever still wants to know asks again
        return []

    async def _answer(self, received: Received, now: float) -> Actions:
        command = received.command
        try:
            account = await self._account(received)
            match command:
                case WantUpload():
                    return await self._offer_upload(received, command, account, now)
                case SubmitJob():
                    return await self._submit(received, command, account, now)
                case WantJobState():
                    return await self._tell(received, command, account, now)
                case StopJob():
                    return await self._stop(received, command, account)
                case WantJobs():
                    return await self._list(received, command, account)
                case Operate():
                    return await self._operate(received, command, account)
                case WantJobOutput():
                    return await self._show(received, command, account)
        except _Refused as refused:
            job = getattr(command, "job_id", None)
            return [
                Refuse(
                    received=received,
                    code=refused.code,
                    text=str(refused),
                    job=job,
                    retry_after=refused.retry_after,
                )
            ]
        return []

    async def _account(self, received: Received) -> Account:
        """Who asks, as the store knows it now: an account that was revoked a moment ago is nobody's."""
        account = await self._store.account(bare(received.sender))
        if account is None or not self._may(account, received.command.NAME):
            raise _Refused("not-allowed", "this account may not submit jobs or look after them")
        return account

    def _may(self, account: Account, command: str) -> bool:
        return account.counts(self._wall()) and may_say(account.standing, command)

    # -- giving

    async def _offer_upload(
        self, received: Received, want: WantUpload, account: Account, now: float
    ) -> Actions:
        """`haveUpload`: a URL for each file that is not there yet. What it is for is in the URL, so it is good for nothing else."""
        _project(account, want.project)
        files, spec = self._place(), self._draft(account, want.job_id, want.inputs)
        known = await self._store.get(spec.id)
        if known is not None and looks_after(account, known.spec.owner, known.spec.project):
            told = HaveUpload(job_id=spec.id, state=known.state, takes=TAKES)
            return [Send(to=received.sender, command=told)]
        missing = await _attempted(files.missing(spec))
        if missing:
            self._open_for(account.jid, spec, now)
        lifetime = self.settings.upload_lifetime
        uploads = tuple(
            Upload(
                name=item.name,
                url=files.upload_url(spec.id, spec.staged_name(item.name), item.size, item.sha256, lifetime)
                if item.name in missing
                else None,
            )
            for item in spec.inputs
        )
        return [Send(to=received.sender, command=HaveUpload(job_id=spec.id, takes=TAKES, uploads=uploads))]

    async def _submit(self, received: Received, job: SubmitJob, account: Account, now: float) -> Actions:
        """On the queue before it is acknowledged; the very same job once more changes nothing."""
        files, spec = self._place(), self._spec(account, job)
        contents = _contents(job.inputs)
        record = await self._store.get(spec.id)
        if record is None:
            for other in (*spec.after, *spec.after_any):
                await self._record(account, other)  # whether there is another one is nobody's business
            await _attempted(files.keep(spec, contents))
            if missing := await _attempted(files.missing(spec)):
                names = ", ".join(sorted(missing))
                raise _Refused("input-missing", one_line(f"not uploaded yet: {names}"))
            await self._put_on_queue(spec, files)
            self._open.get(account.jid, OrderedDict()).pop((spec.id, spec.staged), None)
            log.info("%s: submitted by %s", JobRef(spec.id), PeerRef(received.sender))
            record = await self._store.get(spec.id)
        if record is None or record.spec != spec.with_secrets_of(record.spec):
            raise _Refused(
                "job-exists",
                f"there is a job {spec.id} already, with a different description or other files: choose another id",
            )
        return [await self._state(received.sender, record, watch=job.watch, now=now)]

    async def _put_on_queue(self, spec: JobSpec, files: SubmittedFiles) -> None:
        try:
            await self._store.submit([spec], most=self.settings.max_jobs)
        except TooManyJobs as error:
            raise _Refused("too-many-jobs", str(error), FULL_FOR) from error
        except QueueFull as error:
            text = str(error) if isinstance(error, IntakePaused) else "the queue is full: submit again later"
            raise _Refused("queue-full", text, FULL_FOR) from error
        except BadName as error:  # requirements that the store cannot take, too
            raise _Refused("bad-job", str(error)) from error
        except JobExists:  # a moment ago: whose it is, is told by its record
            known = await self._store.get(spec.id)
            if known is None or known.spec.staged != spec.staged:
                await _attempted(files.drop(spec.id, spec.staged))

    def _place(self) -> SubmittedFiles:
        if self._files is None:
            raise _Refused(
                "no-file-server",
                "files go by Chirp alone here, which nobody can use from afar: the operator has to set JM_FILES_URL and run "
                "copilot-fileserver",
            )
        return self._files

    def _open_for(self, jid: str, spec: JobSpec, now: float) -> None:
        """URLs for this submission will be out. Raises `_Refused` if there are too many of this account's."""
        mine = self._open.setdefault(jid, OrderedDict())
        while mine and (first := next(iter(mine.items())))[1] <= now:
            del mine[first[0]]
        mine.pop((spec.id, spec.staged), None)
        if len(mine) >= MOST_OPEN:
            wait = min(FULL_FOR, next(iter(mine.values())) - now)
            text = (
                f"{MOST_OPEN} of your jobs have uploads and are not submitted yet: submit some of them first"
            )
            raise _Refused("too-many-uploads", text, math.ceil(wait))
        mine[spec.id, spec.staged] = now + self.settings.upload_lifetime
        for other in [other for other, theirs in self._open.items() if not theirs]:
            del self._open[other]

    def _draft(self, account: Account, job: str, inputs: Sequence[SentInput]) -> JobSpec:
        """As much of a job as decides where its inputs lie."""
        try:
            check_job_id(job, submitted=True)
            files = tuple(InputFile(name=item.name, size=item.size, sha256=item.sha256) for item in inputs)
            spec = JobSpec(
                id=job,
                command=files[0].name if files else "x",
                inputs=files,
                owner=account.jid,
                staged=staged_for(account.jid, job, files),
            )
            for item in inputs:
                input_name(job, spec.staged_name(item.name))
            if len({item.name for item in inputs}) < len(inputs):
                raise BadName(f"job {job}: two of its files have the same name")
        except BadName as error:
            raise _Refused("bad-job", str(error)) from error
        size = sum(item.size for item in inputs)
        if size > self.settings.max_input:
            text = f"{size} bytes of input files; at most {self.settings.max_input} are taken"
            raise _Refused("input-too-large", text)
        return spec

    def _spec(self, account: Account, job: SubmitJob) -> JobSpec:
        """The job in the words of the queue. Whose it is, is nothing that a message could say."""
        draft = self._draft(account, job.job_id, job.inputs)
        attempts = DEFAULT_MAX_ATTEMPTS if job.max_attempts is None else job.max_attempts
        tries = (job.max_retries or 0) + 1
        _check_number("priority", job.priority, -MOST_PRIORITY, MOST_PRIORITY)
        _check_number("maxAttempts", attempts, 1, MOST_ATTEMPTS)
        _check_number("maxRetries", tries - 1, 0, MOST_ATTEMPTS - 1)
        if job.max_run_time is not None:
            _check_number("maxRunTime", job.max_run_time, 1, 1e9)
        if (job.array or 0) > self.settings.max_jobs:
            text = f"an array of {job.array} elements: {self.settings.max_jobs} of your jobs may wait or run at a time"
            raise _Refused("bad-job", f"{text}: submit smaller arrays, one after the other")
        names = {item.name for item in job.inputs}
        for what, needed in (("command", job.command), ("validation script", job.validation)):
            if needed is not None and needed not in names:
                raise _Refused("bad-job", f"the {what} {one_line(needed)!r} is none of the job's files")
        try:
            return JobSpec(
                id=draft.id,
                command=job.command,
                arguments=job.arguments,
                environment=job.environment,
                packages=job.packages,
                inputs=draft.inputs,
                validation=job.validation,
                priority=job.priority,
                owner=account.jid,
                requirements=normal_requirements(job.requirements),
                rank=normal_rank(job.rank or ""),
                max_attempts=attempts,
                max_user_attempts=tries,
                max_run_time=job.max_run_time,
                exclusive=bool(job.exclusive),
                project=_project(account, job.project),
                staged=draft.staged,
                secrets=tuple(JobSecret(name=one.name, sealed=one.sealed) for one in job.secrets),
                network=bool(job.network),
                image=job.image or "",
                cores=1 if job.cores is None else job.cores,
                max_cores=job.max_cores,
                gpus=job.gpus or 0,
                tags=job.tags or (),
                after=job.after or (),
                after_any=job.after_any or (),
                hold=bool(job.hold),
                array=job.array or 0,
                **{name: getattr(job, name) for name in LIMITS},
            )
        except BadName as error:
            raise _Refused("bad-job", str(error)) from error

    # -- looking after

    async def _tell(self, received: Received, want: WantJobState, account: Account, now: float) -> Actions:
        record = await self._record(account, want.job_id)
        why = await self._slow.answer(partial(self._desk.why, want.job_id)) if want.explain else None
        return [await self._state(received.sender, record, why=why, watch=want.watch, now=now)]

    async def _list(self, received: Received, want: WantJobs, account: Account) -> Actions:
        limit = MOST_LISTED if want.limit is None else min(want.limit, MOST_LISTED)
        try:
            found = await self._slow.answer(
                partial(self._desk.jobs, account.jid, want.states or (), max(1, limit))
            )
        except BadName as error:
            raise _Refused("bad-job", str(error)) from error
        if found is None:
            raise _Refused("busy", "too many ask for lists just now", FULL_FOR)
        return [Send(to=received.sender, command=found)]

    async def _stop(self, received: Received, wish: StopJob, account: Account) -> Actions:
        """As `copilot jobs cancel`, for who may."""
        reason = one_line(f"{account.jid}: {wish.reason}" if wish.reason else f"stopped by {account.jid}")
        became = await self._desk.operate(
            account.jid, Wish.CANCEL, wish.job_id, reason=reason, place=received.sender
        )
        record = await self._record(account, wish.job_id)
        if became.changed:
            log.info("%s: to be stopped, says %s", JobRef(wish.job_id), PeerRef(received.sender))
        return [await self._state(received.sender, record, changed=became.changed > 0)]

    async def _operate(self, received: Received, command: Operate, account: Account) -> Actions:
        """As `copilot jobs hold` and the like, for who may."""
        wish, target = command.wish, command.target
        try:
            became = await self._desk.operate(
                account.jid, wish, target, reason=command.reason, place=received.sender
            )
        except BadName as error:
            raise _Refused("bad-job", str(error)) from error
        if became.changed:
            log.info("%s %s, says %s: %s", wish, one_line(target), PeerRef(received.sender), became.text)
        told = Operated(
            wish=wish, target=target, ok=became.ok, changed=became.changed, text=one_line(became.text)
        )
        return [Send(to=received.sender, command=told)]

    async def _show(self, received: Received, want: WantJobOutput, account: Account) -> Actions:
        """What its agent has shown of what it prints; a wish for more, if it is not over."""
        await self._record(account, want.job_id)
        try:
            stream = Stream(want.stream)
        except ValueError:
            raise _Refused("bad-job", f"{one_line(want.stream[:40])!r}: expected stdout or stderr") from None
        attempt, offset = want.attempt or 0, want.offset or 0
        try:
            seen = await self._store.watch(want.job_id, stream, attempt=attempt, offset=offset)
        except TooManyWatches as error:
            raise _Refused("too-many-watches", str(error), FULL_FOR) from error
        first = seen.chunks[0] if seen.chunks else None
        have = HaveJobOutput(
            job_id=want.job_id,
            stream=stream.value,
            state="" if seen.state is None else seen.state.value,
            attempt=attempt if first is None else first.attempt,
            offset=offset if first is None else first.offset,
            size=seen.size if seen.heard_attempt and seen.heard_attempt == seen.attempt else None,
            data="" if first is None else b64encode(first.data).decode("ascii"),
            note=seen.note or None,
        )
        return [Send(to=received.sender, command=have)]

    async def _record(self, account: Account, job: str) -> JobRecord:
        """The job, if this account may look after it. One that it may not is as unknown as one that there is not."""
        record = await self._store.get(job)
        if record is None or not looks_after(account, record.spec.owner, record.spec.project):
            raise _Refused("unknown-job", f"no job {job} of yours is known")
        return record

    async def _state(
        self,
        to: str,
        record: JobRecord,
        *,
        changed: bool | None = None,
        why: Why | None = None,
        watch: float | None = None,
        now: float = 0.0,
    ) -> Action:
        if watch is not None:
            self._watching.add(to, record, watch, now)
        said = await self._said(record, changed)
        if why is not None:
            said = replace(said, why=why.code, why_text=why.text, why_next=why.next)
        return Send(to=to, command=said)

    async def _said(self, record: JobRecord, changed: bool | None = None) -> HaveJobState:
        outcome, files = record.outcome, self._files
        over = outcome if record.state.final else None
        output = None if over is None else over.output
        fetched = record.published and output is not None and files is not None
        array = await self._store.array(record.spec.id) if record.spec.is_array else None
        return HaveJobState(
            job_id=record.spec.id,
            state=record.state,
            attempt=record.attempt,
            agent=record.agent,
            host=None if over is None else over.host,
            exit_code=None if over is None else over.exit_code,
            cause=None if over is None else over.cause,
            reason=None if over is None else over.reason,
            published=record.published if record.state.final else None,
            output_url=files.result_url(record.spec.id, self.settings.upload_lifetime)
            if fetched and files
            else None,
            output_size=None if output is None else output.size,
            output_sha256=None if output is None else output.sha256,
            changed=changed,
            elements=None if array is None else array.told,
        )

    async def _tell_changes(self, now: float) -> Actions:
        """To those who wait for news, if they still may have them."""
        actions: list[Action] = []
        for one, record in await self._watching.news(now):
            account = await self._store.account(bare(one.jid))
            may = account is not None and self._may(account, WantJobState.NAME)
            if account is None or not may or not looks_after(account, record.spec.owner, record.spec.project):
                self._watching.forget(one)
            else:
                actions.append(Send(to=one.jid, command=await self._said(record)))
        return actions


def staged_for(owner: str, job: str, inputs: Sequence[InputFile]) -> str:
    """The directory for the inputs of one submission. Nobody else can come to the same, nor the same person with another
    file: so what lies there is never overwritten by anything but itself."""
    files = sorted([item.name, item.size, item.sha256] for item in inputs)
    text = json.dumps(["copilot-staged-v1", owner, job, files])
    return hashlib.sha256(text.encode()).hexdigest()[:STAGED_DIGITS]


def _project(account: Account, named: str | None) -> str:
    """The project that a job is for: the one that was named, or the only one that the account has."""
    if named and named not in account.projects:
        raise _Refused("not-allowed", one_line(f"this account does not belong to the project {named!r}"))
    if named:
        return named
    return next(iter(account.projects)) if len(account.projects) == 1 else ""


def _contents(inputs: Sequence[SentInput]) -> dict[str, bytes]:
    """The small files that came with the message."""
    found: dict[str, bytes] = {}
    for item in inputs:
        if item.data is None:
            continue
        try:
            data = b64decode(item.data, validate=True)
        except (BadBase64, ValueError) as error:
            raise _Refused("bad-job", f"input {one_line(item.name)!r}: expected base64") from error
        if len(data) != item.size or hashlib.sha256(data).hexdigest() != item.sha256:
            raise _Refused(
                "bad-job", f"input {one_line(item.name)!r}: not of the size and SHA-256 that it names"
            )
        found[item.name] = data
    if sum(map(len, found.values())) > SMALL_INPUTS:
        raise _Refused("bad-job", f"more than {SMALL_INPUTS} bytes of files in the message: upload them")
    return found


def _check_number(name: str, number: float, least: float, most: float) -> None:
    if not least <= number <= most:  # NaN is not
        raise _Refused("bad-job", f"{name} {number:g}: expected {least:g} to {most:g}")


async def _attempted(work: Awaitable[T]) -> T:
    """What becomes of it; who asked hears that the disk is full or away."""
    try:
        return await work
    except TransferError as error:
        log.error("a file of a job from afar: %s", error)
        raise _Refused(
            "files-away", "the file area takes nothing now: submit again later", FULL_FOR
        ) from error
