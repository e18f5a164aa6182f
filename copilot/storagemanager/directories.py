"""Where outputs go: prepared, sealed, handed to the finisher and dropped, wherever the files are."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from copilot.files.base import FileFacts
from copilot.grid.base import Finisher, SmallFinisher
from copilot.job import JobRecord, Output
from copilot.storagemanager.logic import Place


class OutputUrls(Protocol):
    """Makes the URLs to which agents put their output."""

    def output_url(self, job: str, attempt: int, expires_in: float, max_size: int) -> str:
        """Where this attempt may put at most `max_size` bytes within the next `expires_in` seconds."""
        ...


class Storage(Protocol):
    """Where the files of attempts lie. All methods may be repeated, and raise `BadName` and `TransferError`."""

    async def prepare(self, job: str, attempt: int) -> None:
        """Make the directory of an attempt, and let its agent write there."""
        ...

    async def seal(self, job: str, attempt: int) -> FileFacts | None:
        """Take the upload out of its agent's reach, then say what it is; None if there is none.

        Without a new upload it is the one that was sealed before. Raises only if we cannot look: the disk, the server,
        or our right to read, and not the upload, is at fault.
        """
        ...

    async def fetch(self, job: str, attempt: int, output: Output) -> Path:
        """The sealed file, `output`, on this machine; there is none at the path if it has been taken away already."""
        ...

    async def keep(self, job: str, attempt: int, package: bytes) -> Path:
        """Write an output that came with the report to a file on this machine, where no agent can reach it."""
        ...

    async def drop(self, job: str, attempt: int) -> None:
        """Take the right to write back, and remove all that is there of the attempt."""
        ...


class Directories:
    """Implements `copilot.storagemanager.logic.Outputs`."""

    def __init__(
        self,
        storage: Storage,
        finisher: Finisher,
        *,
        urls: OutputUrls | None = None,
        chirp: str = "",
        lifetime: float,
        max_size: int,
    ) -> None:
        """`urls` is None where files travel by Chirp alone; `chirp` is the address of the Chirp server as agents reach
        it, host:port, empty where there is none; `lifetime` of URLs in s, `max_size` of an output in bytes."""
        self._storage = storage
        self._finisher = finisher
        self._urls = urls
        self._chirp = chirp
        self._lifetime = lifetime
        self._max_size = max_size

    async def prepare(self, job: str, attempt: int) -> Place:
        """Make the attempt's directory; where its output goes."""
        await self._storage.prepare(job, attempt)
        if self._urls is None:
            return Place(chirp=self._chirp)
        url = self._urls.output_url(job, attempt, self._lifetime, self._max_size)
        return Place(url=url, chirp=self._chirp)

    async def seal(self, job: str, attempt: int) -> Output | None:
        """Size and SHA-256 of what was uploaded, which is out of its agent's reach now."""
        facts = await self._storage.seal(job, attempt)
        return None if facts is None else Output(size=facts.size, sha256=facts.sha256)

    async def publish(self, record: JobRecord, package: bytes | None = None) -> None:
        """Hand the output to the finisher, then drop the attempt."""
        job, attempt, outcome = record.spec.id, record.attempt, record.outcome
        if package is not None and isinstance(self._finisher, SmallFinisher):
            await self._finisher.finish_small(record, package)
            return
        if package is not None:
            path = await self._storage.keep(job, attempt, package)
            await self._finisher.finish(record, path)
            await asyncio.to_thread(path.unlink, missing_ok=True)
            return
        file = None
        if outcome is not None and outcome.output is not None:
            file = await self._storage.fetch(job, attempt, outcome.output)
        await self._finisher.finish(record, file)
        if attempt:  # else it ended without one
            await self.discard(job, attempt)

    async def discard(self, job: str, attempt: int) -> None:
        """Drop the attempt with all that is there of it."""
        await self._storage.drop(job, attempt)
