"""Ray: one remote task a job, two CPUs, on a local cluster of its own."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import ray

from bench.peers import harness
from bench.peers.jobs import Outcome, run_job


@contextlib.contextmanager
def start() -> Iterator[harness.Submit]:
    """`address="local"`: never somebody's cluster that runs on this machine already."""
    ray.init(
        address="local",
        num_cpus=harness.SLOTS,
        include_dashboard=False,
        log_to_driver=False,
        _node_ip_address="127.0.0.1",
        _temp_dir=os.getcwd(),  # noqa: PTH109 - Ray wants a string
    )
    task = ray.remote(num_cpus=1)(run_job)

    def submit(batch: Sequence[str | None]) -> list[Outcome]:
        return ray.get([task.remote(script) for script in batch], timeout=harness.LIMIT_S)

    try:
        yield submit
    finally:
        ray.shutdown()


if __name__ == "__main__":
    harness.main("ray", version=version("ray"), durability="memory only", start=start)
