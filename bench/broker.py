"""The broker alone: simulated agents, real managers, a real XMPP server, and Redis with its append-only file.

    python -m bench.broker [--jobs 4000] [--rounds 5] [--agents 100] [--sets prosody …] [--managers 1 2 3]

All jobs are on the queue before the agents log in; from then on each agent holds one job at a time, and rounds of as many
finished jobs follow one another without a pause. A job is finished for its agent when its report is acknowledged, which is
when Redis has it on the disk (`appendfsync always`). Agents speak TLS. With the protocol of 2011
outputs go to a Chirp server, which is counted, too; only there uploads are part of a cycle. After the last round all outputs must be in their place, each job must
have been given once, and each report acknowledged. Prints one JSON object; CPU is that of whole processes, per job, with the
outputs' way to their place.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass

from bench.simulated.crowd import Agent, Crowd, Stuck
from bench.simulated.of2011 import Of2011
from bench.simulated.ours import Ours
from bench.simulated.uploads import Uploads
from bench.system import BenchSystem, cpu_seconds, scratch, until
from copilot.job import JobSpec, State
from copilot.store.redis import RedisStore

NEW, OLD = "extensions", "2011"  # protocols
GOALS = {("prosody", NEW): 3000.0, ("ejabberd", NEW): 5000.0, ("prosody", OLD): 500.0}
SETS = ("prosody", "ejabberd", "prosody-2011")
BATCH = 1000  # jobs in one submit
ROUND_LIMIT_S = 300.0
PUBLISH_LIMIT_S = 600.0
BUSY = 0.85  # of a core: from here on a process of one thread is taken to be the limit


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What clocks showed: seconds, and CPU seconds by part."""

    at: float
    done: int
    cpu: dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Set:
    """One measurement."""

    server: str
    protocol: str
    managers: int
    agents: int
    jobs: int
    rounds: int


class Bench:
    """One running system with its crowd."""

    def __init__(self, chosen: Set, system: BenchSystem, crowd: Crowd) -> None:
        self._set = chosen
        self._parts = system.processes()
        self._crowd = crowd

    def read(self) -> Reading:
        """All clocks now."""
        cpu = {
            part: sum(cpu_seconds(process) for process in processes)
            for part, processes in self._parts.items()
        }
        own = time.thread_time()
        return Reading(at=time.perf_counter(), done=self._crowd.books.done, cpu=cpu | {"agents": own})

    def rounds(self) -> list[Reading]:
        """One reading before the first round and one after each."""
        crowd, books, readings = self._crowd, self._crowd.books, []
        warm = self._set.jobs // 2
        for number in range(self._set.rounds + 1):
            goal = warm + number * self._set.jobs
            crowd.run(lambda goal=goal: books.done >= goal, ROUND_LIMIT_S, f"round {number}")  # type: ignore[misc]
            readings.append(self.read())
        crowd.run(lambda: books.done == self.total, ROUND_LIMIT_S, "the last jobs")
        return readings

    @property
    def total(self) -> int:
        """Jobs in all: half a round to get warm, and half a one so that the last round is not short of work."""
        return (self._set.rounds + 1) * self._set.jobs

    def check(self) -> None:
        """Each job was given once, each report was acknowledged. Raises `Stuck`."""
        books = self._crowd.books
        wrong = {
            "jobs given": len(books.claims) - self.total,
            "given again": books.given_again,
            "copies": books.copies,
            "reports not acknowledged": len(books.unconfirmed),
            "errors": sum(books.errors.values()),
        }
        if any(wrong.values()):
            raise Stuck(f"what should be 0 is not: {wrong}, {dict(books.errors)}")


async def measure(chosen: Set) -> list[dict[str, object]]:
    """One measurement on a system of its own; the rows of the table."""
    with scratch() as directory:
        system = BenchSystem(
            directory / "system",
            server=chosen.server,
            managers=chosen.managers,
            chirp=chosen.protocol == OLD,
        )
        async with system.running():
            store = system.store()
            crowd = Crowd()
            bench = Bench(chosen, system, crowd)
            await _submit(store, bench.total)
            uploads = None if system.chirp is None else Uploads("127.0.0.1", system.chirp.port)
            agents = await _agents(chosen, system, crowd, uploads)
            first = bench.read()
            for agent in agents:
                crowd.add(agent)
            try:
                readings = await asyncio.to_thread(bench.rounds)
                await _published(store, bench.total)
                last = bench.read()
                bench.check()
            finally:
                crowd.close()
                if uploads is not None:
                    uploads.close()
                await store.close()
    return _rows(chosen, first, readings, last)


