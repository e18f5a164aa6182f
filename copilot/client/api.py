"""What programs in Python do with Co-Pilot: submit jobs, wait for them, and have their results, by asyncio."""

from __future__ import annotations

import asyncio
import logging
import shlex
import tempfile
import uuid
from collections.abc import (
    AsyncGenerator,
    Callable,
    Coroutine,
    Iterable,
    Mapping,
    Sequence,
)
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Self, TypedDict, TypeVar, Unpack

from copilot.client.access import LARGEST_UNPACKED, Access
from copilot.client.here import owner_here
from copilot.client.operating import Answer
from copilot.client.result import Result
from copilot.client.stored import printed
from copilot.client.submission import Submission
from copilot.client.tailing import POLL_AFAR, Ended, Printed, Told, tail
from copilot.errors import BadName
from copilot.files.unpack import Limits as UnpackLimits
from copilot.files.unpack import extract
from copilot.job import LIMITS, Event, Limits, element_id
from copilot.store.watched import Stream

AT_A_TIME = 1000  # jobs that are handed over together

log = logging.getLogger("copilot.client")

T = TypeVar("T")
Arguments = str | Sequence[str]
Inputs = Mapping[str, Path | str] | Iterable[Path | str]


class Options(TypedDict, total=False):
    """What may be said of a job beside its command; what is left out is as for `copilot submit`. Sizes in bytes, times in
    seconds, each word as in `copilot.job.JobSpec`.

    `environment` sets variables. `inputs` are further files for its directory, by name or each under its own.
    `secrets` are files whose contents the job alone gets, as `$COPILOT_SECRETS/<name>`, sealed on the way and in the queue.
    `validation` is a script that checks the result on the agent. `retries`: how often it is run again if it fails by itself.
    """

    environment: Mapping[str, str]
    inputs: Inputs
    secrets: Mapping[str, Path | str]
    packages: Sequence[str]
    validation: Path | str | None
    priority: int
    max_attempts: int
    retries: int
    max_run_time: float | None
    exclusive: bool
    requirements: str
    rank: str
    project: str
    memory: int | None
    cpu_time: float | None
    processes: int | None
    open_files: int | None
    file_size: int | None
    disk: int | None
    network: bool
    image: str
    cores: int
    max_cores: int | None
    gpus: int
    tags: Sequence[str]
    after: Sequence[str]
    after_any: Sequence[str]


