"""`copilot.Client` and `copilot.Executor` with a whole system: straight to the queue, and from afar with an account."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import copilot
from copilot.errors import BadName, BadRequirements, RemoteRefused, UnknownJob
from copilot.job import Cause, EventKind, State
from tests.acceptance.running import Up, run, script, until
from tests.patience import PATIENCE_S

LIMIT = PATIENCE_S  # s
NOWHERE = "other.Memory >= 1000000000"  # what no host has


def double(number: int) -> int:
    return 2 * number


def die(signal: int) -> None:
    import os

    os.kill(os.getpid(), signal)


def large(size: int) -> bytes:
    return bytes(size)


def read(name: str) -> str:
    return Path(name).read_text()


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    up = Up(ground / "system")
    with up.running("--agents", 1):
        yield up


@pytest.fixture(scope="module")
def account(system: Up) -> Path:
    """The settings of somebody who reaches neither Redis nor the file area."""
    file = system.directory.parent / "ada.conf"
    made = run("copilot", "users", "add", "ada", "-o", file, "--config", system.etc)
    assert made.returncode == 0, made.stderr
    return file


@pytest.fixture(params=["queue", "afar"])
def where(request: pytest.FixtureRequest, system: Up) -> dict[str, Any]:
    """Both ways to the system."""
    if request.param == "queue":
        return {"config": system.etc}
    return {"config": request.getfixturevalue("account"), "remote": True}


@pytest.fixture(autouse=True)
def _by_value() -> Iterator[None]:
    """No agent has this module."""
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    yield
    cloudpickle.unregister_pickle_by_value(sys.modules[__name__])


async def test_jobs_are_submitted_and_their_results_come_as_they_end(
    where: dict[str, Any], tmp_path: Path
) -> None:
    command = script(tmp_path / "job.sh", 'echo "$1" to stdout; cat data > made; exit "$2"')
    data = tmp_path / "data"
    data.write_text("input\n")
    async with copilot.Client(**where) as client:
        job = await client.submit(command, ["a b", "0"], inputs=[data], environment={"X": "1"}, retries=1)
        result = await client.result(job, into=tmp_path, timeout=LIMIT)
        assert result.check().state is State.DONE
        assert (tmp_path / job / "stdout").read_text() == "a b to stdout\n"
        assert (tmp_path / job / "made").read_text() == "input\n"
        jobs = await client.map(command, [["x", str(code)] for code in (0, 0, 3)], inputs={"data": data})
        ended = {result.job: result async for result in client.as_completed(jobs, timeout=LIMIT)}
        assert [ended[job].exit_code for job in jobs] == [0, 0, 3]
        assert await client.wait(jobs, timeout=LIMIT) == [ended[job] for job in jobs]
        with pytest.raises(copilot.JobFailed, match="user-exit, exit code 3") as caught:
            ended[jobs[2]].check()
        assert (caught.value.cause, caught.value.exit_status) == (Cause.USER_EXIT, 3)


async def test_an_array_is_submitted_at_once_and_each_element_has_a_result(
    where: dict[str, Any], tmp_path: Path
) -> None:
    command = script(tmp_path / "job.sh", 'test "$1" = "$COPILOT_ARRAY_INDEX"; exit "$(($? + $1))"')
    async with copilot.Client(**where) as client:
        jobs = await client.array(command, 3, "{index}", priority=1)
        assert [job.rpartition(".")[2] for job in jobs] == ["0", "1", "2"]
        assert [one.exit_code for one in await client.wait(jobs, timeout=LIMIT)] == [0, 1, 2]
        with pytest.raises(BadName, match="elements"):
            await client.array(command, 0)


async def test_a_job_can_be_cancelled_and_waited_for_no_longer_than_wanted(
    where: dict[str, Any], tmp_path: Path
) -> None:
    command = script(tmp_path / "job.sh", "exec sleep 60")
    async with copilot.Client(**where) as client:
        job = await client.submit(command, requirements=NOWHERE)
        with pytest.raises(TimeoutError):
            await client.wait([job], timeout=0.1)
        with pytest.raises(TimeoutError):
            _ = [one async for one in client.as_completed([job], timeout=0.1)]
        assert not (await client.look(job)).ended
        (answer,) = await client.cancel(job, reason="enough")
        assert answer.ok
        assert (await client.result(job, timeout=LIMIT)).state is State.CANCELLED
        assert await client.output(job, tmp_path) is None
        with pytest.raises(UnknownJob):
            await client.look("nobody")
        with pytest.raises(BadRequirements):
            await client.submit(command, requirements="other.")
        with pytest.raises(BadName, match="expected a file"):
            await client.submit(tmp_path / "missing")
        with pytest.raises(TypeError, match="colour"):
            await client.submit(command, colour="red")  # type: ignore[call-arg]


async def test_what_a_job_prints_comes_while_it_runs(where: dict[str, Any], tmp_path: Path) -> None:
    command = script(tmp_path / "job.sh", 'echo "$1"; exec sleep "$2"')
    async with copilot.Client(**where) as client:
        job = await client.submit(command, ["first", "60"])
        async for data in client.tail(job):
            assert data == b"first\n"
            await client.cancel(job)  # else it would not end in time
        job = await client.submit(command, ["second", "0"])
        assert b"".join([data async for data in client.tail(job)]) == b"second\n"
        assert b"".join([data async for data in client.tail(job)]) == b"second\n"  # also when it is over
        assert not [data async for data in client.tail(job, stream="stderr")]
        with pytest.raises(UnknownJob):
            _ = [data async for data in client.tail("nobody")]
        with pytest.raises(ValueError, match="stdlog"):
            _ = [data async for data in client.tail(job, stream="stdlog")]


async def test_an_id_of_ones_own_makes_a_job_once(where: dict[str, Any], tmp_path: Path) -> None:
    command, ident = script(tmp_path / "job.sh", "true"), f"once-{len(where)}"
    async with copilot.Client(**where) as client:
        assert {await client.submit(command, job_id=ident) for _ in range(2)} == {ident}
        assert (await client.result(ident, timeout=LIMIT)).attempt == 1


async def test_events_are_told_at_the_queue_alone(system: Up, account: Path, tmp_path: Path) -> None:
    async with copilot.Client(system.etc) as client:
        job = await client.submit(script(tmp_path / "job.sh", "true"))
        kinds = []
        async for event in client.events(job, after="0"):
            kinds.append(event.kind)
            if event.kind is EventKind.PUBLISHED:
                break
        assert kinds[0] is EventKind.SUBMITTED
    with pytest.raises(RuntimeError, match="async with"):
        await client.look(job)
    async with copilot.Client(account, remote=True) as client:
        with pytest.raises(RemoteRefused):
            _ = [event async for event in client.events()]


def test_functions_are_called_on_agents(where: dict[str, Any]) -> None:
    with copilot.Executor(**where) as executor:
        assert list(executor.map(double, range(4), timeout=LIMIT)) == [0, 2, 4, 6]
        assert list(executor.map(double, range(100), chunksize=50, timeout=LIMIT)) == list(range(0, 200, 2))
        assert isinstance(executor.submit(divmod, 1, 0).exception(LIMIT), ZeroDivisionError)


def test_a_large_result_and_files_come_along(system: Up, tmp_path: Path) -> None:
    (tmp_path / "data").write_text("input\n")
    with copilot.Executor(config=system.etc, inputs=[tmp_path / "data"]) as executor:
        assert executor.submit(read, "data").result(LIMIT) == "input\n"
        assert len(executor.submit(large, 5_000_000).result(LIMIT)) == 5_000_000


def test_a_call_that_waits_can_be_cancelled(system: Up) -> None:
    async def state(job: str) -> State:
        async with copilot.Client(system.etc) as client:
            return (await client.look(job)).state

    with copilot.Executor(config=system.etc, name="waits", requirements=NOWHERE) as executor:
        future = executor.submit(double, 1)

        def there() -> bool:
            try:
                return asyncio.run(state(future.job)) is State.WAITING
            except UnknownJob:
                return False

        until(there, "the call on the queue")
        assert future.cancel()
        assert future.cancelled()
    assert asyncio.run(state(future.job)) is State.CANCELLED


def test_a_call_whose_process_dies_fails_with_the_cause(system: Up) -> None:
    with copilot.Executor(config=system.etc, name="dies") as executor:
        error = executor.submit(die, 11).exception(LIMIT)
        assert isinstance(error, copilot.JobFailed)
        assert error.cause == Cause.USER_SIGNAL
        assert error.job.startswith("dies-")
        assert executor.submit(double, 1).result(LIMIT) == 2  # the executor goes on


def test_a_call_that_may_not_be_is_refused_at_once(system: Up) -> None:
    with pytest.raises(BadRequirements):
        copilot.Executor(config=system.etc, requirements="other.")
    with pytest.raises(BadName, match="'result'"):
        copilot.Executor(config=system.etc, inputs={"result": "x"})
    with pytest.raises(TypeError):
        copilot.Executor(config=system.etc, initializer=5)  # type: ignore[arg-type]


def test_wrong_settings_break_the_executor_and_are_told(tmp_path: Path) -> None:
    with copilot.Executor(config=tmp_path / "missing") as executor:
        future = executor.submit(double, 1)
        assert isinstance(future.exception(LIMIT), copilot.ExecutorBroken)
        assert "ConfigError" in str(future.exception())
        with pytest.raises(copilot.ExecutorBroken, match="ConfigError"):
            executor.submit(double, 1)


def test_calls_come_through_when_servers_die(system: Up, account: Path) -> None:
    with (
        copilot.Executor(config=system.etc) as here,
        copilot.Executor(config=account, remote=True) as afar,
    ):
        results = [one.map(double, range(8), timeout=2 * LIMIT) for one in (here, afar)]
        assert [next(one) for one in results] == [0, 0]
        system.kill("redis")
        system.kill("prosody")
        assert [list(one) for one in results] == 2 * [[2 * number for number in range(1, 8)]]
