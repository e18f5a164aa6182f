"""Jobs whose results are known beforehand: each attempt leaves something else."""

from __future__ import annotations

from dataclasses import dataclass

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


def output_of(job: str, attempt: int) -> Output:
    """How it is packed; the hash is what was written itself."""
    return Output(size=attempt, sha256=stdout_of(job, attempt))
