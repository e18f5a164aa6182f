"""An exclusive job never runs twice at once: an agent that is cut off stops it before anybody else can have it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

from copilot.job import JobRecord, State
from copilot.local.component import Component
from copilot.local.prosody import Prosody
from tests.acceptance.running import LIMIT_S, Up, VariedSystem, processes_of, run, script, until
from tests.faults.proxy import Proxy


async def state_of(system: Up, wanted: State) -> JobRecord:
    """The job's record as soon as it is in this state."""
    async with system.store() as store, asyncio.timeout(LIMIT_S):
        while (record := await store.get("j")) is None or record.state is not wanted:
            await asyncio.sleep(0.02)
    return record


class WithoutAgents(VariedSystem):
    """It has files for two agents on other machines, and none of its own."""

    def _agents_here(self) -> list[Component]:
        return []


@contextlib.asynccontextmanager
async def agent(system: Up, number: int, **variables: str) -> AsyncIterator[subprocess.Popen[bytes]]:
    """`Up.agent`, while the proxy, which is in our event loop, goes on."""
    running = system.agent(number, **variables)
    process = await asyncio.to_thread(running.__enter__)
    try:
        yield process
    finally:
        await asyncio.to_thread(running.__exit__, None, None, None)


def payloads(place: Path) -> list[int]:
    return [one.pid for one in processes_of(place) if any("job.sh" in word for word in one.cmdline())]


async def test_an_exclusive_job_of_an_agent_that_is_cut_off_ends_before_another_agent_can_begin_it(
    up: Up, place: Path
) -> None:
    go = place / "go"
    job = script(place / "job.sh", f"trap '' TERM; until [ -e {go} ]; do sleep 0.1; done")
    varied = WithoutAgents(up.directory)
    varied.more = (("JM_LEASE", "1h"), ("JM_LEASES", "volunteer=5"))
    async with varied.running():
        said = await asyncio.to_thread(up.submit, job, "--id", "j", "--exclusive")
        assert said.returncode == 0, said.stderr
        proxy = Proxy(Prosody(up.directory / "prosody").port)
        port = str(await proxy.open())
        first_place, second_place = place / "machine-1" / "work", place / "machine-2" / "work"
        async with agent(up, 1, AGENT_JABBER_PORT=port, AGENT_CLASS="volunteer") as first:
            await asyncio.to_thread(until, lambda: payloads(first_place), "the payload runs")
            assert proxy.freeze()
            await state_of(up, State.WAITING)  # from now on somebody else may have it
            assert payloads(first_place) == []
            assert first.poll() is None
            async with agent(up, 2):
                await asyncio.to_thread(until, lambda: payloads(second_place), "it runs elsewhere")
                assert payloads(first_place) == []
                go.touch()
                record = await state_of(up, State.DONE)
            first.kill()
            first.wait(LIMIT_S)
        await proxy.close()
        assert (record.attempt, record.attempts_used) == (2, 2)
        shown = await asyncio.to_thread(run, "copilot", "jobs", "show", "j", "--config", up.etc)
        assert "never two attempts at once" in shown.stdout
