"""Outputs in a file area on this machine's disk, which a file server exports, a Chirp server, or both."""

from __future__ import annotations

import asyncio
from pathlib import Path

from copilot.files.area import FileArea, output_directory
from copilot.files.base import FileFacts
from copilot.job import Output
from copilot.storagemanager.chirp import AgentRights


class DiskStorage:
    """Implements `copilot.storagemanager.directories.Storage`."""

    def __init__(self, area: FileArea, rights: AgentRights | None = None) -> None:
        """`rights` of agents on the Chirp server that exports the area, if one does."""
        self._area = area
        self._rights = rights

    async def prepare(self, job: str, attempt: int) -> None:
        """See the port."""
        if self._rights is None:
            await asyncio.to_thread(self._area.prepare_output, job, attempt)
        else:
            await self._rights.allow(output_directory(job, attempt))

    async def seal(self, job: str, attempt: int) -> FileFacts | None:
        """See the port. A Chirp server may have the file open still, and would go on to write: then a copy is sealed."""
        if self._rights is not None:
            await self._rights.withdraw(output_directory(job, attempt))
        return await asyncio.to_thread(self._area.seal, job, attempt, copy=self._rights is not None)

    async def fetch(self, job: str, attempt: int, _output: Output) -> Path:
        """See the port. Nobody could change it since it was sealed, so it is what it was then."""
        return self._area.sealed_path(job, attempt)

    async def keep(self, job: str, attempt: int, package: bytes) -> Path:
        """See the port."""
        await asyncio.to_thread(self._area.keep, job, attempt, package)
        return self._area.sealed_path(job, attempt)

    async def drop(self, job: str, attempt: int) -> None:
        """See the port."""
        if self._rights is not None:
            await self._rights.remove(output_directory(job, attempt))
        await asyncio.to_thread(self._area.drop_attempt, job, attempt)
