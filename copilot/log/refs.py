"""What a line is about: words of its text that are fields of their own in JSON lines.

    log.info("%s: handed to %s", JobRef(job, attempt), PeerRef(jid))

reads `job 7, attempt 2: handed to agent@x/a`, and its JSON line has `job`, `attempt` and `jid`. Only what the code wraps
so becomes a field: no text that somebody sends can.
"""

from __future__ import annotations

from typing import NamedTuple


class JobRef(NamedTuple):
    """A job, or one attempt of it."""

    job: str
    attempt: int | None = None

    def __str__(self) -> str:
        return f"job {self.job}" if self.attempt is None else f"job {self.job}, attempt {self.attempt}"


class MessageRef(NamedTuple):
    """A message, by its id on the wire, and the job that it is about."""

    message_id: str | None
    job: str | None = None
    attempt: int | None = None

    def __str__(self) -> str:
        text = self.message_id or "without an id"
        return text if self.job is None else f"{text} about {JobRef(self.job, self.attempt)}"


class PeerRef(NamedTuple):
    """Who is at the other end."""

    jid: str

    def __str__(self) -> str:
        return self.jid


def fields(args: object) -> dict[str, str | int]:
    """The fields of those among a record's arguments that are one of ours. Of two jobs the first one counts."""
    found: dict[str, str | int] = {}
    for arg in args if isinstance(args, tuple) else ():
        if isinstance(arg, PeerRef):
            found.setdefault("jid", arg.jid)
        elif isinstance(arg, JobRef | MessageRef):
            if (
                arg.job is not None
                and found.setdefault("job", arg.job) == arg.job
                and arg.attempt is not None
            ):
                found.setdefault("attempt", arg.attempt)
            if isinstance(arg, MessageRef) and arg.message_id is not None:
                found.setdefault("message_id", arg.message_id)
    return found
