"""Dramatiq on Redis: one worker process of two threads; results in Redis, too.

A job is acknowledged after it has run. Threads, for they only wait for the job's process (two processes were no
quicker); and workers take many short messages at once.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from importlib.metadata import version

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from bench.peers import harness, on_redis
from bench.peers.jobs import Outcome, run_job

PREFETCH = 64

os.environ["dramatiq_queue_prefetch"] = str(PREFETCH)  # noqa: SIM112 - its name; read by the worker, our child
broker = RedisBroker(url=on_redis.URL)
broker.add_middleware(Results(backend=RedisBackend(url=on_redis.URL)))
dramatiq.set_broker(broker)
actor = dramatiq.actor(run_job, store_results=True)


@contextlib.contextmanager
def start() -> Iterator[harness.Submit]:
    """The submitter sends a group and waits for its results."""

    def submit(batch: Sequence[str | None]) -> list[Outcome]:
        group = dramatiq.group(actor.message(script) for script in batch).run()
        return list(group.get_results(block=True, timeout=round(harness.LIMIT_S * 1000)))

    with harness.python_module(
        "dramatiq", "bench.peers.dramatiq", "--processes", "1", "--threads", str(harness.SLOTS)
    ):
        yield submit


if __name__ == "__main__":
    harness.main(
        "dramatiq",
        version=version("dramatiq"),
        durability=on_redis.durability("acknowledged late"),
        start=start,
    )
