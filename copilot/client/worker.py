"""The thread behind an executor: it brings calls to the queue and their results home.

An executor belongs to threads, and the way to the system to an event loop; so there is a loop in a thread of its own. It
knows nothing of the executor, which may be forgotten while calls are on their way.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Container, Coroutine, Mapping, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any

from copilot.client import runner
from copilot.client.access import Access
from copilot.client.calls import RUNNER, InitializerFailed, unpacked
from copilot.client.result import Result
from copilot.client.submission import Submission
from copilot.errors import (
    CopilotError,
    ExecutorBroken,
    JobFailed,
    LoginRefused,
    SessionReplaced,
    TransportError,
)
from copilot.files.disk import disk_errors
from copilot.files.unpack import Limits, extract
from copilot.log import rate_limited
from copilot.records import dataclass

MOST_ON_QUEUE = (
    10_000  # calls of one executor that are on the queue, unless it says how many; the others wait here
)
AT_A_TIME = 200  # calls that go to the queue together
BATCHES = 2  # such batches on their way: while they are, the next one gathers
RETRY, LONGEST_RETRY = 1.0, 30.0  # s until a queue that takes nothing is asked again
FETCHES = 5  # times that an output is asked for
PATIENCE = 60.0  # s for the first call to get to the queue, after which the settings are taken for wrong
LARGEST_OUTPUT = 2**36  # bytes of files that a call may leave

log = logging.getLogger("copilot.client")


class Call:
    """A call on its way: what is sent, and the future that waits for it. Lets go of both as soon as it can."""

    __slots__ = ("__weakref__", "_begun", "_future", "data", "gone", "job")

    def __init__(self, job: str, data: bytes, future: Future[Any]) -> None:
        self.job = job
        self.data = data
        self.gone = False  # nobody waits for it
        self._begun = False
        self._future: Future[Any] | None = future

    def begin(self) -> None:
        """An agent has it, so it cannot be cancelled any more. May be called again."""
        if self._future is not None and not self._begun:
            self._begun = True
            if not self._future.set_running_or_notify_cancel():
                self.gone, self._future = True, None

    def cancel(self) -> None:
        """If it has not begun. For any thread."""
        future = self._future
        if future is not None:
            future.cancel()

    def cancelled(self) -> bool:
        """Whether it was cancelled before it has begun; those who wait for it are told."""
        if self._future is not None and self._future.cancelled():
            self._future.set_running_or_notify_cancel()
            self.gone, self._future = True, None
        return self.gone

    def end(self, outcome: Callable[[], Any]) -> BaseException | None:
        """It has come to this. The exception, if it is one."""
        self.begin()
        future, self._future = self._future, None
        if future is None:
            return None
        try:
            value = outcome()
        except BaseException as error:  # noqa: BLE001  # whatever the function has raised: it is for who waits
            future.set_exception(error)
            return error
        future.set_result(value)
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How calls get to the queue. `describe` makes the job with this id and these inputs; at most `room` are there at a time."""

    opening: Callable[[], AbstractAsyncContextManager[Access]]
    describe: Callable[[str, Path, Path], Submission]  # of the job's id, the runner and the call
    runner: Callable[[], bytes]
    trusted: Container[str] | None = None  # agents (bare JIDs) whose results are unpickled; None: all
    secrets: Mapping[str, Path] = field(default_factory=dict)  # files, by their names
    room: int = MOST_ON_QUEUE


