"""Submitting from afar: a session that talks to the job manager by XMPP, and to its file server by signed URLs alone.

Every request may be said again, to the same instance or to another one, with the same effect: so what is not answered is
asked once more, and a program that was killed takes up where it was when it is started with the same job id.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from base64 import b64encode
from collections.abc import (
    AsyncGenerator,
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import asdict, field, replace
from pathlib import Path
from typing import TypeAlias, TypeVar

from copilot.client.operating import AgentVerb, Verb
from copilot.client.submission import Submission, files_of
from copilot.client.submission import described as submission_spec
from copilot.errors import (
    BadName,
    CopilotError,
    JobExists,
    QueueFull,
    RemoteRefused,
    TooManyJobs,
    TooManyWatches,
    TransferRefused,
    TransportError,
    UnknownJob,
)
from copilot.files.base import FileClient, FileFacts
from copilot.files.disk import disk_errors
from copilot.grid.intake import check_files, read_facts
from copilot.job import State, check_job_id, one_line
from copilot.protocol.commands import (
    Command,
    Error,
    HaveJobOutput,
    HaveJobs,
    HaveJobState,
    HaveUpload,
    ListedJob,
    Operate,
    Operated,
    SealedSecret,
    SentInput,
    StopJob,
    SubmitJob,
    WantJobOutput,
    WantJobs,
    WantJobState,
    WantUpload,
)
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import bare
from copilot.protocol.events import Expired, ProtocolEvent, Received, Refused, Undeliverable
from copilot.protocol.rules import MOST_LISTED, SMALL_INPUTS
from copilot.records import dataclass
from copilot.transport.base import Arrived, Connected, Disconnected, Transport, TransportEvent

ASK_AGAIN = 20.0  # s without an answer until all instances are asked
NOBODY_THERE = 2.0  # s until the next try if the server says that nobody is there
PATIENCE = 120.0  # s for an answer, where nothing but that is waited for
WATCH = 600.0  # s for which we want to be told of changes
ASKED_AFTER, ASKED_AT_LEAST = (
    15.0,
    120.0,
)  # s without news until we ask for them: an instance that was to tell us may be gone
URLS_TRIED = 3  # times that new URLs are asked for

log = logging.getLogger("copilot.submit")

_Answer: TypeAlias = HaveUpload | HaveJobState | HaveJobs | HaveJobOutput | Operated
C = TypeVar("C", bound=Command)
T = TypeVar("T")


_ERRORS: Mapping[str, type[CopilotError]] = {
    "bad-job": BadName,
    "input-too-large": BadName,
    "job-exists": JobExists,
    "queue-full": QueueFull,
    "too-many-jobs": TooManyJobs,
    "too-many-uploads": TooManyJobs,
    "too-many-watches": TooManyWatches,
    "unknown-job": UnknownJob,
}


@dataclass(slots=True)
class _Question:
    """What was said last, under which message id, and what comes of it. `again`: say it once more now."""

    command: Command
    answer: type[Command]
    message: str = ""
    to: str = ""
    result: asyncio.Future[Command] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )
    again: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    """A job that is on the queue; `known`: how it stood if it was there before."""

    known: str | None
    state: HaveJobState


class Remote:
    """One session with the job manager at `manager` (bare JID)."""

    def __init__(
        self,
        transport: Transport,
        endpoint: Endpoint,
        files: FileClient,
        manager: str,
        *,
        clock: Callable[[], float] = time.monotonic,
        ask_again: float = ASK_AGAIN,
    ) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._files = files
        self._manager = bare(manager)
        self._clock = clock
        self._ask_again = ask_again
        self._instance: str | None = None  # full JID of who answered last
        self._up = asyncio.Event()
        self._stir = asyncio.Event()
        self._questions: list[_Question] = []
        self._news: dict[str, asyncio.Queue[HaveJobState]] = {}
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @contextlib.asynccontextmanager
    async def session(self, limit: float) -> AsyncIterator[None]:
        """Logged in while inside. Raises TransportError if that takes more than `limit` seconds, or cannot be."""
        tasks = [asyncio.create_task(self._read()), asyncio.create_task(self._write())]
        try:
            await self._unless_broken(self._logged_in(limit))
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if self._broken.done():
                self._broken.exception()
            self._endpoint.hurry()
            self._flush()  # the last acknowledgements
            await self._transport.close()

    async def submit(self, job: SubmitJob, files: Mapping[str, Path]) -> Submitted:
        """Bring the files to the file server and the job to the queue; it is there when this returns. `job.inputs` are the facts
        of `files`.

        Raises what the manager says of it, `TransferError`, and `TransportError` if nobody answers.
        """
        small = _small(job.inputs)
        sent = replace(
            job, inputs=tuple(_with_data(item, files) if item.name in small else item for item in job.inputs)
        )
        if job.watch is not None:
            self._news[job.job_id] = asyncio.Queue()
        want = WantUpload(job_id=job.job_id, project=job.project, inputs=job.inputs)
        for tries_left in reversed(range(URLS_TRIED)):
            have = await self._ask(want, HaveUpload, limit=PATIENCE)
            _check_taken(job, have.takes or ())
            try:
                if have.state is None:
                    await self._upload(
                        have, job, {name: path for name, path in files.items() if name not in small}
                    )
                state = await self._ask(sent, HaveJobState, limit=PATIENCE)
            except (RemoteRefused, TransferRefused) as error:  # a URL has expired, or somebody has cleaned up
                if not tries_left or (isinstance(error, RemoteRefused) and error.code != "input-missing"):
                    raise
                log.warning("%s; asking for new URLs", error)
            else:
                return Submitted(known=have.state, state=state)
        raise AssertionError  # the loop has returned or raised

    async def state(self, job: str, *, watch: float | None = None) -> HaveJobState:
        """How the job stands. Raises `UnknownJob` if there is none of ours, and as `submit`."""
        return await self._ask(WantJobState(job_id=job, watch=watch), HaveJobState, limit=PATIENCE)

    async def explain(self, job: str) -> HaveJobState:
        """Why the job is where it is, if the manager says so (`why`). Raises as `state`."""
        return await self._ask(WantJobState(job_id=job, explain=True), HaveJobState, limit=PATIENCE)

    async def stop(self, job: str, reason: str = "") -> HaveJobState:
        """Have the job end: at once if it waits, else when its agent has stopped it. Raises as `state`."""
        return await self._ask(StopJob(job_id=job, reason=reason), HaveJobState, limit=PATIENCE)

    async def jobs(self, states: Sequence[State] = (), limit: int = MOST_LISTED) -> HaveJobs:
        """The first jobs of ours in these states (none: that are not over), or of all if we look after all. Raises as `submit`."""
        want = WantJobs(states=tuple(states) or None, limit=limit)
        with _new_enough("it lists no jobs from afar"):
            return await self._ask(want, HaveJobs, limit=PATIENCE)

    async def operate(self, wish: Verb | AgentVerb, target: str, reason: str = "") -> Operated:
        """Do that with a job, an array or elements of one, as they are written on the command line, or with an agent (bare JID).
        Raises `BadName`, and as `submit`."""
        question = Operate(wish=wish, target=target, reason=reason)
        with _new_enough(
            "from afar it cancels whole jobs, and does nothing else with them; nothing was changed"
        ):
            return await self._ask(question, Operated, limit=PATIENCE)

    async def output(self, job: str, stream: str, *, attempt: int = 0, offset: int = 0) -> HaveJobOutput:
        """What a job prints, behind what we have read of it. Raises as `state`."""
        want = WantJobOutput(
            job_id=job, stream=stream, attempt=attempt or None, offset=offset if attempt else None
        )
        return await self._ask(want, HaveJobOutput, limit=PATIENCE)

    async def follow(self, job: str, state: HaveJobState | None = None) -> AsyncGenerator[HaveJobState, None]:
        """How the job stands, and each change that we hear of, until there will be none any more. An outage is waited for.

        `state`: what was said last, with a promise to tell of changes.
        """
        told: tuple[object, ...] = ()
        look, news = ASKED_AFTER, self._news.setdefault(job, asyncio.Queue())
        want = WantJobState(job_id=job, watch=WATCH)
        state = state or await self._ask(want, HaveJobState, limit=None)
        while True:
            if told != (essence := (state.state, state.attempt, state.published)):
                told, look = essence, ASKED_AFTER
                yield state
            if at_rest(state):
                self._news.pop(job, None)
                return
            try:
                state = await self._unless_broken(asyncio.wait_for(news.get(), look))
            except TimeoutError:
                look = min(ASKED_AT_LEAST, 2 * look)
                state = await self._ask(want, HaveJobState, limit=None)

    async def fetch(self, job: str, path: Path) -> FileFacts | None:
        """Fetch the output of a finished job to `path`, checked by its size and SHA-256; None if it has none.

        Raises `TransferError`, and as `state`.
        """
        state = await self.state(job)  # for a URL that is good from now on
        if state.output_size is None:
            return None
        if state.output_url is None:
            raise TransferRefused(
                f"the output of job {job} cannot be fetched from afar: its finisher has taken it elsewhere; ask the operator"
            )
        return await self._files.get(
            state.output_url, path, size=state.output_size, sha256=state.output_sha256
        )

    # -- asking

    async def _upload(self, have: HaveUpload, job: SubmitJob, files: Mapping[str, Path]) -> None:
        facts = {item.name: FileFacts(item.size, item.sha256) for item in job.inputs}
        for upload in have.uploads:
            if upload.url is not None and upload.name in files:
                await self._files.put(files[upload.name], upload.url, facts=facts[upload.name])

    async def _ask(self, command: Command, answer: type[C], *, limit: float | None) -> C:
        """Say it until it is answered. Raises what the manager refuses with, and TransportError if nobody answers within `limit`
        seconds (None: as long as it takes)."""
        question = _Question(command, answer)
        self._questions.append(question)
        try:
            said = await self._unless_broken(asyncio.wait_for(self._persist(question), limit))
        except TimeoutError:
            raise TransportError(
                f"{self._manager} has not answered within {limit:g} s: does the job manager run, and does it take jobs by "
                "XMPP? The same command with the same --id takes up where this one has ended"
            ) from None
        finally:
            self._questions.remove(question)
            self._endpoint.withdraw(question.to, command)
            question.result.cancel()
        assert isinstance(said, answer)
        return said

    async def _persist(self, question: _Question) -> Command:
        """To the instance that we know of, then to all; later and later, for the others ask, too."""
        wait, pause = self._ask_again, NOBODY_THERE
        while not question.result.done():
            await self._up.wait()
            question.again.clear()
            question.to = self._instance or self._manager
            question.message = self._endpoint.send(question.to, question.command, self._clock())
            self._stir.set()
            again = asyncio.ensure_future(question.again.wait())
            await asyncio.wait((question.result, again), timeout=wait, return_when=asyncio.FIRST_COMPLETED)
            again.cancel()
            if question.result.done():
                break
            self._endpoint.withdraw(question.to, question.command)
            if self._instance is None:
                wait = min(2 * wait, ASKED_AT_LEAST)
            self._instance = None
            if question.again.is_set():  # nobody is there
                await asyncio.wait((question.result,), timeout=pause)
                pause = min(2 * pause, ASKED_AT_LEAST)
        return question.result.result()

    async def _unless_broken(self, work: Awaitable[T]) -> T:
        """What `work` comes to, unless the session ends for good before: then what ended it is raised."""
        task = asyncio.ensure_future(work)
        try:
            await asyncio.wait((task, self._broken), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                self._broken.result()
            return task.result()
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _logged_in(self, limit: float) -> None:
        try:
            await asyncio.wait_for(self._up.wait(), limit)
        except TimeoutError:
            raise TransportError(
                f"there was no session with the XMPP server within {limit:g} s; is it up, and reachable?"
            ) from None

    # -- the wire

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._transport.next_event())
        except Exception as error:  # noqa: BLE001  # whoever waits for something has to hear of it
            if not self._broken.done():
                self._broken.set_exception(error)

    async def _write(self) -> None:
        """Say again what nobody has acknowledged, when it is time."""
        while True:
            self._flush()
            self._stir.clear()
            wakeup = self._endpoint.next_wakeup()
            wait = None if wakeup is None else max(0.0, wakeup - self._clock())
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stir.wait(), wait)

    def _take(self, event: TransportEvent) -> None:
        match event:
            case Connected(jid=jid):
                self._endpoint.online(jid)
                self._up.set()
            case Disconnected(reason=reason, set_aside=set_aside):
                log.warning("%s", reason)
                self._endpoint.offline(set_aside)
                self._up.clear()
            case Arrived(envelope=envelope):
                for heard in self._endpoint.receive(envelope, self._clock()):
                    self._hear(heard)
        self._stir.set()

    def _flush(self) -> None:
        for envelope in self._endpoint.outgoing(self._clock()):
            if not self._transport.send(envelope):
                self._endpoint.unsent(envelope, self._clock() + NOBODY_THERE)
        for event in self._endpoint.events():
            self._hear(event)

    def _hear(self, event: ProtocolEvent) -> None:
        match event:
            case Received(
                command=HaveUpload() | HaveJobState() | HaveJobs() | HaveJobOutput() | Operated() as said,
                sender=sender,
            ) if bare(sender) == self._manager:
                self._instance = sender
                self._answered(said)
                self._endpoint.done(event, self._clock())
            case Received():
                self._endpoint.failed(event)
            case Refused(id=ident, error=error):
                self._refused(ident, error)
            case Expired(id=ident) | Undeliverable(id=ident):
                for question in self._questions:
                    if question.message == ident:
                        question.again.set()

    def _answered(self, said: _Answer) -> None:
        for question in self._questions:
            if _fits(said, question) and not question.result.done():
                question.result.set_result(said)
                return
        if isinstance(said, HaveJobState) and said.job_id in self._news:
            self._news[said.job_id].put_nowait(said)

    def _refused(self, ident: str, error: Error) -> None:
        text = one_line(error.error_string)
        if error.retry_after:
            text += f" (try again in {error.retry_after:.0f} s)"
        kind = _ERRORS.get(error.code)
        for question in self._questions:
            if question.message == ident and not question.result.done():
                question.result.set_exception(RemoteRefused(error.code, text) if kind is None else kind(text))


async def described(submission: Submission, *, watch: bool) -> tuple[SubmitJob, Mapping[str, Path]]:
    """What is to be said of a job, and its files by their names. `watch`: its end will be waited for.

    Raises `BadName` for what is not allowed, before anything is said, and `TransferError` for files that cannot be read.
    """
    spec, files = submission_spec(submission), files_of(submission)
    check_files(spec, files)
    facts = [await asyncio.to_thread(read_facts, name, path) for name, path in files.items()]
    job = SubmitJob(
        job_id=check_job_id(spec.id, submitted=True),
        command=spec.command,
        arguments=spec.arguments,
        environment=spec.environment,
        packages=spec.packages,
        validation=spec.validation,
        requirements=spec.requirements,
        rank=spec.rank or None,
        priority=spec.priority,
        max_attempts=spec.max_attempts,
        max_retries=spec.max_user_attempts - 1,
        max_run_time=spec.max_run_time,
        exclusive=spec.exclusive or None,
        project=spec.project or None,
        watch=WATCH if watch else None,
        inputs=tuple(SentInput(name=one.name, size=one.size, sha256=one.sha256) for one in facts),
        secrets=tuple(SealedSecret(name=one.name, sealed=one.sealed) for one in spec.secrets),
        network=spec.network or None,
        image=spec.image or None,
        cores=None if spec.cores == 1 else spec.cores,
        max_cores=spec.max_cores,
        gpus=spec.gpus or None,
        tags=spec.tags or None,
        after=spec.after or None,
        after_any=spec.after_any or None,
        hold=spec.hold or None,
        array=spec.array or None,
        **asdict(spec.limits),
    )
    return job, files


def _check_taken(job: SubmitJob, takes: Collection[str]) -> None:
    """An older service would leave these out of account: run the job at once, or with less than it needs. Raises `RemoteRefused`."""
    asked = {
        "after": job.after or job.after_any,
        "array": job.array,
        "cores": job.cores,
        "gpus": job.gpus,
        "hold": job.hold,
    }
    if missing := [name for name, wanted in asked.items() if wanted and name not in takes]:
        options = " and ".join(f"--{name}" for name in missing)
        raise RemoteRefused(
            "too-old",
            f"the service is of an older version that knows nothing of {options}; nothing was submitted: leave it out, or "
            "have the service brought up to date",
        )


@contextlib.contextmanager
def _new_enough(so: str) -> Iterator[None]:
    """Raises `RemoteRefused` where the service does not know the command: `so` it is with that one."""
    try:
        yield
    except RemoteRefused as error:
        if error.code != "unknown-command":
            raise
        text = f"the service is of an older version: {so}: have it brought up to date, or use the machine of the queue"
        raise RemoteRefused("too-old", text) from None


def at_rest(state: HaveJobState) -> bool:
    """Whether the job has ended and its output, if it has one, can be fetched."""
    final = state.state in (State.DONE, State.FAILED, State.CANCELLED)
    needs_none = state.output_size is None and state.elements is None  # outputs of an array are its elements'
    return final and (bool(state.published) or needs_none)


def element_counts(state: HaveJobState | ListedJob) -> Mapping[State, int]:
    """How many elements of an array are in each state; of states that only a newer service knows nothing."""
    pairs = (one.partition("=") for one in state.elements or ())
    return {
        State(name): int(number) for name, _, number in pairs if name in set(State) and number.isdecimal()
    }


def _fits(said: _Answer, question: _Question) -> bool:
    """Whether this answers that; news of a job are no answer to who wants it stopped."""
    if isinstance(said, HaveJobs):
        return question.answer is HaveJobs
    if isinstance(said, Operated):
        asked = question.command
        return isinstance(asked, Operate) and (asked.wish, asked.target) == (said.wish, said.target)
    if not isinstance(said, question.answer) or getattr(question.command, "job_id", None) != said.job_id:
        return False
    if isinstance(said, HaveJobOutput) and said.stream != getattr(question.command, "stream", None):
        return False
    news = isinstance(said, HaveJobState) and said.changed is None
    return not (news and isinstance(question.command, StopJob))


def _small(inputs: Sequence[SentInput]) -> frozenset[str]:
    """The files that go with the message: those that come first, as long as there is room."""
    left, chosen = SMALL_INPUTS, []
    for item in inputs:
        if item.size <= left:
            left -= item.size
            chosen.append(item.name)
    return frozenset(chosen)


def _with_data(item: SentInput, files: Mapping[str, Path]) -> SentInput:
    path = files[item.name]
    with disk_errors(f"reading {path}"):
        data = path.read_bytes()
    return replace(item, data=b64encode(data).decode("ascii"))
