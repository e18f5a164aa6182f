"""Jobs whose results are known beforehand: each attempt leaves something else."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from copilot.agent.sandbox import LARGEST_PACKAGE
from copilot.job import JobSpec, Output, State

ENOUGH_ATTEMPTS = 100  # the network may be so bad that leases run out again and again


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One job, which always succeeds; as the judge of `tests.faults.history` wants it."""

    id: str
    priority: int
    state: State = State.DONE

    @property
    def spec(self) -> JobSpec:
        """How it is submitted."""
        return JobSpec(id=self.id, command="run.sh", priority=self.priority, max_attempts=ENOUGH_ATTEMPTS)

    def stdout(self, attempt: int) -> str:
        """What this attempt writes."""
        return stdout_of(self.id, attempt)


def stdout_of(job: str, attempt: int) -> str:
    """What an attempt writes."""
    return f"{job}/{attempt}"


def package_of(job: str, attempt: int) -> bytes:
    """How it is packed. What every other job writes is too large to go with a report."""
    large = int(job.rpartition("-")[2]) % 2
    return stdout_of(job, attempt).encode().ljust((LARGEST_PACKAGE + 1) * large, b"\n")


def small_package_of(job: str, attempt: int) -> bytes | None:
    """That, if it goes with the report."""
    package = package_of(job, attempt)
    return package if len(package) <= LARGEST_PACKAGE else None


def output_of(job: str, attempt: int) -> Output:
    """Size and hash of that."""
    package = package_of(job, attempt)
    return Output(size=len(package), sha256=hashlib.sha256(package).hexdigest())


def stdout_in(job: str, output: Output) -> str:
    """What the attempt has written of which this is the output; empty if none has made it."""
    of = (attempt for attempt in range(1, ENOUGH_ATTEMPTS + 1) if output_of(job, attempt) == output)
    return "".join(stdout_of(job, attempt) for attempt in of)
