"""Dask distributed: `Client.map` on a LocalCluster of two workers, one thread each, its default on two cores."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from distributed import Client, LocalCluster

from bench.peers import harness
from bench.peers.jobs import Outcome, run_job


@contextlib.contextmanager
def start() -> Iterator[harness.Submit]:
    """`pure=False`: equal calls are jobs of their own, not one result from the cache."""
    with (
        LocalCluster(n_workers=harness.SLOTS, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):

        def submit(batch: Sequence[str | None]) -> list[Outcome]:
            return client.gather(client.map(run_job, batch, pure=False))

        yield submit


if __name__ == "__main__":
    harness.main("dask", version=version("distributed"), durability="memory only", start=start)
