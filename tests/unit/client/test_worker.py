"""The thread behind an executor, in trouble: what takes nothing, what is lost, who changes his mind."""

from __future__ import annotations

import asyncio
import gc
import io
import os
import tarfile
import threading
import time
import traceback
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from concurrent import futures
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from copilot.client import worker as module
from copilot.client.access import Access
from copilot.client.calls import RUNNER, InitializerFailed, packed
from copilot.client.executor import Executor
from copilot.client.operating import Answer
from copilot.client.result import Result
from copilot.client.runner import run
from copilot.client.submission import Submission
from copilot.client.tailing import Look
from copilot.errors import (
    BadName,
    CopilotError,
    ExecutorBroken,
    JobFailed,
    LoginRefused,
    QueueFull,
    StoreUnavailable,
    TransferCorrupt,
    TransportError,
)
from copilot.job import Event, Output, State
from copilot.store.watched import Stream
from tests.patience import PATIENCE_S

LIMIT = PATIENCE_S  # s


class Place:
    """A system that does each call itself, when it is let; and fails as it is told to."""

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.calls: dict[str, bytes] = {}
        self.cancelled: list[str] = []
        self.refuses: Callable[[Sequence[Submission]], CopilotError | None] = lambda jobs: None
        self.ends: Callable[[str], CopilotError | None] = lambda job: None
        self.fetches: list[CopilotError] = []
        self.gate = threading.Event()
        self.gate.set()
        self.begins = True
        self.at_once = self.most_at_once = 0
        self.left_nothing = False
        self.agent = "good@x"

    @asynccontextmanager
    async def opening(self) -> AsyncIterator[Access]:
        yield self

    def with_secrets(self, submissions: Sequence[Submission], files: Mapping[str, Path]) -> list[Submission]:
        return [replace(one, tags=[*one.tags, *files]) for one in submissions]

    async def submit(self, submissions: Sequence[Submission]) -> None:
        if (error := self.refuses(submissions)) is not None:
            raise error
        self.batches.append([one.id for one in submissions])
        for one in submissions:
            assert one.command.name == RUNNER
            self.calls[one.id] = one.inputs["call"].read_bytes()
        self.at_once += len(submissions)
        self.most_at_once = max(self.at_once, self.most_at_once)

    async def look(self, job: str) -> Result:
        raise NotImplementedError

    async def ended(self, job: str, begun: Callable[[], None] = lambda: None) -> Result:
        if self.begins:
            begun()
            begun()
        while not self.gate.is_set():
            await asyncio.sleep(0.001)
        if (error := self.ends(job)) is not None:
            raise error
        self.at_once -= 1
        output = None if self.left_nothing else Output(size=1, sha256="0")
        state = State.FAILED if self.left_nothing else State.DONE
        return Result(
            job=job, agent=self.agent, state=state, exit_code=0, cause="infra-lost", attempt=3, output=output
        )

    async def cancel(self, job: str, reason: str) -> Answer:
        self.cancelled.append(job)
        self.at_once -= 1
        return Answer(job=job, ok=True, changed=True, state=State.CANCELLED, text="")

    async def fetch(self, job: str, path: Path) -> bool:
        if self.fetches:
            raise self.fetches.pop()
        kind, _, body = run(self.calls[job].partition(b"\n")[2], many=False)
        data = f"{kind} 0\n".encode() + body
        with tarfile.open(path, "w:gz") as package:
            member = tarfile.TarInfo(f"{job}/result")
            member.size = len(data)
            package.addfile(member, io.BytesIO(data))
        return True

    def reading(self, job: str, stream: Stream) -> Look:
        raise NotImplementedError

    def events(self, after: str) -> AsyncIterator[Event]:
        raise NotImplementedError


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setattr(module, "RETRY", 0.01)
    return Place()


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_calls_of_the_same_moment_go_together(place: Place) -> None:
    place.gate.clear()
    with Executor(place.opening) as executor:
        first = executor.submit(pow, 2, 3)
        until(lambda: place.batches)
        late = [executor.submit(pow, 2, number) for number in range(200)]
        place.gate.set()
        assert first.result(LIMIT) == 8
        assert [future.result(LIMIT) for future in late] == [2**number for number in range(200)]
    assert len(place.batches) < 100


def test_no_more_are_on_the_queue_than_wanted(place: Place) -> None:
    place.gate.clear()
    with Executor(place.opening, max_workers=3) as executor:
        results = executor.map(abs, range(30))
        until(lambda: place.at_once == 3)
        place.gate.set()
        assert list(results) == list(range(30))
    assert place.most_at_once == 3


def test_what_waits_here_is_cancelled_here(place: Place) -> None:
    place.gate.clear()
    with Executor(place.opening, max_workers=1) as executor:
        first, second, third = (executor.submit(abs, number) for number in range(3))
        until(first.running)
        assert (first.cancel(), second.cancel()) == (False, True)
        done, _ = futures.wait([second], LIMIT)
        assert done == {second}  # those who wait for it were told
        place.gate.set()
        assert third.result(LIMIT) == 2
    assert not place.cancelled


def test_what_waits_on_the_queue_is_cancelled_there(place: Place) -> None:
    place.gate.clear()
    place.begins = False
    with Executor(place.opening, max_workers=1) as executor:
        first, second = executor.submit(abs, 1), executor.submit(abs, 2)
        until(lambda: place.batches)
        assert first.cancel()
        until(lambda: len(place.batches) == 2)  # there was room again
        assert place.cancelled == place.batches[0]
        place.gate.set()
        assert second.result(LIMIT) == 2


def test_a_queue_that_takes_nothing_is_asked_again(place: Place) -> None:
    errors = [StoreUnavailable("away"), QueueFull("full"), TransportError("nobody answers")]
    place.refuses = lambda jobs: errors.pop() if errors else None
    with Executor(place.opening) as executor:
        assert executor.submit(abs, -1).result(LIMIT) == 1
    assert not errors


