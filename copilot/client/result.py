"""How a job ended, for programs that wait for it."""

from __future__ import annotations

from dataclasses import replace
from typing import Self

from copilot.errors import JobFailed
from copilot.job import JobRecord, Output, State
from copilot.protocol.commands import HaveJobState
from copilot.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How a job stands, most often at its end.

    `cause` is a word of `copilot.job.Cause`, `exit_code` what a shell would say (signal n as 128 + n); both are of the last
    attempt, whose number `attempt` is. `tail` is the end of its stderr, if that is known here. `output` tells of the
    package that was stored.
    """

    job: str
    state: State
    exit_code: int | None = None
    cause: str = ""
    reason: str = ""
    attempt: int = 0
    agent: str = ""
    host: str = ""
    tail: str = ""
    output: Output | None = None

    @property
    def ok(self) -> bool:
        """Whether the job is done: exit code 0, and its output was accepted."""
        return self.state is State.DONE

    @property
    def ended(self) -> bool:
        """Whether the job is over, unless somebody has it run once more."""
        return self.state.final

    def check(self) -> Self:
        """Itself, if the job is done. Raises `JobFailed`."""
        if not self.ok:
            raise self.failure()
        return self

    def failure(self) -> JobFailed:
        """The error that tells of this end."""
        words = f"job {self.job}: {self.state}"
        if self.cause and self.cause != self.state:
            words += f": {self.cause}"
        if self.exit_code:
            words += f", exit code {self.exit_code}"
        if self.attempt > 1:
            words += f", in attempt {self.attempt}"  # those that were handed back were none that count
        if self.reason:
            words += f": {self.reason}"
        if self.tail:
            words += f"\n{self.tail.rstrip()}"
        return JobFailed(words, job=self.job, cause=self.cause, exit_status=self.exit_code, tail=self.tail)


def of_record(record: JobRecord) -> Result:
    """As the store has it."""
    stands = Result(job=record.spec.id, state=record.state, attempt=record.attempt, agent=record.agent or "")
    outcome = record.outcome if record.state.final else None
    if outcome is None:
        return stands
    return replace(
        stands,
        exit_code=outcome.exit_code,
        cause=outcome.cause,
        reason=outcome.reason,
        host=outcome.host,
        tail=outcome.tail,
        output=outcome.output,
    )


def of_state(state: HaveJobState) -> Result:
    """As the manager tells it by XMPP. Raises `ValueError` for a state that we do not know."""
    output = None
    if state.output_size is not None and state.output_sha256 is not None:
        output = Output(size=state.output_size, sha256=state.output_sha256)
    return Result(
        job=state.job_id,
        state=State(state.state),
        exit_code=state.exit_code,
        cause=state.cause or "",
        reason=state.reason or "",
        attempt=state.attempt or 0,
        agent=state.agent or "",
        host=state.host or "",
        output=output,
    )
