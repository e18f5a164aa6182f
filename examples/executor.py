"""Calls of Python functions on agents: an estimate of pi, with a mistake and a call that was not needed.

python examples/executor.py [CONFIG]

CONFIG is a configuration file or directory of a system (`copilot up` makes DIR/etc); without it all runs in this process.
"""

import random
import sys
from concurrent.futures import Executor, as_completed
from functools import partial

import copilot
from copilot.client.executor import Executor as Connected
from copilot.local.in_process import alone


def hits(seed: int, count: int = 100_000) -> int:
    """How many of so many random points lie in the quarter of a circle."""
    number = random.Random(seed)
    return sum(number.random() ** 2 + number.random() ** 2 < 1 for _ in range(count))


def open_executor() -> Executor:
    """Where the calls go."""
    if len(sys.argv) > 1:
        return copilot.Executor(config=sys.argv[1])
    return Connected(partial(alone, agents=2))


def main() -> None:
    """As with any executor of concurrent.futures."""
    with open_executor() as executor:
        futures = [executor.submit(hits, seed) for seed in range(4)]
        total = sum(future.result() for future in as_completed(futures))
        print(f"pi is about {4 * total / 400_000:.2f}")

        print("two calls in a job:", list(executor.map(abs, [-1, -2, -3, -4], chunksize=2)))

        error = executor.submit(divmod, 1, 0).exception()
        print(f"it has raised: {type(error).__name__}")


if __name__ == "__main__":
    main()
