"""Co-Pilot itself, as the peers are run: the embedded system, one agent with two slots, everything on this machine.

    BENCH_APPENDFSYNC=always python -m bench.peers.copilot --jobs 1000

`true` stages a file whose first line names /bin/true, so that the kernel starts just that; `script` stages a script of
the job's own, whose line on stdout must come back. A batch is submitted at once, and over when all outputs lie in their
place; each is looked into then. Prints one JSON object a line for each batch, as `bench.peers.harness` does.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import signal
import sys
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from importlib.metadata import version
from pathlib import Path

import redis

from bench.peers import jobs
from bench.peers.harness import LIMIT_S, SLOTS, WARM_UP
from bench.peers.jobs import TRUE, Outcome
from copilot.client.submission import Submission, submit
from copilot.files.area import FileArea
from copilot.files.staging import DiskStaging
from copilot.job import State
from copilot.local.process import Child
from copilot.local.redis import Redis
from copilot.local.system import LocalSystem, command_path
from copilot.store.redis import RedisStore

BASH = "/bin/bash"  # tells the time without another process
MARK_S = 0.02  # between two looks for the mark of a payload; the time stands in it
SUBMITTED_AT_ONCE = 32
LOOK_S = 0.02  # between two looks at the queue: little beside the shortest batch, and little load


class System(LocalSystem):
    """The embedded system, with as many slots as each peer has."""

    async def start_agent(self, name: str) -> Child:
        """One more agent, by the configuration that is kept for another machine. It was started when this returns."""
        work, log = self.places.work / name, self.log_of(name)
        return await Child.start(
            [command_path("copilot-agent"), "--config", self.spare_agent],
            log=log,
            user=None,
            env=self._environment([("AGENT_WORK_DIR", str(work)), ("AGENT_DRAIN_GRACE", "0")]),
            cwd=self.places.root,
        )

    def _environment(self, variables: Sequence[tuple[str, str]]) -> dict[str, str]:
        return super()._environment([*variables, ("AGENT_SLOTS", str(SLOTS))])


class Running:
    """A system that runs, and who submits to it."""

    def __init__(self, system: System, store: RedisStore, scripts: Path) -> None:
        """`scripts` is where what is submitted is written; agents may write there, too."""
        self.system = system
        self.scripts = scripts
        self.store = store
        self._staging = DiskStaging(FileArea(system.places.area), agents=())
        self._at_once = asyncio.Semaphore(SUBMITTED_AT_ONCE)
        self._batches = self._total = 0

    async def batch(self, kind: str, count: int) -> float:
        """Seconds from the first submit until the last output is in its place; each is checked after that."""
        self._batches += 1
        names = [f"{kind}-{self._batches}-{number}" for number in range(count)]
        texts = jobs.batch(kind, count)
        began = time.perf_counter()
        await asyncio.gather(*(self._submit(*job) for job in zip(names, texts, strict=True)))
        await self.done(count)
        seconds = time.perf_counter() - began
        jobs.check(kind, await asyncio.to_thread(lambda: list(map(self._outcome, names))), count)
        return seconds

    async def warm_up(self) -> None:
        """As the peers are before their first round."""
        for kind in jobs.KINDS:
            await self.batch(kind, WARM_UP)

    async def submit(self, name: str, text: str, **inputs: Path) -> None:
        """One job with this text as its command."""
        script = self.scripts / f"{name}.sh"
        script.write_text(text)
        await submit(Submission(id=name, command=script, inputs=inputs), self.store, self._staging)

    async def started(self, name: str, *, agent: Callable[[], Awaitable[None]] | None = None) -> float:
        """Seconds until the payload of a job runs: from before its submit or, if there is an `agent` to start, its start."""
        mark = self.scripts / f"{name}.mark"
        began = time.time()
        await self.submit(name, f"#!{BASH}\necho ${{EPOCHREALTIME/,/.}} > {mark}\n")
        if agent is not None:
            began = time.time()
            await agent()
        async with asyncio.timeout(LIMIT_S):
            while not mark.exists():  # the queue is left alone meanwhile
                await asyncio.sleep(MARK_S)
        await self.done(1)
        return float(mark.read_text()) - began

    async def done(self, count: int) -> None:
        """Return when so many more jobs are done and their outputs published."""
        self._total += count
        async with asyncio.timeout(LIMIT_S):
            while not await self._over():
                await asyncio.sleep(LOOK_S)

    async def _submit(self, name: str, script: str | None) -> None:
        async with self._at_once:
            await self.submit(name, f"#!{TRUE}\n" if script is None else script)

    async def _over(self) -> bool:
        done = (await self.store.counts())[State.DONE] >= self._total
        return done and not await self.store.unpublished()

    def _outcome(self, name: str) -> Outcome:
        """Done means exit status 0; the rest is in the package."""
        with tarfile.open(self.system.places.done / name / f"{name}.tgz") as package:
            file = package.extractfile(f"{name}/stdout")
            return 0, "" if file is None else file.read().decode()


@contextlib.asynccontextmanager
async def running(appendfsync: str, *, agents: int = 1) -> AsyncIterator[Running]:
    """A system of its own, with a Redis that goes to the disk as often as `appendfsync` says."""
    with tempfile.TemporaryDirectory(prefix="copilot-bench-") as name:
        directory, scripts = Path(name), Path(name) / "scripts"
        directory.chmod(0o755)  # the agent runs as another user
        scripts.mkdir()
        scripts.chmod(0o777)  # marks are written there
        system = System(directory / "system", agents=agents, monitor=False)
        async with system.running():
            url = Redis(system.places.root / "redis").url
            with redis.Redis.from_url(url) as client:
                client.config_set("appendfsync", appendfsync)
            store = RedisStore.from_url(url)
            try:
                yield Running(system, store, scripts)
            finally:
                await store.close()


async def measure(appendfsync: str, count: int) -> None:
    """One batch of each kind."""
    named = {
        "peer": "copilot",
        "version": version("copilot-broker"),
        "durability": f"Redis append-only file, appendfsync {appendfsync}; jobs of a dead agent run again",
        "jobs": count,
    }
    async with running(appendfsync) as found:
        await found.warm_up()
        for kind in jobs.KINDS:
            print(json.dumps(named | {"job": kind, "seconds": await found.batch(kind, count)}), flush=True)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--jobs", type=int, required=True)
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # the system is stopped in order
    try:
        asyncio.run(measure(os.environ["BENCH_APPENDFSYNC"], options.jobs))
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
