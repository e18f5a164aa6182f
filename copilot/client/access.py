"""The port to the system for programs that submit and wait: straight to the queue, or from afar."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

from copilot.client.operating import Answer
from copilot.client.result import Result
from copilot.client.submission import Submission
from copilot.client.tailing import Look
from copilot.job import Event
from copilot.store.watched import Stream

LARGEST_UNPACKED = 2**40  # bytes of files; what the disk does not hold is told as such


class Access(Protocol):
    """Methods raise `CopilotError`s: those that are `retryable` may be called again, with the same effect."""

    def with_secrets(self, submissions: Sequence[Submission], files: Mapping[str, Path]) -> list[Submission]:
        """The same jobs with what is in these files as secrets, sealed for the service. Raises `BadName`, `ConfigError`."""
        ...

    async def submit(self, submissions: Sequence[Submission]) -> None:
        """Put these jobs on the queue, and their files where agents find them. The very same once more changes nothing.

        Raises as `copilot.client.submission.submit`.
        """
        ...

    async def look(self, job: str) -> Result:
        """How the job stands. Raises `UnknownJob`."""
        ...

    async def ended(self, job: str, begun: Callable[[], None] = lambda: None) -> Result:
        """Wait until the job is over, outages included. `begun` is called, perhaps more than once, when an agent has got it.

        Raises `UnknownJob`.
        """
        ...

    async def cancel(self, job: str, reason: str) -> Answer:
        """Have the job end; a job that is not known is an answer."""
        ...

    async def fetch(self, job: str, path: Path) -> bool:
        """Have the packed output of a job that is over at `path`, checked by its size and SHA-256; False if it has none.

        Raises `TransferError`, `UnknownJob`.
        """
        ...

    def reading(self, job: str, stream: Stream) -> Look:
        """How to ask what the job has printed (`copilot.client.tailing`)."""
        ...

    def events(self, after: str) -> AsyncIterator[Event]:
        """All that happens on the queue behind an event ("$": from now on). Raises `RemoteRefused` from afar."""
        ...