class Worker:
    """Methods may be called by any thread."""

    def __init__(self, plan: Plan, name: str) -> None:
        self._plan = plan
        self._lock = threading.Lock()
        self._waiting: deque[Call] = deque()
        self._live: dict[Call, asyncio.Task[None] | None] = {}
        self._ending: set[Call] = set()
        self._closing = False
        self._look = False  # calls were cancelled
        self._fatal: BaseException | None = None  # why the thread ends
        self._broken: ExecutorBroken | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake = asyncio.Event()
        self._reached = False  # something has got to the queue
        self._thread = threading.Thread(target=self._run, name=name)

    @property
    def broken(self) -> bool:
        """Whether nothing is taken any more, because of an error."""
        return self._broken is not None

    def add(self, call: Call) -> None:
        """Have it run. Raises `ExecutorBroken`, and RuntimeError after `close`."""
        with self._lock:
            if self._broken is not None:
                raise _broken(self._broken.__cause__)
            if self._closing:
                raise RuntimeError("cannot schedule new futures after shutdown")
            self._waiting.append(call)
            if self._thread.ident is None:
                self._thread.start()
        self._stir()

    def close(self) -> None:
        """Nothing more will come; what is there comes to its end. Idempotent."""
        with self._lock:
            self._closing = True
        self._stir()

    def cancel_pending(self) -> None:
        """Cancel all calls that no agent has got yet."""
        with self._lock:
            calls = [*self._waiting, *self._live]
        for call in calls:
            call.cancel()

    def dropped(self) -> None:
        """A call was cancelled by who waits for it."""
        self._look = True
        self._stir()

    def forked(self) -> None:
        """This process is a copy of that in which the thread runs: what the copy has of it would wait for ever."""
        self._lock, self._loop = threading.Lock(), None
        self._waiting, self._live = deque(), {}
        if self._thread.ident is not None:
            self._broken = _broken(
                RuntimeError("it belongs to the process of which this one is a copy (fork): make one here")
            )

    def join(self) -> None:
        """Wait until all calls have come to their end."""
        if self._thread.ident is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def _stir(self) -> None:
        with self._lock:
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # it is over
                    self._loop.call_soon_threadsafe(self._wake.set)

    # -- in the thread

    def _run(self) -> None:
        try:
            with tempfile.TemporaryDirectory(prefix="copilot-calls-") as directory:
                asyncio.run(self._serve(Path(directory)))
            if self._fatal is not None:
                self._break(self._fatal)
        except BaseException as error:  # noqa: BLE001  # whoever waits has to hear of it
            self._break(self._fatal or error)
        finally:
            with self._lock:
                self._loop = None

    def _break(self, cause: BaseException) -> None:
        """All that is on its way ends here with the same error, and nothing more is taken."""
        with self._lock:
            self._broken = _broken(cause)
            calls = [*self._waiting, *self._live]
            self._waiting.clear()
            self._live.clear()
        for call in calls:
            if not call.cancelled():
                call.end(partial(_raise, _broken(cause)))

    async def _serve(self, directory: Path) -> None:
        program = directory / RUNNER
        with disk_errors(f"writing {program}"):
            program.write_bytes(self._plan.runner())
            program.chmod(0o755)
        with self._lock:
            self._loop = asyncio.get_running_loop()
        submitting: set[asyncio.Task[None]] = set()
        async with self._plan.opening() as access:
            try:
                # What is fatal is not raised here: who waits for a call has the same exception, and may clear the frames of its
                # traceback, as unittest does. Ours would be closed with them while they wait for the end of the session.
                while self._fatal is None and not self._is_over():
                    self._wake.clear()
                    if self._look:
                        self._look = False
                        self._drop(access)
                    while len(submitting) < BATCHES and (batch := self._next_batch()):
                        task = asyncio.create_task(self._submit(access, program, batch))
                        submitting.add(task)
                        task.add_done_callback(submitting.discard)
                        task.add_done_callback(self._over)
                    if not self._is_over():
                        await self._wake.wait()
            finally:
                tasks = [*submitting, *(task for task in self._live.values() if task is not None)]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _is_over(self) -> bool:
        with self._lock:
            return self._closing and not self._waiting and not self._live

    def _next_batch(self) -> list[Call]:
        """Those that are to go to the queue now."""
        with self._lock:
            batch: list[Call] = []
            while self._waiting and len(batch) < AT_A_TIME and len(self._live) < self._plan.room:
                call = self._waiting.popleft()
                self._live[call] = None
                batch.append(call)
        return batch

    def _drop(self, access: Access) -> None:
        """Have those end that were cancelled."""
        with self._lock:
            self._waiting = deque(call for call in self._waiting if not call.cancelled())
            live = list(self._live.items())
        for call, task in live:
            if call.cancelled() and task is not None and call not in self._ending:
                task.cancel()
                self._end_on_queue(access, call)

    def _end_on_queue(self, access: Access, call: Call) -> None:
        self._ending.add(call)
        self._follow(call, self._cancel(access, call))

    def _follow(self, call: Call, work: Coroutine[Any, Any, None]) -> None:
        """Have `work` done; when that is over there is room for another call."""
        task = asyncio.create_task(work)
        with self._lock:
            self._live[call] = task

        def over(task: asyncio.Task[None]) -> None:
            self._over(task)
            if self._fatal is not None:
                return  # the call ends as all others
            with self._lock:
                if self._live.get(call) is task:
                    del self._live[call]
                    self._ending.discard(call)

        task.add_done_callback(over)

    def _over(self, task: asyncio.Task[None]) -> None:
        """A task has ended: by an error that nobody has thought of, perhaps."""
        if not task.cancelled() and (error := task.exception()) is not None:
            self._end_all(error)
        self._wake.set()

    async def _cancel(self, access: Access, call: Call) -> None:
        try:
            await access.cancel(call.job, "the call was cancelled")
        except CopilotError as error:
            log.warning("call %s was cancelled here, and may go on on the queue: %s", call.job, error)

    async def _submit(self, access: Access, program: Path, calls: Sequence[Call]) -> None:
        """Bring these to the queue, and have their ends waited for."""
        with tempfile.TemporaryDirectory(dir=program.parent) as place:
            files = await asyncio.to_thread(_write, Path(place), calls)
            for call, error in await self._put(access, program, files):
                if error is not None:
                    with self._lock:
                        self._live.pop(call, None)
                    call.end(partial(_raise, error))
                elif call.cancelled():
                    self._end_on_queue(access, call)
                else:
                    self._follow(call, self._bring_home(access, call, program.parent))

    async def _put(
        self, access: Access, program: Path, files: Mapping[Call, Path]
    ) -> list[tuple[Call, CopilotError | None]]:
        """Put those on the queue that nobody has cancelled, or say why one is not there. What may pass is waited for."""
        pause, left = RETRY, PATIENCE
        while True:
            for call in [call for call in files if call.cancelled()]:
                with self._lock:
                    self._live.pop(call, None)
                files = {one: path for one, path in files.items() if one is not call}
            jobs = [self._plan.describe(call.job, program, path) for call, path in files.items()]
            try:
                await access.submit(access.with_secrets(jobs, self._plan.secrets))
            except CopilotError as error:
                left -= pause
                if not _passing(error) or (left < 0 and not self._reached):
                    if len(files) == 1:
                        return [(call, error) for call in files]
                    return [  # it is the fault of one of them, perhaps
                        one
                        for call, path in files.items()
                        for one in await self._put(access, program, {call: path})
                    ]
                rate_limited(log, "submit", logging.WARNING, "%s; trying again in %g s", error, pause)
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_RETRY)
            else:
                self._reached = True
                return [(call, None) for call in files]

    async def _bring_home(self, access: Access, call: Call, directory: Path) -> None:
        try:
            ended = await access.ended(call.job, call.begin)
        except TransportError as error:  # the session is over for good
            call.end(partial(_raise, _broken(error)))
            self._end_all(error)
            return
        except CopilotError as error:
            call.end(partial(_raise, error))
            return
        try:
            data = await self._result(access, ended, directory)
        except CopilotError as error:
            call.end(partial(_raise, error))
            return
        wrong = call.end(partial(unpacked, data))
        if isinstance(wrong, InitializerFailed):
            self._end_all(wrong)

    def _end_all(self, cause: BaseException) -> None:
        """Nothing can go on after this error."""
        self._fatal = self._fatal or cause
        self._wake.set()

    async def _result(self, access: Access, ended: Result, directory: Path) -> bytes:
        """What the runner has left. Raises `JobFailed` if it has left nothing, or on an agent that is not trusted; `TransferError`."""
        trusted = self._plan.trusted
        if trusted is not None and ended.agent not in trusted:
            raise JobFailed(
                f"job {ended.job} has run on {ended.agent}, whose results are not trusted: keep such calls to agents that are, by "
                "project= or requirements=",
                job=ended.job,
                cause=ended.cause,
                exit_status=ended.exit_code,
            )
        if ended.output is None:
            raise ended.failure()
        with tempfile.TemporaryDirectory(dir=directory) as place:
            package = Path(place) / "package.tgz"
            for tries_left in reversed(range(FETCHES)):
                try:
                    await access.fetch(ended.job, package)
                    break
                except CopilotError as error:
                    if not error.retryable or not tries_left:
                        raise
                    await asyncio.sleep(RETRY)
            data = await asyncio.to_thread(_read, package, ended.job)
        if data is None:
            raise ended.failure()
        return data