async def _submit(store: RedisStore, jobs: int) -> None:
    specs = [JobSpec(id=f"job-{number:06}", command="true") for number in range(jobs)]
    for start in range(0, jobs, BATCH):
        await store.submit(specs[start : start + BATCH])


async def _agents(chosen: Set, system: BenchSystem, crowd: Crowd, uploads: Uploads | None) -> Sequence[Agent]:
    server, accounts = system.server(), await system.accounts(chosen.agents)
    if uploads is None:
        return [Ours(crowd, server, account) for account in accounts]
    return [Of2011(crowd, server, account, uploads) for account in accounts]


async def _published(store: RedisStore, jobs: int) -> None:
    """All results are at their place."""

    async def over() -> bool:
        return (await store.counts())[State.DONE] >= jobs and not await store.unpublished(1)

    await until(over, PUBLISH_LIMIT_S)


def _rows(chosen: Set, first: Reading, readings: list[Reading], last: Reading) -> list[dict[str, object]]:
    of = f"{chosen.server}, {chosen.protocol}, {chosen.managers} manager{'s' * (chosen.managers > 1)}"
    rates = [
        round((after.done - before.done) / (after.at - before.at), 1)
        for before, after in itertools.pairwise(readings)
    ]
    rate, goal = statistics.median(rates), GOALS.get((chosen.server, chosen.protocol))
    if chosen.managers > 1:
        goal = None
    return [
        {
            "name": f"job cycles: {of}",
            "unit": "jobs/s",
            "value": rate,
            "goal": goal,
            "met": None if goal is None else rate >= goal,
            "rounds": rates,
            "limit": _limit(chosen, readings[0], readings[-1]),
        },
        {
            "name": f"job cycles with outputs in their place: {of}",
            "unit": "jobs/s",
            "value": round(last.done / (last.at - first.at), 1),
            "goal": None,
            "met": None,
            "rounds": [],
        },
        *(_cpu_row(of, part, first, last) for part in last.cpu if part != "agents"),
        _cpu_row(of, "agents", readings[0], readings[-1]),
    ]


def _cpu_row(of: str, part: str, first: Reading, last: Reading) -> dict[str, object]:
    micros = (last.cpu[part] - first.cpu[part]) / (last.done - first.done) * 1e6
    return {
        "name": f"CPU of {part}: {of}",
        "unit": "µs/job",
        "value": round(micros),
        "goal": None,
        "met": None,
        "rounds": [],
    }


def _limit(chosen: Set, first: Reading, last: Reading) -> str:
    """How much of a core each part has used up during the rounds, which of them is the limit, and what one core for each
    process would allow if nothing else ran on this machine."""
    seconds, done = last.at - first.at, last.done - first.done
    spent = {part: last.cpu[part] - first.cpu[part] for part in last.cpu}
    processes = {part: chosen.managers if part == "managers" else 1 for part in spent}
    busiest = max(spent, key=lambda part: spent[part] / processes[part])
    limits = spent[busiest] / processes[busiest] / seconds >= BUSY
    used = ", ".join(f"{part} {share / seconds:.2f}" for part, share in spent.items())
    allowed = ", ".join(
        f"{part} {done / share * processes[part]:.0f}" for part, share in spent.items() if share
    )
    return (
        f"{f'one core of {busiest}' if limits else 'none of our processes'}; cores used: {used}, together "
        f"{sum(spent.values()) / seconds:.2f} of {os.cpu_count()}; jobs/s with a core for each process: {allowed}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=4000, help="in one round; a quarter of that with 2011")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--managers", nargs="+", type=int, default=[1])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    options = parser.parse_args()
    rows = []
    for name in options.sets:
        server, _, old = name.partition("-")
        for managers in [1] if old else options.managers:
            chosen = Set(
                server=server,
                protocol=old or NEW,
                managers=managers,
                agents=options.agents,
                jobs=options.jobs // (4 if old else 1),
                rounds=options.rounds,
            )
            found = asyncio.run(measure(chosen))
            for row in found:
                print(*(row.get(key, "") for key in ("name", "value", "unit", "limit")), file=sys.stderr)
            rows += found
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()}
    print(json.dumps({"rows": rows, "machine": machine}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
