"""Records of jobs that are settled, as the store hands them out."""

from __future__ import annotations

from copilot.job import Cause, JobRecord, JobSpec, Outcome, Output, State


def settled(
    output: Output | None, *, job: str = "j", attempt: int = 1, state: State = State.DONE
) -> JobRecord:
    """A job that has ended in this attempt, with this output."""
    return JobRecord(
        spec=JobSpec(id=job, command="run.sh"),
        state=state,
        attempt=attempt,
        attempts_used=attempt,
        agent="agent@example.org" if attempt else None,
        submitted=0.0,
        first_event="0-1",
        outcome=Outcome(cause=Cause.OK, exit_code=0, output=output),
    )
