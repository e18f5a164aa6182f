"""Managers that share all work: many of them on one account, one killed half-way, and each job done exactly once."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest

from copilot.client.submission import Submission, submit
from copilot.files.area import FileArea
from copilot.files.staging import DiskStaging
from copilot.job import Event, EventKind
from tests.acceptance.running import Up, script, service, started, until

JOBS = 200
MANAGERS = 3
# What a killed manager had in hand goes back to the queue after this time, so jobs must take (much) less.
DISPATCH_LIMIT = "10s"


@pytest.mark.timeout(240)
def test_three_managers_and_two_agents_do_each_of_200_jobs_once_though_one_manager_is_killed(
    up: Up, place: Path
) -> None:
    marks = place / "marks"
    marks.mkdir()
    marks.chmod(0o777)
    command = script(place / "mark.sh", 'echo "$COPILOT_ATTEMPT" >> "$MARKS/$COPILOT_JOB_ID"')
    names = [f"job-{number:03}" for number in range(JOBS)]

    with up.running("--agents", 2):
        pass  # makes the two agents' accounts and files
    with contextlib.ExitStack() as running:
        running.enter_context(up.running("--agents", 0))
        managers = [running.enter_context(manager(up, number)) for number in range(MANAGERS)]
        asyncio.run(submit_all(up, command, marks, names))
        for number in (1, 2):
            running.enter_context(up.agent(number, AGENT_SLOTS="2"))

        until(lambda: len(list(marks.iterdir())) > JOBS // 2, "half of the jobs")
        given = [log_of(up, number).read_text().count("handed to") for number in range(MANAGERS)]
        busiest = given.index(max(given))
        managers[busiest].kill()
        managers[busiest].wait()
        running.enter_context(manager(up, busiest))
        done = up.directory / "done"
        until(lambda: all((done / name / f"{name}.tgz").exists() for name in names), "all outputs", 180)
        until(lambda: asyncio.run(settled(up)) == JOBS, "all events")
        events = asyncio.run(history(up))

    assert Counter(event.job for event in events if event.kind is EventKind.DONE) == Counter(names)
    assert Counter(event.job for event in events if event.kind is EventKind.PUBLISHED) == Counter(names)
    assert not [event for event in events if event.kind in (EventKind.FAILED, EventKind.REQUEUED)]
    assert {mark.name for mark in marks.iterdir()} == set(names)
    assert not [mark.name for mark in marks.iterdir() if len(mark.read_text().splitlines()) != 1]
    assert {event.agent for event in events if event.kind is EventKind.CLAIMED} == {
        "agent-1@copilot.internal",
        "agent-2@copilot.internal",
    }


@contextlib.contextmanager
def manager(up: Up, number: int) -> Iterator[subprocess.Popen[bytes]]:
    """A manager of both kinds on the system's account, started by hand; it logs to `log_of`."""
    output = log_of(up, number)
    variables = {**service(), "JM_QUEUE_ONLY_MODE_ON": "0", "JM_DISPATCH_LIMIT": DISPATCH_LIMIT}
    with started("copilot-jobmanager-generic", "--config", up.etc, output=output, **variables) as process:
        until(lambda: "Ready as" in output.read_text(), "the manager's login")
        yield process


def log_of(up: Up, number: int) -> Path:
    return up.directory.parent / f"manager-{number}.out"


async def submit_all(up: Up, command: Path, marks: Path, names: Iterable[str]) -> None:
    async with up.store() as store:
        for name in names:
            submission = Submission(id=name, command=command, environment={"MARKS": str(marks)})
            await submit(submission, store, DiskStaging(FileArea(up.directory / "files"), agents=()))


async def settled(up: Up) -> int:
    return sum(event.kind is EventKind.PUBLISHED for event in await history(up))


async def history(up: Up) -> tuple[Event, ...]:
    """All events of the queue."""
    events: list[Event] = []
    async with up.store() as store:
        while more := await store.events(after=events[-1].id if events else "0", count=1000):
            events.extend(more)
    return tuple(events)
