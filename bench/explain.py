"""How long `explain` and lists take on a long queue and a large fleet: `python -m bench.explain [JOBS] [GROUPS] [AGENTS]`.

A Redis server of its own is filled with a million jobs in 1,000 groups and 1,000 agents that have asked for work; then single jobs
of several kinds are explained, each with nothing remembered of the one before; and the commands are started as somebody types them.
"""

from __future__ import annotations

import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from copilot.client.explain import explain
from copilot.client.filters import Filter, every
from copilot.client.listing import first
from copilot.client.overview import overview
from copilot.host import HostFacts
from copilot.job import MAX_ARRAY, JobSpec
from copilot.local.provision import find_all
from copilot.protocol.jdl import host_jdl
from copilot.store.arrays import Slice, Wish
from copilot.store.base import Parking
from copilot.store.redis import RedisStore

BATCH = 1000
ROUNDS = 20


def host(number: int) -> str:
    """What an agent says of its host, in the words of our agents; no two say the same."""
    memory = 4096 * (1 + number % 4)
    facts = HostFacts(
        hostname=f"node{number}",
        platform="Linux-x86_64",
        uname="6.1",
        memory_mb=memory,
        free_memory_mb=1000 + number,
        swap_mb=0,
        free_swap_mb=0,
        local_disk_kb=10**8 + number,
        cores=4 * (1 + number % 8),
    )
    about: dict[str, int | str | bool] = {
        "Sandbox": "bubblewrap+pid+net",
        "Limits": "watch",
        "Network": True,
        "MaxMemory": memory,
        "MaxDisk": 1_000_000,
        "Slots": 4,
    }
    return host_jdl(facts, about)


async def fill(store: RedisStore, jobs: int, groups: int, agents: int) -> None:
    """Agents that are parked or full, then jobs."""
    for number in range(agents):
        jid = f"agent-{number}@example.org/home"
        await store.claim(
            agent=f"agent-{number}@example.org",
            request="r",
            dispatch_limit=60,
            count=4,
            host=host(number),
            park=Parking(jid=jid),
            lease=60,
        )
    for begin in range(0, jobs, BATCH):
        specs = [
            JobSpec(
                id=f"job-{number}",
                command="run.sh",
                owner=f"owner-{number % groups % 17}",
                requirements=f"other.Memory >= {1000 + number % groups} && other.Cores >= 2",
            )
            for number in range(begin, min(begin + BATCH, jobs))
        ]
        await store.submit(specs)
    await store.submit(
        [
            JobSpec(
                id="impossible",
                command="run.sh",
                requirements='other.Memory >= 99999 && member("gpu", other.Tags)',
            ),
            JobSpec(id="first", command="run.sh", requirements="other.Memory >= 16000", priority=9),
            JobSpec(
                id="last",
                command="run.sh",
                requirements="other.Memory >= 1500 && other.Cores >= 2",
                priority=-9,
            ),
        ]
    )


async def main(jobs: int, groups: int, agents: int) -> None:
    """Fill and measure."""
    with tempfile.TemporaryDirectory(prefix="copilot-bench-") as directory:
        process = await asyncio.create_subprocess_exec(
            *_command(directory), stdout=asyncio.subprocess.DEVNULL
        )
        store = RedisStore.from_url(f"unix://{directory}/s", timeout=60)
        try:
            began = time.monotonic()
            await _ready(store)
            await fill(store, jobs, groups, agents)
            print(
                f"{jobs:,} jobs, {groups:,} groups, {agents:,} agents: filled in {time.monotonic() - began:.0f} s"
            )
            for job in ("impossible", "first", "last", f"job-{jobs // 2}", "nobody"):
                await measure(store, job)
            await measure_lists(store)
            await measure_commands(directory)
            await measure_array(store, jobs)
        finally:
            await store.close()
            process.kill()
            await process.wait()


async def measure(store: RedisStore, job: str) -> None:
    """Explain one job five times."""
    took = []
    for _ in range(5):
        before, began = store.round_trips, time.perf_counter()
        reason = await explain(store, job)
        took.append((time.perf_counter() - began) * 1000)
    trips = store.round_trips - before
    print(
        f"{job:<12} {reason.code:<18} first {took[0]:6.1f} ms, then {min(took[1:]):6.1f} ms, {trips} round trips: {reason.text[:100]}"
    )


