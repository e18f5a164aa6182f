"""Which job and which message an event is about, for the log."""

from __future__ import annotations

from copilot.job import split_alias
from copilot.log import JobRef, MessageRef
from copilot.protocol.commands import Command, RunJob


def job_ref(command: Command) -> JobRef | None:
    """The job that a command names; None if it names none, or several. Its attempt where the command tells it: peers of 2011
    hear and say `<job>.a<attempt>`."""
    if isinstance(command, RunJob):
        job = command.job
        return JobRef(*split_alias(job.id)) if job.attempt is None else JobRef(job.id, job.attempt)
    name, attempt = getattr(command, "job_id", None), getattr(command, "attempt", None)
    if not name:
        return None
    job_id, number = split_alias(name)
    return JobRef(name, attempt) if attempt or job_id == name else JobRef(job_id, number)


def message_ref(message_id: str | None, command: Command | None) -> MessageRef:
    """A message with the job that its command names."""
    job = None if command is None else job_ref(command)
    return MessageRef(message_id) if job is None else MessageRef(message_id, job.job, job.attempt)
