"""Calls of functions: copilot.Executor beside the process pool of CPython, on one machine.

python -m bench.calls CONFIG      with the configuration of a system that runs (`copilot up --agents 2` makes DIR/etc)

An agent starts Python for each call, and a pool keeps its processes: so the two are as far apart as that. What is measured is
what a call costs, not what an agent can do.
"""

from __future__ import annotations

import statistics
import sys
import time
from concurrent.futures import Executor, ProcessPoolExecutor

import copilot

ONE_BY_ONE = 20  # calls, each when the one before has come back
MANY = 200  # calls at a time
CHUNKED = 100_000  # calls in jobs of 1,000
WORKERS = 2


def measured(executor: Executor) -> tuple[float, float, float]:
    """Median time of a call alone (ms), calls a second, calls a second in chunks."""
    executor.submit(abs, -1).result()
    times = []
    for _ in range(ONE_BY_ONE):
        began = time.perf_counter()
        executor.submit(abs, -1).result()
        times.append(time.perf_counter() - began)
    return (
        1000 * statistics.median(times),
        MANY / _taken(executor, MANY, 1),
        CHUNKED / _taken(executor, CHUNKED, 1000),
    )


def _taken(executor: Executor, count: int, chunksize: int) -> float:
    began = time.perf_counter()
    total = sum(executor.map(abs, range(count), chunksize=chunksize))
    assert total == count * (count - 1) // 2
    return time.perf_counter() - began


def main() -> None:
    """Print the table."""
    print("| | one call, ms | calls/s | calls/s in chunks of 1,000 |")
    print("|---|---|---|---|")
    for name, executor in (
        ("`ProcessPoolExecutor(2)`", ProcessPoolExecutor(WORKERS)),
        ("`copilot.Executor`, 2 agents", copilot.Executor(config=sys.argv[1])),
    ):
        with executor:
            alone, many, chunked = measured(executor)
        print(f"| {name} | {alone:.1f} | {many:,.0f} | {chunked:,.0f} |")


if __name__ == "__main__":
    main()
