"""What an agent needs: the memory of a real `copilot-agent`, idle and after jobs, and the time from its start to a payload.

    python -m bench.agent [--short] [--jobs 300] [--starts 20]

Files that are small come with the job; here they are larger, so that the agent has to fetch them: by Chirp from a server
of its own, or from the embedded file server by HTTPS, where the output goes, too. Memory is what the process has
resident (RSS), pages shared with others included; its fair share of those (PSS) stands beside, and that of its guard.
Prints one JSON object with rows.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import json
import os
import re
import signal
import statistics
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from bench.peers import copilot
from bench.row import Row
from copilot.job import InputFile, JobSpec
from copilot.local.chirp import Chirp
from copilot.local.process import Child

HOST = "127.0.0.1"
LARGE = 100_000  # bytes of an input: it does not fit into a message, and neither does the output
SCRIPT = "#!/bin/sh\ncat data > copy\n"
READY = "Ready as "
READY_S = 30.0
KB, MB = 1024, 1_000_000  # smaps_rollup counts in units of 1,024 bytes

Submit = Callable[[copilot.Running, int], Awaitable[None]]


@dataclass(frozen=True, kw_only=True)
class Memory:
    """In MB."""

    rss: float
    pss: float
    guard_pss: float

    def __str__(self) -> str:
        return f"PSS {self.pss:.1f} MB, and {self.guard_pss:.1f} MB of its guard"


def memory_of(agent: Child) -> Memory:
    """Of the agent's process now."""
    rss, pss = _rollup(agent.pid)
    guards = [_rollup(child.pid)[1] for child in psutil.Process(agent.pid).children()]
    return Memory(rss=rss, pss=pss, guard_pss=sum(guards))


def _rollup(pid: int) -> tuple[float, float]:
    """RSS and PSS in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss, pss = (int(found) for found in re.findall(r"^(?:Rss|Pss):\s+(\d+) kB$", text, re.MULTILINE))
    return rss * KB / MB, pss * KB / MB


@contextlib.asynccontextmanager
async def agent_of(system: copilot.Running, name: str) -> AsyncIterator[Child]:
    """An agent that has logged in."""
    agent = await system.system.start_agent(name)
    log = system.system.log_of(name)
    try:
        await agent.wait_until(lambda: READY in log.read_text(errors="replace"), limit_s=READY_S)
        yield agent
    finally:
        await agent.stop()


async def resident(submit: Submit, system: copilot.Running, name: str, count: int) -> tuple[Memory, Memory]:
    """Of a fresh agent, idle, and after so many jobs."""
    async with agent_of(system, name) as agent:
        await system.done(0)
        idle = memory_of(agent)
        for number in range(count):
            await submit(system, number)
        await system.done(count)
        return idle, memory_of(agent)


async def by_http(system: copilot.Running, number: int) -> None:
    """A job whose input and output go through the file server."""
    await system.submit(f"http-{number}", SCRIPT, data=_data(system))


def by_chirp(chirp: Chirp) -> Submit:
    """Jobs whose inputs lie on this server; the output is small and comes with the report."""

    async def submit(system: copilot.Running, number: int) -> None:
        inputs = tuple(_input(chirp.root / "inputs" / name) for name in ("run.sh", "data"))
        spec = JobSpec(
            id=f"chirp-{number}",
            command="run.sh",
            inputs=inputs,
            chirp_server=f"{HOST}:{chirp.port}",
            input_dir="/inputs",
        )
        await system.store.submit([spec])

    return submit


def _input(path: Path) -> InputFile:
    data = path.read_bytes()
    return InputFile(name=path.name, size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _data(system: copilot.Running) -> Path:
    path = system.scripts / "data"
    if not path.exists():
        path.write_bytes(os.urandom(LARGE))
    return path


@contextlib.asynccontextmanager
async def chirp_of(system: copilot.Running) -> AsyncIterator[Chirp]:
    """A Chirp server with the inputs."""
    rights = {"unix:*": "rl", "hostname:*": "rl", "address:*": "rl"}
    chirp = Chirp(system.system.places.root / "chirp", rights=rights)
    await chirp.start()
    inputs = chirp.root / "inputs"
    inputs.mkdir(mode=0o755)
    (inputs / "run.sh").write_text("#!/bin/sh\ncksum < data\n")
    (inputs / "data").write_bytes(os.urandom(LARGE))
    for path in (inputs / "run.sh", inputs / "data"):
        path.chmod(0o644)
    try:
        yield chirp
    finally:
        await chirp.stop()


async def start_of(system: copilot.Running, number: int) -> float:
    """Seconds from the start of an agent's process until the payload runs that waits for it."""
    agents: list[Child] = []

    async def start() -> None:
        agents.append(await system.system.start_agent("starting"))

    try:
        return await system.started(f"start-{number}", agent=start)
    finally:
        for agent in agents:
            await agent.stop()


async def measure(jobs: int, starts: int) -> list[Row]:
    """All figures, on one system without an agent of its own."""
    async with copilot.running("always", agents=0) as system:
        async with chirp_of(system) as chirp:
            idle, after_chirp = await resident(by_chirp(chirp), system, "chirp", jobs)
        _, after_http = await resident(by_http, system, "http", jobs)
        began = [await start_of(system, number) for number in range(starts)]
    return [
        _memory_row("agent resident, files by Chirp", after_chirp, f"after {jobs} jobs"),
        _memory_row("agent resident, files by HTTP", after_http, f"after {jobs} jobs with HTTPS"),
        Row(
            name="agent's start to its first payload",
            unit="s",
            value=round(statistics.median(began), 3),
            rounds=tuple(round(one, 3) for one in began),
            note=f"{starts} starts, the longest {max(began):.2f} s",
        ),
        _memory_row("agent resident, idle", idle, "before its first job"),
    ]


def _memory_row(name: str, memory: Memory, when: str) -> Row:
    return Row(name=name, unit="MB", value=round(memory.rss, 1), note=f"{when}; {memory}")


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, default=300, help="after how many jobs memory is looked at")
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--short", action="store_true", help="50 jobs, 5 starts")
    options = parser.parse_args()
    if options.short:
        options.jobs, options.starts = 50, 5
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what runs is stopped first
    rows = asyncio.run(measure(options.jobs, options.starts))
    print(json.dumps({"rows": [row.to_json() for row in rows]}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
