"""Which job and which message an event is about, for the log."""

from __future__ import annotations

from copilot.job import split_alias
from copilot.log import JobRef, MessageRef
from copilot.protocol.commands import Command, RunJob


def job_ref(command: Command) -> JobRef | None:
    """The job that a command names; None if it names none, or several. Its attempt where the command tells it."""
    if isinstance(command, RunJob):
        return _ref(command.job.id, command.job.attempt)
    return _ref(getattr(command, "job_id", None), getattr(command, "attempt", None))


def message_ref(message_id: str | None, command: Command | None) -> MessageRef:
    """A message with the job that its command names."""
    job = None if command is None else job_ref(command)
    return MessageRef(message_id) if job is None else MessageRef(message_id, job.job, job.attempt)


def _ref(name: str | None, attempt: int | None) -> JobRef | None:
    """Peers of 2011 say `<job>.a<attempt>`, and for the first attempt the job's id alone."""
    if not name or attempt is not None:
        return JobRef(name, attempt) if name else None
    job, number = split_alias(name)
    return JobRef(job, None if job == name else number)