def _raise(error: Exception) -> Any:
    raise error


def _broken(cause: BaseException | None) -> ExecutorBroken:
    """The error for all that cannot go on because of another one."""
    error = ExecutorBroken(f"the executor cannot go on: {type(cause).__name__}: {cause}")
    error.__cause__ = cause
    return error


def _write(directory: Path, calls: Sequence[Call]) -> dict[Call, Path]:
    """Have the calls in files. Blocks. Raises `TransferError`."""
    files = {}
    with disk_errors(f"writing calls to {directory}"):
        for number, call in enumerate(calls):
            files[call] = directory / str(number)
            files[call].write_bytes(call.data)
            call.data = b""
    return files


def _passing(error: CopilotError) -> bool:
    """Whether the same may be taken later."""
    return error.retryable or (
        isinstance(error, TransportError) and not isinstance(error, LoginRefused | SessionReplaced)
    )


def _read(package: Path, job: str) -> bytes | None:
    """The result file in the output of a job. Blocks. Raises `TransferError`."""
    extract(package, package.parent, Limits(size=LARGEST_OUTPUT), only=f"{job}/{runner.RESULT}")
    result = package.parent / job / runner.RESULT
    if result.is_symlink() or not result.is_file():
        return None
    with disk_errors(f"reading {result}"):
        return result.read_bytes()
