"""The ports at which other systems plug in: where jobs come from, and who gets their results.

A plug-in is an object that a *factory* makes of its `Context`; `copilot.grid.plugins` finds factories by the names
of their entry points (groups `copilot.sources` and `copilot.finishers`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Protocol, runtime_checkable

from copilot.config.manager import ManagerSettings
from copilot.job import JobRecord, JobSpec
from copilot.records import dataclass
from copilot.store.base import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """What a factory gets.

    `settings` are the plug-in's own: what the configuration calls `SOURCE_<NAME>_<KEY>` (or `FINISHER_<NAME>_<KEY>`,
    the name in upper case with `_` for `-` and `.`) is here `<KEY>`, as text. `state_dir` is for what the plug-in must
    keep over a restart: nobody else uses it, and it is there.
    """

    name: str
    settings: Mapping[str, str] = field(repr=False)
    state_dir: Path
    manager: ManagerSettings
    store: Store


class Intake(Protocol):
    """What Co-Pilot does for a source."""

    async def submit(self, spec: JobSpec, files: Mapping[str, Path]) -> JobSpec:
        """Stage `files` (names in the job's directory to files on this machine), put the job on the queue, and return
        what lies there: `spec` with the files among its inputs.

        When it returns, the job is safe; the same job once more is no error and changes nothing. Raises what says
        why the job is refused, for good: `BadName` (an id, name or value that is not allowed, a missing file),
        `JobExists` (a different job has the id), `TransferRefused` (a file cannot be read), `ValueError` (a number out
        of range). Or what says to try again later: an error whose `retryable` is true.
        """
        ...

    async def adopt(self, job: str) -> bool:
        """Make the directory `<job>` where files travel, into which tools of 2011 put inputs, the one of the inputs
        of `job`: there an agent, which may write to `<job>` in its first attempt, cannot reach them.

        False if there is none. Idempotent; once the job is known nothing is moved. Raises as `submit` does.
        """
        ...


class JobSource(Protocol):
    """Brings the jobs of another system."""

    async def run(self, intake: Intake) -> None:
        """Feed jobs until cancelled. When it raises or returns, it is run again after a while.

        What was taken from the other system must survive a crash at any step: take, then `submit`, and only
        then confirm to the other system. Several managers run the same source at the same time.
        """
        ...


class Finisher(Protocol):
    """Takes the results of settled jobs to where they belong."""

    async def finish(self, record: JobRecord, package: Path | None) -> None:
        """The job is `done` or `failed` for good; `package` is its packed output on this machine, None if it has none.

        Called again after a crash, or when it raised: it must be idempotent, and `package` may have been moved away
        by then. It may take `package` away; what it leaves is removed when it has returned. Raises
        `TransferError` or OSError if it cannot be done now: it will be tried again, and the job stays as it is.
        """
        ...


@runtime_checkable
class SmallFinisher(Finisher, Protocol):
    """A finisher that takes small packages, which came with their reports, without files for them. Not every one need."""

    async def finish_small(self, record: JobRecord, package: bytes) -> None:
        """As `finish`, with what is in the package (some 16 KiB at most)."""
        ...