async def measure_lists(store: RedisStore, *, whole: bool = True) -> None:
    """What `copilot jobs list`, `jobs list --owner`, `jobs list --tag`, `queue` and `jobs list --all` ask, five times each; `whole`: the list of all jobs, too."""
    looks: dict[str, Callable[[], Awaitable[object]]] = {
        "list": lambda: first(store, Filter()),
        "list --owner": lambda: first(store, Filter(owners=("owner-3",))),
        "list --tag": lambda: first(store, Filter(tags=("nobody",))),
        "queue": lambda: overview(store),
    }
    for name, look in looks.items():
        took = []
        for _ in range(5):
            before, began = store.round_trips, time.perf_counter()
            await look()
            took.append((time.perf_counter() - began) * 1000)
        print(
            f"{name:<12} first {took[0]:6.1f} ms, then {min(took[1:]):6.1f} ms, {store.round_trips - before} round trips"
        )
    if not whole:
        return
    began = time.perf_counter()
    found = [job async for job in every(store, Filter(tags=("nobody",)))]
    print(f"all, --tag   {time.perf_counter() - began:.1f} s for all jobs, {len(found)} meant")


async def measure_commands(directory: str) -> None:
    """The same as somebody types it: from the start of the program to its end, again and again."""
    _configure(directory)
    program = Path(sys.executable).with_name("copilot")
    commands: dict[str, Sequence[str | Path]] = {
        "python -c pass": (sys.executable, "-c", "pass"),
        "copilot --version": (program, "--version"),
        "copilot jobs list": (program, "jobs", "list"),
        "copilot jobs list --owner": (program, "jobs", "list", "--owner", "owner-3"),
        "copilot jobs explain, first": (program, "jobs", "explain", "first"),
        "copilot jobs explain, last": (program, "jobs", "explain", "last"),
        "copilot queue": (program, "queue"),
    }
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    environment["COPILOT_CONFIG"] = directory
    took: dict[str, list[float]] = {name: [] for name in commands}
    busy: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(ROUNDS + 1):  # the first leaves its bytecode, and is not counted
        for (
            name,
            words,
        ) in commands.items():  # by turns: a machine that others share is quicker or slower for seconds
            before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
            process = await asyncio.create_subprocess_exec(
                *words, stdout=asyncio.subprocess.DEVNULL, env=environment
            )
            if await process.wait() != 0:
                raise SystemExit(f"{name}: exit code {process.returncode}")
            took[name].append((time.perf_counter() - began) * 1000)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            busy[name].append(used * 1000)
    for name in commands:
        times, used = took[name][1:], min(busy[name][1:])
        print(
            f"{name:<28} {min(times):5.0f} ms at least, {statistics.median(times):5.0f} median, {max(times):5.0f} at most; "
            f"processor {used:5.0f} at least"
        )


async def measure_array(store: RedisStore, size: int) -> None:
    """An array of so many elements before all others: submitted, explained, listed, half of it cancelled by a slice."""
    size = min(size, MAX_ARRAY)
    array = JobSpec(id="sim", command="run.sh", requirements="other.Memory >= 16000", priority=30, array=size)
    began = time.perf_counter()
    await store.submit([array])
    print(f"array of {size:,}: submitted in {(time.perf_counter() - began) * 1000:.1f} ms")
    for job in ("sim", f"sim.{size // 2}"):
        await measure(store, job)
    await measure_lists(store, whole=False)
    began = time.perf_counter()
    done = await store.operate_slice("sim", Slice(begin=100, end=size // 2), Wish.CANCEL)
    print(f"slice: {done.changed:,} cancelled in {(time.perf_counter() - began) * 1000:.1f} ms")


async def _ready(store: RedisStore) -> None:
    while True:
        try:
            await store.counts()
        except Exception:  # noqa: BLE001  # it is starting
            await asyncio.sleep(0.05)
        else:
            return


def _configure(directory: str) -> None:
    (Path(directory) / "copilot-job-submit.conf").write_text(f"JM_REDIS_SOCKET {directory}/s\n")


def _command(directory: str) -> list[str]:
    program = next(find_all("redis-server")).program
    options = (
        "--port",
        "0",
        "--unixsocket",
        f"{directory}/s",
        "--dir",
        directory,
        "--save",
        "",
        "--appendonly",
        "no",
    )
    return [str(program), *options]


if __name__ == "__main__":
    os.nice(5)
    asyncio.run(
        main(*(int(word.replace("_", "")) for word in sys.argv[1:] or ("1_000_000", "1_000", "1_000")))
    )
