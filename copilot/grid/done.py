"""The generic finisher: outputs of done and failed jobs lie below one directory, as the report has it (section 4.2.2).

<done>/<job>/<job>.tgz
"""

from __future__ import annotations

import asyncio
import errno
import io
import os
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from copilot.errors import ConfigError
from copilot.files.disk import directory, disk_errors, open_directory, open_file
from copilot.files.gathered import Gathered
from copilot.files.many import Small, write_all
from copilot.files.newfile import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, NewFile
from copilot.grid.base import Context
from copilot.job import JobRecord, check_job_id

PAUSE = 0.01  # s between two writes of small outputs


def make(context: Context) -> DoneDirectory:
    """The entry point `generic`. Raises `ConfigError`."""
    config = context.manager
    if config.done_job_dir is None:
        raise ConfigError(f"{config.key('done_job_dir')}: missing; expected where results are saved")
    try:
        config.done_job_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(
            f"the directory {config.done_job_dir} cannot be made: {error.strerror}; make it, or set "
            f"{config.key('done_job_dir')} to another one"
        ) from error
    return DoneDirectory(config.done_job_dir)


class DoneDirectory:
    """Moves outputs below `done`, which exists; implements `copilot.grid.base.Finisher`."""

    def __init__(self, done: Path) -> None:
        self._done = done
        self._small = Gathered(partial(_write_all, done), pause=PAUSE)

    async def finish(self, record: JobRecord, package: Path | None) -> None:
        """Move `package`, durably and in one step, also over file systems. One that was moved before is fine.

        Raises `TransferError`. No symlink is followed in the last two steps of its path.
        """
        if package is not None:
            await asyncio.to_thread(self._take, check_job_id(record.spec.id, submitted=True), package)

    async def finish_small(self, record: JobRecord, package: bytes) -> None:
        """As `finish`, with what is in the package. Those of the same moment are written in one go. Raises `TransferError`."""
        job = check_job_id(record.spec.id, submitted=True)
        await self._small.do(Small(job, f"{job}.tgz", package))

    def _take(self, job: str, package: Path) -> None:
        destination = self._done / job / f"{job}.tgz"
        with disk_errors(f"moving the output of job {job} to {destination}"):
            os.close(open_directory(self._done, (job,), create=True))
            try:
                _move(package, destination)
            except FileNotFoundError:
                if not destination.is_file():
                    raise
            _sweep(destination.parent)


def _move(package: Path, destination: Path) -> None:
    with directory(package.parents[1], (package.parent.name,)) as here, open_file(package.name, here) as file:
        os.fsync(file.fileno())  # a Chirp server or a shared file system may not have done it
        try:
            os.rename(package.name, destination, src_dir_fd=here)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy(file, destination)
            os.unlink(package.name, dir_fd=here)
    with directory(destination.parent) as there:
        os.fsync(there)


def _copy(source: io.FileIO, destination: Path) -> None:
    with NewFile.at(destination) as new:
        while new.copy_block(source):
            pass
        new.commit()


def _write_all(done: Path, files: Sequence[Small]) -> list[Exception | None]:
    again = [file.directory for file in files if (done / file.directory).exists()]
    failures = write_all(done, files)
    for name in again:
        with suppress(OSError):  # it is in place, and the next one may sweep
            _sweep(done / name)
    return failures


def _sweep(done: Path) -> None:
    """Remove what a crash in the middle of a copy left behind; the output itself is in place by now."""
    for leftover in done.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)
