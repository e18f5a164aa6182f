"""From a job and its files on this machine to a job on the queue.

The order that loses nothing: the inputs lie complete where staging puts them, then the job goes on the queue; if it
does not get there, the inputs go away again.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from copilot.errors import BadName, ConfigError, JobExists
from copilot.files.base import BLOCK
from copilot.files.disk import disk_errors, open_file
from copilot.files.staging import Staging
from copilot.job import InputFile, JobSpec, check_job_id
from copilot.store.base import Store


class StagingIntake:
    """Implements `copilot.grid.base.Intake`."""

    def __init__(self, store: Store, staging: Staging | None) -> None:
        """`staging` is None where no place for files is configured: then jobs have none, or have them elsewhere."""
        self._store = store
        self._staging = staging

    async def submit(self, spec: JobSpec, files: Mapping[str, Path]) -> JobSpec:
        """Stage `files`, put the job on the queue: see the port. Raises also `ConfigError`, without a place for them."""
        check_job_id(spec.id, submitted=True)
        check_files(spec, files)
        known = await self._store.get(spec.id)
        if known is not None:
            return await _same(known.spec, spec, files)
        if files and self._staging is None:
            raise ConfigError(
                f"job {spec.id}: no place for its files is configured: set JM_FILES_DIR, JM_CHIRP_WORK_DIR or "
                "JM_CHIRP_SERVER"
            )
        try:
            staged = [await self._stage(spec.id, name, path) for name, path in files.items()]
            complete = replace(spec, inputs=(*spec.inputs, *staged))
            await self._store.submit([complete])
        except BaseException:
            await self._withdraw(spec.id)
            raise
        return complete

    async def adopt(self, job: str) -> bool:
        """Move the inputs of a job of 2011 to where they belong: see the port."""
        check_job_id(job, submitted=True)
        if self._staging is None:
            raise ConfigError(
                f"job {job}: its inputs may lie where its output goes, and this manager knows of no place for files: set "
                "JM_FILES_DIR, JM_CHIRP_WORK_DIR or JM_CHIRP_SERVER"
            )
        return await self._store.get(job) is not None or await self._staging.adopt(job)

    async def _stage(self, job: str, name: str, path: Path) -> InputFile:
        assert self._staging is not None
        facts = await self._staging.store(job, name, path)
        return InputFile(name=name, size=facts.size, sha256=facts.sha256)

    async def _withdraw(self, job: str) -> None:
        """Drop the inputs, unless the job may be on the queue after all."""
        with contextlib.suppress(Exception):  # the first error is the one to tell
            if self._staging is not None and await self._store.get(job) is None:
                await self._staging.drop(job)


def check_files(spec: JobSpec, files: Mapping[str, Path]) -> None:
    """Raise `BadName` for what can be seen to be wrong before a file is touched."""
    for path in files.values():
        if not path.is_file():
            raise BadName(f"job {spec.id}: {path}: expected a file that exists")
    unread = tuple(InputFile(name=name, size=0, sha256="") for name in files)
    names = {item.name for item in replace(spec, inputs=(*spec.inputs, *unread)).inputs}
    for what, needed in (("command", spec.command), ("validation script", spec.validation)):
        if needed is not None and needed not in names:
            raise BadName(f"job {spec.id}: the {what} {needed!r} is none of its files: add that file")


async def _same(known: JobSpec, spec: JobSpec, files: Mapping[str, Path]) -> JobSpec:
    """The job that is known already, if it is the one that is being submitted again (after a crash, say)."""
    read = [await asyncio.to_thread(read_facts, name, path) for name, path in files.items()]
    if replace(spec.with_secrets_of(known), inputs=(*spec.inputs, *read)) != known:
        raise JobExists(
            f"there is a job {spec.id} already, with a different description or other files: choose another id"
        )
    return known


def read_facts(name: str, path: Path) -> InputFile:
    """Size and SHA-256 of a file that is to be the input `name`. Blocks. Raises `TransferError`."""
    with disk_errors(f"reading {path}"), open_file(str(path.resolve())) as file:
        digest, size = hashlib.sha256(), 0
        while block := file.read(BLOCK):
            digest.update(block)
            size += len(block)
    return InputFile(name=name, size=size, sha256=digest.hexdigest())
