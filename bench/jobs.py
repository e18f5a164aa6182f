"""Real jobs end to end, ours beside the peers in one run; and the time from a submit until the payload runs.

    python -m bench.jobs [--short] [--rounds 5] [--jobs 1000] [--latencies 500] [contender …]

Rounds of all contenders take turns (see `bench.peers.run`). Our figure is the one with `appendfsync always`; the one
with `everysec`, as the peers on Redis have it too, stands beside. Prints one JSON object with rows.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import statistics
from collections.abc import Mapping, Sequence

from bench.peers import copilot, environments
from bench.peers.run import CONTENDERS, OURS, Result, measure, prepare
from bench.row import Row

NAMES = {"true": "/bin/true, end to end", "script": "script and stored stdout, end to end"}
DURABLE = "appendfsync always"
LATENCY = "submit to payload started, idle agent"
PAUSE_S = 0.2  # before each of these: an idle agent is what is measured, not one that has just ended a job


def rows(results: Sequence[Result], missing: Mapping[str, str]) -> list[Row]:
    """One row for each job, with all peers in it."""
    return [_row(job, [one for one in results if one.job == job], missing) for job in NAMES]


def _row(job: str, results: Sequence[Result], missing: Mapping[str, str]) -> Row:
    ours = {one.durability: one for one in results if one.name == OURS}
    durable = next((one for durability, one in ours.items() if DURABLE in durability), None)
    peers = {
        f"{one.name} {one.version} ({one.durability})": one.jobs_per_second
        for one in results
        if one.name != OURS
    }
    said = [f"{one.jobs_per_second:.0f} with {durability}" for durability, one in ours.items()]
    said += [f"{peer} {why}" for peer, why in missing.items()]
    return Row(
        name=NAMES[job],
        unit="jobs/s",
        value=None if durable is None else durable.jobs_per_second,
        rounds=() if durable is None else durable.rounds,
        peers=peers,
        note="; ".join(said),
    )


async def latencies(count: int) -> list[float]:
    """Milliseconds from before a submit until its payload runs, so often."""
    found = []
    async with copilot.running("always") as system:
        await system.warm_up()
        for number in range(count):
            await asyncio.sleep(PAUSE_S)
            found.append(1000 * await system.started(f"latency-{number}"))
    return found


def latency_rows(found: Sequence[float]) -> list[Row]:
    """The median, and what one of a hundred exceeds."""
    ranks = statistics.quantiles(found, n=100, method="inclusive")
    note = (
        f"{len(found)} submits, the longest {max(found):.1f} ms; with the staging of the script and its fsync"
    )
    return [
        Row(name=f"{LATENCY}, p{rank}", unit="ms", value=round(ranks[rank - 1], 2), note=note)
        for rank in (50, 99)
    ]


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("contenders", nargs="*", help=f"default: all of {', '.join(environments.PEERS)}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=1000, help="how many a round, of each kind")
    parser.add_argument("--latencies", type=int, default=500, help="how many submits to an idle agent")
    parser.add_argument("--short", action="store_true", help="3 rounds of 300 jobs, 100 submits")
    options = parser.parse_args()
    if unknown := set(options.contenders) - set(environments.PEERS):
        parser.error(
            f"nobody is called {', '.join(sorted(unknown))}; there are {', '.join(environments.PEERS)}"
        )
    if options.short:
        options.rounds, options.jobs, options.latencies = 3, 300, 100
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C: what runs is stopped first
    wanted = options.contenders or environments.PEERS
    ready, missing = prepare(one for one in CONTENDERS if one.peer in wanted)
    measured, failed = asyncio.run(measure(ready, rounds=options.rounds, jobs=options.jobs))
    found = rows(measured, missing | failed)
    if OURS in wanted:
        found += latency_rows(asyncio.run(latencies(options.latencies)))
    print(json.dumps({"rows": [row.to_json() for row in found]}, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
