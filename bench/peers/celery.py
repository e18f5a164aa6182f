"""Celery on Redis: two prefork workers; a job is acknowledged after it has run, so a dead worker's jobs run again.

As its guide to optimising says for many short tasks, workers take many at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from celery import Celery, group

from bench.peers import harness, on_redis
from bench.peers.jobs import Outcome, run_job

PREFETCH = 64
POLL_S = 0.01  # by default, the last result of a group is seen half a second late

app = Celery("peers", broker=f"redis+socket://{on_redis.SOCKET}", backend=f"redis+socket://{on_redis.SOCKET}")
app.conf.update(
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    worker_prefetch_multiplier=PREFETCH,
    broker_connection_retry_on_startup=True,
)
task = app.task(name="run_job")(run_job)


@contextlib.contextmanager
def start() -> Iterator[harness.Submit]:
    """The submitter sends a group and gets its results as they are pushed."""

    def submit(batch: Sequence[str | None]) -> list[Outcome]:
        sent = group(task.s(script) for script in batch).apply_async()
        return sent.get(timeout=harness.LIMIT_S, interval=POLL_S)

    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    with harness.python_module(
        "celery", "-A", "bench.peers.celery", "worker", "--concurrency", str(harness.SLOTS), *quiet
    ):
        yield submit


if __name__ == "__main__":
    harness.main(
        "celery", version=version("celery"), durability=on_redis.durability("acknowledged late"), start=start
    )
