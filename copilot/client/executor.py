"""Calls of Python functions on agents, as `concurrent.futures` has them.

What an executor promises is said there; what is different, because other machines run the calls, stands at `Executor`.
"""

from __future__ import annotations

import itertools
import os
import threading
import weakref
from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from concurrent import futures
from concurrent.futures import thread as _stdlib  # so that our end of the interpreter comes before its
from contextlib import AbstractAsyncContextManager
from functools import partial
from pathlib import Path
from secrets import token_hex
from typing import Any, ParamSpec, TypeVar, Unpack, cast

from copilot.client import runner
from copilot.client.access import Access
from copilot.client.api import Options, described, secret_files
from copilot.client.calls import PYTHON, RUNNER, packed, runner_file
from copilot.client.submission import Submission
from copilot.client.submission import described as checked
from copilot.client.worker import MOST_ON_QUEUE, Call, Plan, Worker
from copilot.errors import BadName

P = ParamSpec("P")
T = TypeVar("T")

_workers: weakref.WeakSet[Worker] = weakref.WeakSet()
_ended = False


class CallFuture(futures.Future[T]):
    """What comes of a call. `job` is the id of its job, for `copilot jobs explain` and the like."""

    def __init__(self, job: str) -> None:
        super().__init__()
        self.job = job


class Executor(futures.Executor):
    """Each call becomes a job, and its agent sends back what it has returned or raised.

    Functions, arguments and results go by cloudpickle: what is defined in a module goes as its name, and the agent must have that
    module; what is defined in the program itself goes as it is. A call that was begun may be run once more elsewhere when its
    agent dies (`max_attempts=1` forbids it). A future fails with `JobFailed` if its job has no result, with `NotPicklable` if
    that cannot be made an object here, and with `ExecutorBroken` if the executor has lost the system for good.

    A result is unpickled here: whoever may run your calls can run code as you. Where there are agents that you do not trust with that, name
    those that you do: `trusted`.
    """

    def __init__(
        self,
        opening: Callable[[], AbstractAsyncContextManager[Access]],
        *,
        max_workers: int | None = None,
        initializer: Callable[..., object] | None = None,
        initargs: Sequence[Any] = (),
        name: str = "call",
        python: str = PYTHON,
        trusted: Container[str] | None = None,
        **options: Unpack[Options],
    ) -> None:
        """`opening` connects, at the first call. At most `max_workers` calls are on the queue at a time; the others wait here.

        `initializer(*initargs)` is called before each call, on its agent. `name` begins the ids of the jobs. `python` starts Python
        there, of our own version. `trusted` holds the agents (bare JIDs) whose results may be unpickled; those of others fail their
        futures. `options` are those of `Client.submit`, for all calls.

        Raises `ValueError`, TypeError, `BadName`.
        """
        if max_workers is not None and max_workers <= 0:
            raise ValueError("max_workers must be greater than 0")
        if initializer is not None and not callable(initializer):
            raise TypeError("initializer must be a callable")
        self._pack = partial(packed, initializer=initializer, initargs=initargs)
        self._ids = (f"{name}-{token_hex(6)}-{number}" for number in itertools.count(1))
        self._shut = False
        describe = partial(_described, options)
        checked(
            describe(f"{name}-0", Path(RUNNER), Path(runner.CALL))
        )  # so that what is wrong is said at once
        self._worker = Worker(
            Plan(
                opening=opening,
                describe=describe,
                runner=partial(runner_file, python),
                secrets=secret_files(options),
                trusted=trusted,
                room=max_workers or MOST_ON_QUEUE,
            ),
            f"copilot-{name}",
        )
        _workers.add(self._worker)
        weakref.finalize(self, self._worker.close).atexit = False

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> CallFuture[T]:
        """Have `fn(*args, **kwargs)` called by an agent. What cannot be pickled fails in its future.

        Raises RuntimeError after `shutdown`, `ExecutorBroken`.
        """
        self._check_open()
        future: CallFuture[T] = CallFuture(next(self._ids))
        try:
            if isinstance(fn, _Many):
                data = self._pack(fn.function, cast("Sequence[Any]", args[0]), {}, many=True)
            else:
                data = self._pack(fn, args, kwargs)
        except Exception as error:  # noqa: BLE001  # as in a process pool: it is for who waits
            future.set_running_or_notify_cancel()
            future.set_exception(error)
            return future
        call = Call(future.job, data, future)
        self._worker.add(call)
        future.add_done_callback(partial(_told, weakref.ref(self._worker)))
        return future

    def map(
        self,
        fn: Callable[..., T],
        *iterables: Iterable[Any],
        timeout: float | None = None,
        chunksize: int = 1,
    ) -> Iterator[T]:
        """As the built-in `map`, in the order of the arguments; `chunksize` calls make one job.

        Raises TimeoutError when the next result is not there `timeout` seconds after this was called, and what a call has raised.
        """
        if chunksize < 1:
            raise ValueError("chunksize must be >= 1.")
        if chunksize == 1:
            return super().map(fn, *iterables, timeout=timeout)
        chunks = super().map(_Many(fn), _chunks(zip(*iterables, strict=False), chunksize), timeout=timeout)
        return _flat(chunks)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls. `wait` until those that are there have ended; `cancel_futures` that no agent has begun."""
        self._shut = True
        if cancel_futures:
            self._worker.cancel_pending()
        self._worker.close()
        if wait:
            self._worker.join()

    @property
    def _broken(self) -> bool:
        """Whether it has lost the system for good; as executors of CPython call it."""
        return self._worker.broken

    def _check_open(self) -> None:
        if self._shut:
            raise RuntimeError("cannot schedule new futures after shutdown")
        if _ended:
            raise RuntimeError("cannot schedule new futures after interpreter shutdown")


class _Many:
    """A function that is called for each of a list of arguments, and what it has returned is a list."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, arguments: Sequence[tuple[Any, ...]]) -> Any:  # pragma: no cover  # the runner does
        return [self.function(*one) for one in arguments]


