"""RQ on Redis: a pool of two SimpleWorkers, which do not fork for each job (the job is a process already)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from importlib.metadata import version

from redis import Redis
from rq import Queue
from rq.job import Job

from bench.peers import harness, on_redis
from bench.peers.jobs import Outcome, run_job


@contextlib.contextmanager
def start() -> Iterator[harness.Submit]:
    """The submitter enqueues all in one go and waits for each result in turn."""
    with Redis.from_url(on_redis.URL) as client:
        queue = Queue(connection=client)

        def submit(batch: Sequence[str | None]) -> list[Outcome]:
            return [
                _outcome(job)
                for job in queue.enqueue_many([Queue.prepare_data(run_job, (script,)) for script in batch])
            ]

        with harness.python_module(
            "rq.cli",
            "worker-pool",
            "--num-workers",
            str(harness.SLOTS),
            "--url",
            on_redis.URL,
            "--worker-class",
            "rq.worker.SimpleWorker",
            "--logging-level",
            "WARNING",
            "default",
        ):
            yield submit


def _outcome(job: Job) -> Outcome:
    result = job.latest_result(timeout=round(harness.LIMIT_S))
    if result is None or result.type != result.Type.SUCCESSFUL:
        raise RuntimeError(f"RQ has no result of job {job.id}: {result and result.exc_string}")
    return result.return_value


if __name__ == "__main__":
    harness.main(
        "rq", version=version("rq"), durability=on_redis.durability("jobs of a dead worker fail"), start=start
    )