def test_a_queue_that_never_takes_anything_is_told(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.02)
    place.refuses = lambda jobs: StoreUnavailable("away")
    with Executor(place.opening) as executor:
        assert isinstance(executor.submit(abs, -1).exception(LIMIT), StoreUnavailable)


def test_a_call_that_is_refused_spoils_no_other(place: Place) -> None:
    place.gate.clear()
    with Executor(place.opening) as executor:
        first = executor.submit(abs, 0)
        until(lambda: place.batches)
        place.refuses = lambda jobs: (
            BadName("too long") if jobs[0].id.endswith("-3") or len(jobs) > 1 else None
        )
        second, third, fourth = (executor.submit(abs, number) for number in (1, 2, 3))
        place.gate.set()
        assert isinstance(third.exception(LIMIT), BadName)
        assert [future.result(LIMIT) for future in (first, second, fourth)] == [0, 1, 3]


def test_an_output_that_does_not_come_is_asked_for_again(place: Place) -> None:
    place.fetches = [TransferCorrupt("cut off")] * 2
    with Executor(place.opening) as executor:
        assert executor.submit(abs, -1).result(LIMIT) == 1
        place.fetches = [TransferCorrupt("cut off")] * 10
        assert isinstance(executor.submit(abs, -1).exception(LIMIT), TransferCorrupt)


def test_a_job_without_a_result_fails_its_call(place: Place) -> None:
    place.left_nothing = True
    with Executor(place.opening) as executor:
        error = executor.submit(abs, -1).exception(LIMIT)
    assert isinstance(error, JobFailed)
    assert error.cause == "infra-lost"
    assert "in attempt 3" in str(error)


def test_results_of_agents_that_are_not_trusted_are_not_unpickled(place: Place) -> None:
    with Executor(place.opening, trusted={"good@x"}) as executor:
        assert executor.submit(abs, -1).result(LIMIT) == 1
        place.agent = "other@x"
        with pytest.raises(JobFailed, match="has run on other@x"):
            executor.submit(abs, -1).result(LIMIT)


@pytest.mark.parametrize("error", [LoginRefused("wrong password"), TransportError("another session")])
def test_a_session_that_is_over_for_good_ends_everything(place: Place, error: TransportError) -> None:
    place.ends = lambda job: error
    place.gate.clear()
    executor = Executor(place.opening, max_workers=1)
    calls = [executor.submit(abs, number) for number in range(3)]
    place.gate.set()
    assert {type(call.exception(LIMIT)) for call in calls} == {ExecutorBroken}
    with pytest.raises(ExecutorBroken, match=str(error)):
        executor.submit(abs, 1)
    executor.shutdown()


def test_who_clears_the_frames_of_its_error_ends_nothing_of_ours(place: Place) -> None:
    """unittest does, and pytest. What ends everything is raised to who waits for the call, while the way to the system is closed."""
    closing, may_end, closed = threading.Event(), threading.Event(), threading.Event()

    @asynccontextmanager
    async def opening() -> AsyncIterator[Access]:
        try:
            yield place
        finally:
            closing.set()
            while not may_end.is_set():
                await asyncio.sleep(0.001)
            closed.set()

    executor = Executor(opening, initializer=int, initargs=("no number",))
    error = executor.submit(abs, -1).exception(LIMIT)
    assert isinstance(error, InitializerFailed)
    assert closing.wait(LIMIT)
    traceback.clear_frames(error.__traceback__)
    may_end.set()
    executor._worker._thread.join(LIMIT)
    assert closed.is_set()
    with pytest.raises(ExecutorBroken, match="InitializerFailed"):
        executor.submit(abs, 1)


def test_an_executor_that_is_forgotten_ends_when_its_calls_have(place: Place) -> None:
    place.gate.clear()
    executor = Executor(place.opening)
    future, thread = executor.submit(abs, -1), executor._worker._thread
    until(future.running)
    del executor
    gc.collect()
    assert thread.is_alive()
    place.gate.set()
    assert future.result(LIMIT) == 1
    thread.join(LIMIT)
    assert not thread.is_alive()


def test_nobody_holds_a_call_that_is_over(place: Place) -> None:
    with Executor(place.opening) as executor:
        executor.submit(abs, -1).result(LIMIT)
        until(lambda: not executor._worker._live)


def test_in_a_copy_of_the_process_an_executor_says_that_it_is_none_of_its(place: Place) -> None:
    """The thread is not there, so calls would wait for ever, and so would the end of the copy."""
    place.gate.clear()
    with Executor(place.opening) as executor, Executor(place.opening) as unused:
        waits = executor.submit(pow, 1, 1)
        until(lambda: place.batches)
        copy = os.fork()
        if not copy:
            said = b"taken"
            try:
                executor.submit(pow, 2, 1)
            except BaseException as error:  # noqa: BLE001
                said = str(error).encode()
            place.gate.set()
            executor.shutdown()
            os._exit(0 if b"copy" in said and unused.submit(pow, 3, 1).result(LIMIT) == 3 else 1)
        _, status = os.waitpid(copy, 0)
        place.gate.set()
        assert waits.result(LIMIT) == 1
    assert status == 0


def test_an_executor_without_calls_has_no_thread(place: Place) -> None:
    with Executor(place.opening) as executor:
        assert executor._worker._thread.ident is None
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(abs, 1)


def test_what_cannot_be_pickled_fails_in_its_future(place: Place) -> None:
    with Executor(place.opening) as executor:
        assert isinstance(executor.submit(abs, threading.Lock()).exception(LIMIT), TypeError)
    assert not place.batches
    assert packed(abs, (1,), {})
