"""Who is alive and who is not: leases, cancelled jobs and stopped agents, with real programs and signals."""

from __future__ import annotations

import asyncio
import shutil
import signal
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import pytest

from copilot.job import Event, EventKind, JobRecord, State
from copilot.local.ports import remembered_port
from copilot.local.process import unprivileged_user
from tests.acceptance.running import LIMIT_S, Up, VariedSystem, packed, processes_of, run, script
from tests.unit.metrics.scraping import read

LEASE_S = 5.0
HOST = "127.0.0.1"


@pytest.fixture
async def system(up: Up) -> AsyncIterator[Up]:
    """A system without agents, whose leases last 5 s, and whose managers show metrics."""
    varied = VariedSystem(up.directory, agents=0)
    listen = ((f"{one}_METRICS_LISTEN", f"{HOST}:{metrics_port(up, one)}") for one in ("JM", "SM"))
    varied.more = (("JM_LEASE", f"{LEASE_S:g}s"), *listen)
    async with varied.running():
        yield up


def metrics_port(system: Up, manager: str) -> int:
    return remembered_port(system.directory.with_name(f"{manager}.port"), HOST, 0)


async def shown(system: Up, manager: str, metric: str) -> float:
    """What Prometheus would read of a manager (`JM`, `SM`)."""
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://{HOST}:{metrics_port(system, manager)}/metrics") as answer,
    ):
        return read(await answer.read())[metric]


async def shows(system: Up, manager: str, metric: str) -> float:
    """What a manager has counted, as soon as that is something: it counts when the queue has answered, by when others see the change."""
    async with asyncio.timeout(LIMIT_S):
        while not (value := await shown(system, manager, metric)):
            await asyncio.sleep(0.02)
    return value


async def events_of(system: Up, job: str) -> list[Event]:
    async with system.store() as store:
        return [event for event in await store.events(count=1000) if event.job == job]


async def once(system: Up, job: str, condition: Callable[[JobRecord], bool]) -> JobRecord:
    """The record of a job as soon as it is as wanted."""
    async with system.store() as store, asyncio.timeout(LIMIT_S):
        while (record := await store.get(job)) is None or not condition(record):
            await asyncio.sleep(0.02)
    return record


async def confirmed(system: Up, job: str, attempt: int = 1) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not any(
            event.kind is EventKind.RUNNING and event.attempt == attempt
            for event in await events_of(system, job)
        ):
            await asyncio.sleep(0.02)


async def submit(system: Up, path: Path, *options: object) -> None:
    assert (await asyncio.to_thread(system.submit, path, *options)).returncode == 0


def elsewhere(place: Path) -> Path:
    """A work directory of another machine, which knows nothing of what the first one held."""
    work = place / "elsewhere"
    work.mkdir(mode=0o700)
    if (user := unprivileged_user()) is not None:
        shutil.chown(work, user)
    return work


async def test_a_dead_agents_job_is_back_within_two_leases_and_ends_elsewhere(
    system: Up, place: Path
) -> None:
    flag, go = place / "second", place / "go"
    job = script(
        place / "job.sh", f"[ -e {flag} ] || sleep 600; until [ -e {go} ]; do sleep 0.1; done; echo ok"
    )
    await submit(system, job, "--id", "j")
    with system.agent(1) as first:
        await confirmed(system, "j")
        first.send_signal(signal.SIGSTOP)  # so that nothing of it says anything
        flag.touch()
        first.kill()
        died = time.time()
        record = await once(system, "j", lambda record: record.state is State.WAITING)
        (requeued,) = (event.time for event in await events_of(system, "j") if event.kind == "requeued")
        assert requeued - died < 2 * LEASE_S
        assert record.outcome is not None
        assert record.outcome.cause == "infra-lost"
    assert await shows(system, "JM", 'copilot_requeues_total{cause="infra-lost"}') == 1
    assert await shows(system, "JM", "copilot_leases_ran_out_total") == 1
    with system.agent(1, AGENT_WORK_DIR=str(elsewhere(place))):
        await shows(system, "JM", "copilot_leases_renewed_total")
        go.touch()
        record = await once(system, "j", lambda record: record.published)
    assert (record.state, record.attempt, record.attempts_used) == (State.DONE, 2, 2)
    assert await shows(system, "JM", 'copilot_attempts_ended_total{cause="ok"}') == 1
    # The dead agent comes back, and tells what has become of its attempt before anybody can tell it not to.
    with system.suspended("copilot-jobmanager"), system.agent(1) as first:
        await shows(system, "SM", 'copilot_reports_fenced_total{reason="stale"}')
        first.kill()
        first.wait(LIMIT_S)
    assert (await once(system, "j", lambda record: record.published)).state is State.DONE


