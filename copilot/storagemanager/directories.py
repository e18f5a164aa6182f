"""Where outputs lie: prepared, checked, published and dropped in the file area, in threads of their own."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from copilot.errors import TransferRefused
from copilot.files.area import FileArea
from copilot.job import Output, check_job_id


class OutputUrls(Protocol):
    """Makes the URLs to which agents put their output."""

    def output_url(self, job: str, attempt: int, expires_in: float, max_size: int) -> str:
        """Where this attempt may put at most `max_size` bytes within the next `expires_in` seconds."""
        ...


class Directories:
    """The file area as the storage manager needs it; implements `copilot.storagemanager.logic.Outputs`."""

    def __init__(
        self, area: FileArea, done: Path, urls: OutputUrls | None, *, lifetime: float, max_size: int
    ) -> None:
        """`done` is the directory of finished jobs, which belongs to the storage manager alone; `urls` is None
        where files travel by Chirp alone; `lifetime` in s, `max_size` in bytes."""
        self._area = area
        self._done = done
        self._urls = urls
        self._lifetime = lifetime
        self._max_size = max_size

    async def prepare(self, job: str, attempt: int) -> str | None:
        """Make the attempt's directory; returns the signed URL of its output, if it has one."""
        await asyncio.to_thread(self._area.prepare_output, job, attempt)
        if self._urls is None:
            return None
        return self._urls.output_url(job, attempt, self._lifetime, self._max_size)

    async def facts(self, job: str, attempt: int) -> Output | None:
        """Size and SHA-256 of what was uploaded, or None if there is no such file.

        Raises `TransferError` if we cannot look: the disk, or our right to read, and not the upload, is at fault.
        """
        try:
            facts = await asyncio.to_thread(self._area.facts, job, attempt)
        except TransferRefused as error:
            if isinstance(error.__cause__, PermissionError) or not self._area.root.is_dir():
                raise
            return None
        return Output(size=facts.size, sha256=facts.sha256)

    async def publish(self, job: str, attempt: int) -> None:
        """Move it to `<done>/<job>/<job>.tgz`."""
        destination = self._done / check_job_id(job, submitted=True) / f"{job}.tgz"
        await asyncio.to_thread(self._area.take_output, job, attempt, destination)
        await asyncio.to_thread(self._area.drop_attempt, job, attempt)

    async def discard(self, job: str, attempt: int) -> None:
        """Drop the attempt's directory with all that is in it."""
        await asyncio.to_thread(self._area.drop_attempt, job, attempt)