def _chunks(arguments: Iterable[tuple[Any, ...]], size: int) -> Iterator[tuple[tuple[Any, ...], ...]]:
    iterator = iter(arguments)
    while chunk := tuple(itertools.islice(iterator, size)):
        yield chunk


def _flat(chunks: Iterator[list[T]]) -> Iterator[T]:
    """What is in them, with no hold on what was taken."""
    for chunk in chunks:
        chunk.reverse()
        while chunk:
            yield chunk.pop()


def _described(options: Options, job: str, program: Path, call: Path) -> Submission:
    inputs = options.get("inputs", ())
    named = described(program, inputs=inputs).inputs
    if runner.CALL in named or runner.RESULT in named:
        raise BadName(f"inputs of calls: the names {runner.CALL!r} and {runner.RESULT!r} are taken")
    ours: dict[str, Any] = {**options, "inputs": {**named, runner.CALL: call}}
    return described(program, job_id=job, **ours)


def _told(worker: weakref.ref[Worker], future: futures.Future[Any]) -> None:
    alive = worker()
    if alive is not None and future.cancelled():
        alive.dropped()


def _end_of_interpreter() -> None:
    """As a pool of threads: what was submitted comes to its end first."""
    global _ended  # noqa: PLW0603
    _ended = True
    workers = list(_workers)
    for worker in workers:
        worker.close()
    for worker in workers:
        worker.join()


def _in_a_copy() -> None:
    for worker in list(_workers):
        worker.forked()


os.register_at_fork(after_in_child=_in_a_copy)
assert _stdlib  # imported before us, and so ended after us
threading._register_atexit(_end_of_interpreter)  # type: ignore[attr-defined]  # noqa: SLF001  # nothing public comes before threads are joined
