"""Real jobs from submit to stored output through the embedded system: one agent with two slots, everything on this machine.

    python bench/jobs.py [--jobs 300] [--rounds 5]

Two jobs, as for the peers in `bench/peers`: `true` runs /bin/true; `script` runs a script of its own, whose line on stdout
must come back. Each round submits all at once and ends when all outputs lie in their place; each is looked into. The queue
is in Redis with its append-only file and `appendfsync always`. Then: the time from a submit until the payload runs, with
the agent idle. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import tarfile
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from copilot.client.submission import Submission, submit
from copilot.files.area import FileArea
from copilot.files.staging import DiskStaging
from copilot.job import State
from copilot.local.redis import Redis
from copilot.local.system import LocalSystem
from copilot.store.base import Store
from copilot.store.redis import RedisStore

SLOTS = 2
LIMIT_S = 120.0  # for one round
LATENCIES = 30
SUBMITTED_AT_ONCE = 32


class System(LocalSystem):
    """The embedded system, with more slots."""

    def _environment(self, variables: Sequence[tuple[str, str]]) -> dict[str, str]:
        return super()._environment([*variables, ("AGENT_SLOTS", str(SLOTS))])


class Bench:
    """One running system."""

    def __init__(self, system: System, store: Store, directory: Path) -> None:
        self._done = system.places.done
        self._staging = DiskStaging(FileArea(system.places.area), agents=())
        self._store = store
        self._directory = directory
        self._round = self._total = 0
        self._at_once = asyncio.Semaphore(SUBMITTED_AT_ONCE)

    async def rate(self, kind: str, jobs: int) -> float:
        """Jobs a second, from the first submit to the last output in its place."""
        self._round += 1
        names = [f"{kind}-{self._round}-{number}" for number in range(jobs)]
        submissions = [self._submission(kind, name) for name in names]
        began = time.perf_counter()
        await asyncio.gather(*(self._submit(one) for one in submissions))
        await self._all_done(self._round_total(jobs))
        seconds = time.perf_counter() - began
        for name in names:
            self._check(kind, name)
        return jobs / seconds

    async def latency(self) -> float:
        """Seconds from before a submit until its payload has written down that it runs."""
        self._round += 1
        mark = self._directory / f"mark-{self._round}"
        script = self._script(f"latency-{self._round}", f"date +%s.%N > {mark}")
        await asyncio.sleep(0.2)  # an idle fleet is what is measured, not one that has just ended a job
        began = time.time()
        await submit(Submission(id=script.stem, command=script), self._store, self._staging)
        await self._all_done(self._round_total(1))
        return float(await asyncio.to_thread(mark.read_text)) - began

    async def _submit(self, submission: Submission) -> None:
        async with self._at_once:
            await submit(submission, self._store, self._staging)

    def _submission(self, kind: str, name: str) -> Submission:
        line = "exec /bin/true" if kind == "true" else f"echo {name}-was-here"
        return Submission(id=name, command=self._script(name, line))

    def _script(self, name: str, line: str) -> Path:
        path = self._directory / f"{name}.sh"
        path.write_text(f"#!/bin/sh\n{line}\n")
        return path

    def _round_total(self, jobs: int) -> int:
        self._total += jobs
        return self._total

    async def _all_done(self, total: int) -> None:
        async with asyncio.timeout(LIMIT_S):
            async for _ in _looks():
                if await self._over(total):
                    return

    async def _over(self, total: int) -> bool:
        return (await self._store.counts())[State.DONE] >= total and not await self._store.unpublished()

    def _check(self, kind: str, name: str) -> None:
        with tarfile.open(self._done / name / f"{name}.tgz") as package:
            file = package.extractfile(f"{name}/stdout")
            said = "" if file is None else file.read().decode()
        if said != ("" if kind == "true" else f"{name}-was-here\n"):
            raise RuntimeError(f"job {name} came back with {said!r}")


async def _looks() -> AsyncIterator[None]:
    """Looks at the queue, 5 ms apart: a hundredth of the shortest round."""
    while True:
        yield
        await asyncio.sleep(0.005)


def _prepared(directory: Path) -> Path:
    """The agent runs as another user: it looks into the one and writes into the other."""
    directory.chmod(0o755)
    (directory / "scripts").mkdir()
    (directory / "scripts").chmod(0o777)
    return directory


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """All rounds on one system."""
    with tempfile.TemporaryDirectory(prefix="copilot-bench-") as name:
        directory = _prepared(Path(name))
        system = System(directory / "system")
        async with system.running():
            store = RedisStore.from_url(Redis(system.places.root / "redis").url)
            bench = Bench(system, store, directory / "scripts")
            await bench.rate("true", 20)  # warm
            rates: dict[str, list[float]] = {"true": [], "script": []}
            for _ in range(options.rounds):
                for kind, found in rates.items():
                    found.append(round(await bench.rate(kind, options.jobs), 1))
            latencies = sorted([await bench.latency() for _ in range(LATENCIES)])
            await store.close()
    return {
        "jobs per second": {
            kind: {"median": statistics.median(found), "rounds": found} for kind, found in rates.items()
        },
        "submit to start, ms": {
            "median": round(statistics.median(latencies) * 1000, 1),
            "largest": round(latencies[-1] * 1000, 1),
        },
        "machine": {
            "cores": os.cpu_count(),
            "python": platform.python_version(),
            "system": platform.platform(),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=5)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