class Client:
    """A way to the system, open between `async with`. Belongs to one event loop; any number of tasks may use it.

    Methods raise the errors of `copilot.errors`. Of a `retryable` one the same call may be made again, with the same effect.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[Access]]) -> None:
        """`opening` connects when the client is entered."""
        self._opening = opening
        self._stack = AsyncExitStack()
        self._access: Access | None = None

    async def __aenter__(self) -> Self:
        """Connect. Raises `ConfigError`, and from afar `TransportError`."""
        self._access = await self._stack.enter_async_context(self._opening())
        return self

    async def __aexit__(self, *_: object) -> None:
        """Disconnect; jobs go on."""
        self._access = None
        await self._stack.aclose()

    @property
    def access(self) -> Access:
        """The port below. Raises RuntimeError outside of `async with`."""
        if self._access is None:
            raise RuntimeError("this client is not open: use it inside 'async with'")
        return self._access

    async def submit(
        self,
        command: Path | str,
        arguments: Arguments = "",
        *,
        job_id: str | None = None,
        **options: Unpack[Options],
    ) -> str:
        """Put a job on the queue and return its id; it is safe there when this returns.

        `command` is a script or program on this machine. `arguments` is its command line, quoted as for a shell, or a list of words.
        With a `job_id` of one's own the same call once more changes nothing.

        Raises `BadName` or `BadRequirements` for what is not allowed, `JobExists` if another job has the id, `QueueFull`,
        `TooManyJobs`, `StoreUnavailable` and `TransferError`.
        """
        job = described(command, arguments, job_id=job_id, **options)
        await self.access.submit(self.access.with_secrets([job], secret_files(options)))
        return job.id

    async def map(
        self,
        command: Path | str,
        arguments: Iterable[Arguments],
        *,
        job_id: str | None = None,
        **options: Unpack[Options],
    ) -> list[str]:
        """A job for each of `arguments`, and their ids in that order: `<id>-1`, `<id>-2` … with a `job_id` of one's own.

        Raises as `submit`; then some may be on the queue, and the very same call with a `job_id` takes up the rest.
        """
        base = job_id or str(uuid.uuid4())
        jobs = [
            described(command, one, job_id=f"{base}-{number}", **options)
            for number, one in enumerate(arguments, start=1)
        ]
        for start in range(0, len(jobs), AT_A_TIME):
            part = self.access.with_secrets(jobs[start : start + AT_A_TIME], secret_files(options))
            await self.access.submit(part)
        return [job.id for job in jobs]

    async def array(
        self,
        command: Path | str,
        size: int,
        arguments: Arguments = "",
        *,
        job_id: str | None = None,
        **options: Unpack[Options],
    ) -> list[str]:
        """`size` jobs that are one entry of the queue, and their ids in the order of their numbers: `<id>.0`, `<id>.1` …

        Each has its number in the place of `{index}` in `arguments`, and as `$COPILOT_ARRAY_INDEX`; inputs and secrets are the same for all.
        Raises as `submit`.
        """
        job = replace(described(command, arguments, job_id=job_id, **options), array=size)
        if size < 1:
            raise BadName(f"array {job.id}: {size} elements: expected 1 or more")
        await self.access.submit(self.access.with_secrets([job], secret_files(options)))
        return [element_id(job.id, index) for index in range(size)]

    async def look(self, job: str) -> Result:
        """How a job stands now. Raises `UnknownJob`."""
        return await self.access.look(job)

    async def result(
        self, job: str, *, into: Path | str | None = None, timeout: float | None = None
    ) -> Result:
        """How a job has ended; waits for that. `into`: unpack its output to the directory `<into>/<job>`.

        Raises TimeoutError after `timeout` seconds (the job goes on), `UnknownJob`, and as `output`.
        """
        async with asyncio.timeout(timeout):
            ended = await self.access.ended(job)
            if into is not None:
                await self.output(job, into)
        return ended

    async def wait(self, jobs: Iterable[str], *, timeout: float | None = None) -> list[Result]:
        """How these jobs have ended, in their order. Raises as `result`."""
        async with asyncio.timeout(timeout):
            return await _all([self.access.ended(job) for job in jobs])

    async def as_completed(
        self, jobs: Iterable[str], *, timeout: float | None = None
    ) -> AsyncGenerator[Result, None]:
        """How these jobs have ended, each as soon as it is over. Raises as `result`; `timeout` is for all of them together."""
        tasks = {asyncio.ensure_future(self.access.ended(job)) for job in dict.fromkeys(jobs)}
        deadline = None if timeout is None else asyncio.get_running_loop().time() + timeout
        try:
            while tasks:
                left = None if deadline is None else max(0.0, deadline - asyncio.get_running_loop().time())
                done, tasks = await asyncio.wait(tasks, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    raise TimeoutError(f"{len(tasks)} jobs are not over")
                for task in done:
                    yield task.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def cancel(self, *jobs: str, reason: str = "") -> list[Answer]:
        """Have these jobs end, and what became of each wish: one that runs ends when its agent has stopped it."""
        return await _all([self.access.cancel(job, reason) for job in jobs])

    async def output(self, job: str, into: Path | str) -> Path | None:
        """Fetch the output of a job that is over and unpack it to `<into>/<job>`; that path, or None if it has none.

        `into` exists. It is checked by size and SHA-256, and nothing in it can write elsewhere. Raises `TransferError`,
        `UnknownJob`.
        """
        directory = Path(into)
        with tempfile.TemporaryDirectory(prefix=".copilot-", dir=directory) as place:
            package = Path(place) / "package.tgz"
            if not await self.access.fetch(job, package):
                return None
            await asyncio.to_thread(extract, package, directory, UnpackLimits(size=LARGEST_UNPACKED))
        return directory / job

    async def tail(self, job: str, *, stream: str = "stdout") -> AsyncGenerator[bytes, None]:
        """What a job prints to `stdout` or `stderr`: what there is, and what comes, until it is over. What its agent had no time to tell
        comes out of its stored output. What comes faster than it can be told is left out.

        Raises `UnknownJob`, `TooManyWatches`, `TransferError`, `ValueError` for another stream.
        """
        wanted = Stream(stream)
        async for one in tail(self.access.reading(job, wanted), job, follow=True, poll=POLL_AFAR):
            match one:
                case Printed(data=data):
                    yield data
                case Ended(attempt=attempt, offset=offset):
                    if rest := await self._stored(job, wanted, offset if attempt else 0):
                        yield rest
                case Told(text=text):
                    log.info("tail of job %s: %s", job, text)

    async def _stored(self, job: str, stream: Stream, offset: int) -> bytes:
        with tempfile.TemporaryDirectory(prefix="copilot-") as place:
            package = Path(place) / "package.tgz"
            await self.access.ended(job)  # and its output can be fetched
            if not await self.access.fetch(job, package):
                return b""
            return await asyncio.to_thread(printed, package, job, stream, offset)

    async def events(self, *jobs: str, after: str = "$") -> AsyncGenerator[Event, None]:
        """What happens to these jobs, or on the whole queue, behind the event with the id `after` ("$": from now on, "0": from the
        oldest that is kept). Never ends. Only for who reaches the queue itself: else raises `RemoteRefused`."""
        wanted = frozenset(jobs)
        async for event in self.access.events(after):
            if not wanted or event.job in wanted:
                yield event


def described(
    command: Path | str, arguments: Arguments = "", *, job_id: str | None = None, **options: Unpack[Options]
) -> Submission:
    """A job in the words of `Client.submit`, without its secrets. Raises `BadName`, and TypeError for an option that there is none."""
    said: dict[str, Any] = dict(options)
    validation, inputs = said.pop("validation", None), said.pop("inputs", ())
    retries = said.pop("retries", 0)
    said.pop("secrets", None)
    limits = {name: said.pop(name) for name in LIMITS if name in said}
    return Submission(
        id=job_id or str(uuid.uuid4()),
        command=Path(command),
        arguments=arguments if isinstance(arguments, str) else shlex.join(arguments),
        validation=None if validation is None else Path(validation),
        inputs=_inputs(inputs),
        max_user_attempts=retries + 1,
        owner=owner_here(),
        limits=Limits(**limits),
        **said,
    )


def secret_files(options: Options) -> dict[str, Path]:
    """The secrets of a job by their names."""
    return {name: Path(path) for name, path in options.get("secrets", {}).items()}


async def _all(work: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them come to. The first that fails ends the others; nothing goes on behind the caller's back."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _inputs(inputs: Inputs) -> dict[str, Path]:
    if isinstance(inputs, Mapping):
        return {name: Path(path) for name, path in inputs.items()}
    return {Path(path).name: Path(path) for path in inputs}
