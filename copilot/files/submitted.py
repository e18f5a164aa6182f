"""The inputs of jobs that are submitted from afar, in a file area on this machine, and where their outputs are fetched."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from copilot.files.area import FileArea
from copilot.files.base import FileFacts
from copilot.files.signing import UrlSigner
from copilot.files.staging import DiskStaging
from copilot.job import JobSpec


class SubmittedFiles:
    """Implements `copilot.jobmanager.submissions.SubmittedFiles`."""

    def __init__(
        self, area: FileArea, urls: UrlSigner, staging: DiskStaging, *, serves_results: bool
    ) -> None:
        """`serves_results`: finished jobs' outputs lie where the file server finds them."""
        self._area = area
        self._urls = urls
        self._staging = staging
        self._serves_results = serves_results

    def upload_url(self, job: str, name: str, size: int, sha256: str, expires_in: float) -> str:
        """Where this file is written to; no other one is taken there."""
        return self._urls.upload_url(job, name, expires_in, FileFacts(size=size, sha256=sha256))

    def result_url(self, job: str, expires_in: float) -> str | None:
        """Where the output of a finished job is read."""
        return self._urls.result_url(job, expires_in) if self._serves_results else None

    async def missing(self, spec: JobSpec) -> frozenset[str]:
        """The names of inputs that are not there. What is there was compared with its SHA-256 before it got its name."""
        return await asyncio.to_thread(self._missing, spec)

    async def keep(self, spec: JobSpec, contents: Mapping[str, bytes]) -> None:
        """Write small inputs, durably; let agents that come by Chirp read all of them."""
        await asyncio.to_thread(self._write, spec, contents)
        await self._staging.admit(spec.id)

    async def drop(self, job: str, staged: str) -> None:
        """Remove the inputs of one submission."""
        await asyncio.to_thread(self._area.drop_staged, job, staged)

    def _missing(self, spec: JobSpec) -> frozenset[str]:
        there = self._area.has_input
        return frozenset(
            item.name for item in spec.inputs if not there(spec.id, spec.staged_name(item.name), item.size)
        )

    def _write(self, spec: JobSpec, contents: Mapping[str, bytes]) -> None:
        for name, data in contents.items():
            place = spec.staged_name(name)
            self._area.prepare_input(spec.id, place)
            with self._area.new_input(spec.id, place) as new:
                new.write(data)
                new.commit()
