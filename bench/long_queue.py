"""A long queue: claims from 1,000 and from 1,000,000 waiting jobs, in one group and in 1,000, and submits in bulk.

    python bench/long_queue.py [--jobs 1000000] [--groups 1000] [--rounds 5] [--claims 1000]

A Redis of its own with its append-only file and `appendfsync always`; one manager's view of it, `RedisStore`. In each round
claims are made from the short queue and from the long one, and what was claimed is put back by as many new jobs. The
agents' hosts differ in memory, cores and tags, and their free memory changes all the time; half of the requests bring
that along, as `getJob` does, half do not, as `jobDone`. The first claim of each host has rows of its own; then 4,000 more are made
before the rounds, so that most hosts have met most groups. Prints one JSON object.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import random
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from copilot.job import JobSpec
from copilot.local.redis import Redis
from copilot.store.base import Parking
from copilot.store.redis import RedisStore

SHORT = 1000  # jobs
BATCH = 1000  # jobs in one submit
IN_FLIGHT = 4  # submits
REFILL = 100  # claims after which what was claimed is put back
HOSTS = 200
WARM = 4000  # claims
TAGS = 10
CLAIM_MS, RATIO, SUBMITS = 5.0, 1.5, 20_000.0  # the goals


class Cpu:
    """Seconds of CPU: of this process, and of the Redis server."""

    def __init__(self, server: int) -> None:
        """`server` is the number of its process."""
        self._stat = Path(f"/proc/{server}/stat")

    def used(self) -> tuple[float, float]:
        """Since both began."""
        fields = self._stat.read_text().rpartition(")")[2].split()
        return time.process_time(), (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def since(self, before: tuple[float, float]) -> tuple[float, float]:
        now = self.used()
        return now[0] - before[0], now[1] - before[1]


class Queue:
    """One queue of so many jobs in so many groups (0: jobs without requirements)."""

    def __init__(self, url: str, name: str, jobs: int, groups: int) -> None:
        self.store = RedisStore.from_url(url, prefix=f"{name}:")
        self.jobs = jobs
        self._random = random.Random(1)
        self._groups = [_requirements(number) for number in range(groups)] or [""]
        self._random.shuffle(self._groups)
        self._numbers = itertools.count()
        self._requests = itertools.count()

    def specs(self, count: int) -> list[JobSpec]:
        """New jobs, in all groups by turns."""
        numbers = itertools.islice(self._numbers, count)
        return [self._spec(number) for number in numbers]

    def _spec(self, number: int) -> JobSpec:
        requirements = self._groups[number % len(self._groups)]
        return JobSpec(
            id=f"job-{number}", command="run.sh", arguments=f"--event {number}", requirements=requirements
        )

    async def fill(self, slices: int, cpu: Cpu) -> list[tuple[float, float, float]]:
        """Submit all; jobs a second in each slice, and µs of CPU for each: of this process, and of Redis."""
        found = []
        for _ in range(slices):
            specs = self.specs(self.jobs // slices)
            began, before = time.perf_counter(), cpu.used()
            await self.submit(specs)
            rate, (ours, theirs) = len(specs) / (time.perf_counter() - began), cpu.since(before)
            found.append((rate, ours * 1e6 / len(specs), theirs * 1e6 / len(specs)))
        return found

    async def submit(self, specs: Sequence[JobSpec]) -> None:
        gate = asyncio.Semaphore(IN_FLIGHT)

        async def one(batch: Sequence[JobSpec]) -> None:
            async with gate:
                await self.store.submit(batch)

        await asyncio.gather(*(one(specs[at : at + BATCH]) for at in range(0, len(specs), BATCH)))

    async def first_claims(self) -> list[float]:
        """Milliseconds for the first claim of each host."""
        return [await self.claim(host, tell=True) for host in range(HOSTS)]

    async def claims(self, count: int) -> list[float]:
        """Milliseconds of each claim."""
        taken: list[float] = []
        while len(taken) < count:
            waiting = await self.store.waiting()
            taken += [await self.claim(self._random.randrange(HOSTS), tell=n % 2 == 0) for n in range(REFILL)]
            await self.submit(self.specs(waiting - await self.store.waiting()))
        return taken

    async def round_trips(self, count: int) -> float:
        """Of a claim, on average."""
        before = self.store.round_trips
        for number in range(count):
            await self.claim(self._random.randrange(HOSTS), tell=number % 2 == 0)
        return (self.store.round_trips - before) / count

    async def claim(self, host: int, *, tell: bool) -> float:
        said = _host(host, self._random) if tell else ""
        agent = f"agent-{host}@bench"
        began = time.perf_counter()
        await self.store.claim(
            agent=agent,
            request=f"{next(self._requests)}",
            dispatch_limit=1e6,
            lease=60.0,
            host=said,
            park=Parking(jid=f"{agent}/1", features=("direct", "lease", "push", "slots", "storage")),
        )
        return (time.perf_counter() - began) * 1000


def _requirements(number: int) -> str:
    memory, cores, tag = number % 10, number // 10 % 10, number // 100
    free = f" && other.FreeMemory >= {memory * 100}" if number % 20 == 0 else ""
    member = f'member("tag-{tag % TAGS}", other.Tags)'
    return f"other.Memory >= {memory * 1000 + tag} && other.Cores > {cores} && {member}{free}"


def _host(number: int, chance: random.Random) -> str:
    fixed = random.Random(number)
    memory, cores = fixed.randrange(1000, 16000), fixed.choice([1, 2, 4, 8, 16])
    tags = ", ".join(f'"tag-{tag}"' for tag in range(TAGS) if fixed.random() < 0.5)
    free = int(memory * chance.uniform(0.80, 0.85))
    return (
        f'[ Requirements = ( other.Type == "Job" ); Platform = "Linux-x86_64"; WNHost = "node-{number}"; Memory = {memory}; '
        f'Type = "machine"; Uname = "6.1.0"; FreeMemory = {free}; Swap = 0; FreeSwap = 0; Cores = {cores}; Tags = {{ {tags} }} ]'
    )


def row(
    name: str, unit: str, rounds: Sequence[float], goal: str = "", *, met: bool | None = None
) -> dict[str, Any]:
    """One line of the table; its value is the median of the rounds."""
    value = round(statistics.median(rounds), 3)
    return {
        "name": name, "unit": unit, "value": value, "goal": goal or None, "met": met, "rounds": [round(x, 3) for x in rounds],
    }  # fmt: skip


def at_most(name: str, unit: str, rounds: Sequence[float], goal: float) -> dict[str, Any]:
    return row(name, unit, rounds, f"<= {goal:g}", met=statistics.median(rounds) <= goal)


def part(times: Sequence[float], share: float) -> float:
    return sorted(times)[min(int(len(times) * share), len(times) - 1)]


async def measure_queue(options: argparse.Namespace, groups: int) -> Iterator[dict[str, Any]]:
    """All about queues with so many groups, on a server of its own."""
    kind = f"{groups:,} groups" if groups else "one group"
    with tempfile.TemporaryDirectory(prefix="copilot-bench-") as directory:
        server = Redis(Path(directory))
        await server.start()
        try:
            short, long = (
                Queue(server.url, name, jobs, groups)
                for name, jobs in (("short", SHORT), ("long", options.jobs))
            )
            await long.store.raw("CONFIG SET", "maxmemory", "0")
            empty = await _memory(long.store)
            cpu = Cpu(await _process(long.store))
            submits = await long.fill(5, cpu)
            memory = await _memory(long.store) - empty
            await short.fill(1, cpu)
            cold = await long.first_claims()
            await short.first_claims()
            times: dict[Queue, list[list[float]]] = {short: [], long: []}
            for queue in times:
                await queue.claims(WARM)
            trips: list[float] = []
            used: list[tuple[float, float]] = []
            for _ in range(options.rounds):
                for queue, found in times.items():
                    found.append(await queue.claims(options.claims))
                before = cpu.used()
                trips.append(await long.round_trips(REFILL))
                used.append(cpu.since(before))
            for queue in times:
                await queue.store.close()
        finally:
            await server.stop()
    names = {short: f"{SHORT:,} jobs", long: f"{options.jobs:,} jobs"}
    of = f"{kind}, {names[long]}"
    rates = [rate for rate, *_ in submits]
    rows = [
        row(
            f"submit in bulk, {kind}",
            "jobs/s",
            rates,
            f">= {SUBMITS:g}",
            met=statistics.median(rates) >= SUBMITS,
        ),
        row(f"CPU of the submitter for a job, {kind}", "us", [one for _, one, _ in submits]),
        row(f"CPU of Redis for a submitted job, {kind}", "us", [one for _, _, one in submits]),
        row(f"memory, {of}", "bytes a job", [memory / options.jobs]),
        row(f"first claim of a host p50, {of}", "ms", [part(cold, 0.5)]),
        row(f"first claim of a host p99, {of}", "ms", [part(cold, 0.99)]),
        row(f"round trips of a claim, {of}", "", trips),
        row(f"CPU of the manager for a claim, {of}", "us", [one * 1e6 / REFILL for one, _ in used]),
        row(f"CPU of Redis for a claim, {of}", "us", [one * 1e6 / REFILL for _, one in used]),
    ]
    for queue, name in names.items():
        rows.append(row(f"claim p50, {kind}, {name}", "ms", [part(one, 0.5) for one in times[queue]]))
        rows.append(
            at_most(f"claim p99, {kind}, {name}", "ms", [part(one, 0.99) for one in times[queue]], CLAIM_MS)
        )
    for share in (0.5, 0.99):
        ratios = [part(x, share) / part(y, share) for x, y in zip(times[long], times[short], strict=True)]
        rows.append(
            at_most(
                f"claim p{share * 100:g}, {kind}, {names[long]} to {names[short]}", "times", ratios, RATIO
            )
        )
    return iter(rows)


async def _memory(store: RedisStore) -> int:
    return int((await store.raw("INFO", "memory"))["used_memory"])


async def _process(store: RedisStore) -> int:
    return int((await store.raw("INFO", "server"))["process_id"])


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """One group first, then many."""
    rows = [row for groups in (0, options.groups) for row in await measure_queue(options, groups)]
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    return {"rows": rows, "machine": machine}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=1_000_000)
    parser.add_argument("--groups", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--claims", type=int, default=1000)
    print(json.dumps(asyncio.run(measure(parser.parse_args())), indent=1))


if __name__ == "__main__":
    main()