async def test_an_agent_that_was_stopped_for_longer_than_its_lease_goes_on_with_its_job(
    system: Up, place: Path
) -> None:
    flag = place / "go"
    job = script(place / "job.sh", f"until [ -e {flag} ]; do sleep 0.1; done; echo ok")
    await submit(system, job, "--id", "j")
    with system.agent(1) as agent:
        await confirmed(system, "j")
        agent.send_signal(signal.SIGSTOP)
        await once(system, "j", lambda record: record.state is State.WAITING)
        agent.send_signal(signal.SIGCONT)
        await once(system, "j", lambda record: record.state is State.RUNNING)
        flag.touch()
        record = await once(system, "j", lambda record: record.published)
    assert (record.state, record.attempt, record.attempts_used) == (State.DONE, 1, 1)
    assert "revived" in [event.kind for event in await events_of(system, "j")]


async def test_a_job_far_longer_than_its_lease_stays_where_it_is(system: Up, place: Path) -> None:
    flag = place / "go"
    job = script(place / "job.sh", f"until [ -e {flag} ]; do sleep 0.1; done; echo ok")
    await submit(system, job, "--id", "j")
    with system.agent(1):
        await confirmed(system, "j")
        began = (await events_of(system, "j"))[-1].time
        await submit(system, script(place / "clock.sh", "true"), "--id", "clock")
        async with system.store() as store, asyncio.timeout(LIMIT_S):
            while (await store.events(count=1000))[-1].time < began + 3 * LEASE_S:  # the store's own clock
                await store.hold("clock")
                await store.release("clock")
                await asyncio.sleep(0.2)
        flag.touch()
        record = await once(system, "j", lambda record: record.published)
    assert (record.state, record.attempt) == (State.DONE, 1)
    assert [event.kind for event in await events_of(system, "j")].count(EventKind.REQUEUED) == 0


async def test_a_running_job_is_cancelled_with_all_that_it_started(system: Up, place: Path) -> None:
    marker = place / "marker"
    job = script(place / "job.sh", f"echo begun; sleep 600 & touch {marker}; wait")
    place.chmod(0o777)
    with system.agent(1):
        waiting = asyncio.create_task(asyncio.to_thread(system.submit, job, "--id", "j", "--wait", "--json"))
        async with asyncio.timeout(LIMIT_S):
            while not marker.exists():
                await asyncio.sleep(0.02)
        said = await asyncio.to_thread(
            run, "copilot", "jobs", "cancel", "j", "--reason", "a typo", "--config", system.etc
        )
        assert said.returncode == 0, said.stderr
        ended = await waiting
        record = await once(system, "j", lambda record: record.published)
        assert record.state is State.CANCELLED
        assert ended.returncode != 0
        assert (
            packed({"id": "j", "output": str(system.directory / "done" / "j" / "j.tgz")})["stdout"]
            == "begun\n"
        )
        sleeping = [one for one in processes_of(place) if "600" in one.cmdline()]
        assert sleeping == []
        shown = await asyncio.to_thread(run, "copilot", "jobs", "show", "j", "--config", system.etc)
        assert "cancelled" in shown.stdout
