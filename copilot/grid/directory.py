"""A source for people and scripts: a directory of job files. The worked example of docs/howto-adapters.md.

    <path>/NAME.json            a job, put there by renaming; files it names lie beside it or below
    <path>/taken/NAME.json      it is on the queue
    <path>/rejected/NAME.json   it is not, and NAME.error says why

Names that begin with '.' or do not end in .json are left alone: that is where a file is written before it is renamed.
Whoever may write here may submit jobs, but see nothing that we can read: no symlink is followed, so all that a
job gets lies below the directory.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import hashlib
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from copilot.config.kinds import PATH
from copilot.errors import BadName, ConfigError, JobExists, TransferError, TransferRefused
from copilot.files.disk import directory, disk_errors, open_directory, open_file_below
from copilot.files.newfile import NewFile
from copilot.grid.base import Context, Intake
from copilot.grid.jobfile import MAX_BYTES, JobFile, parse
from copilot.job import one_line
from copilot.log import JobRef, rate_limited

log = logging.getLogger("copilot.grid")

LOOK_EVERY = 1.0  # s
ENDING = ".json"
TAKEN = "taken"
REJECTED = "rejected"


def make(context: Context) -> JobDirectory:
    """The entry point `directory`. Raises `ConfigError`."""
    try:
        path = PATH.convert(context.settings["PATH"])
        if not path.is_dir() or not os.access(path, os.R_OK | os.W_OK | os.X_OK):
            raise ValueError
    except (KeyError, ValueError):
        raise ConfigError(
            f"SOURCE_{context.name.upper()}_PATH: expected the absolute path of a directory where job files are put, "
            "which this user may read and write"
        ) from None
    return JobDirectory(path, context.state_dir)


class JobDirectory:
    """Takes job files from the directory `path`; implements `copilot.grid.base.JobSource`.

    Files are copied to a directory in `state_dir`, where nobody else can write, before they are staged.
    """

    def __init__(self, path: Path, state_dir: Path) -> None:
        self._path = path
        self._copies = state_dir / hashlib.sha256(bytes(path)).hexdigest()[:16]

    async def run(self, intake: Intake) -> None:
        """Look for job files again and again."""
        while True:
            await self.look(intake)
            await asyncio.sleep(LOOK_EVERY)

    async def look(self, intake: Intake) -> None:
        """Take all job files that lie there now; none if another manager is at it."""
        with disk_errors(f"source directory {self._path}"), _alone_in(self._path) as alone:
            if alone:
                for name in await asyncio.to_thread(_job_files, self._path):
                    await self._take(name, intake)

    async def _take(self, name: str, intake: Intake) -> None:
        """First the job is safe, then its file moves: after a crash between the two it is submitted once more."""
        shown = self._path / name
        try:
            job, copies = await asyncio.to_thread(_prepare, self._path, name, self._copies)
            await intake.submit(job.spec, copies)
        except (BadName, JobExists, ValueError, OverflowError) as error:
            log.error("%s: refused: %s", shown, one_line(str(error)))
            await asyncio.to_thread(_reject, self._path, name, str(error))
        except TransferError as error:
            rate_limited(log, shown, logging.WARNING, "%s: %s; trying again", shown, one_line(str(error)))
        else:
            log.info("%s: taken from %s", JobRef(job.spec.id), shown)
            await asyncio.to_thread(_move, self._path, name, TAKEN)
        finally:
            await asyncio.to_thread(shutil.rmtree, self._copies, ignore_errors=True)


@contextlib.contextmanager
def _alone_in(path: Path) -> Iterator[bool]:
    """Whether no other manager is at work here; the kernel gives the lock back however we end (flock(2))."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
    lock = os.open(path / ".lock", flags, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        yield False
    else:
        yield True
    finally:
        os.close(lock)


def _job_files(path: Path) -> Sequence[str]:
    return sorted(
        entry.name
        for entry in path.iterdir()
        if entry.name.endswith(ENDING) and not entry.name.startswith(".")
    )


def _prepare(path: Path, name: str, copies: Path) -> tuple[JobFile, dict[str, Path]]:
    """The job, and its files as names in its directory to copies in the new directory `copies`.

    Raises `BadName` for what is wrong with them, other `TransferError`s for what is wrong with the disk.
    """
    shutil.rmtree(copies, ignore_errors=True)
    copies.mkdir(mode=0o700)
    try:
        with disk_errors(f"reading {name}"), open_file_below(path, name) as file:
            job = parse(name.removesuffix(ENDING), file.read(MAX_BYTES + 1))
        copied = {}
        for number, (inside, relative) in enumerate(job.files.items()):
            copied[inside] = copies / str(number)
            _copy(path, relative, copied[inside])
    except TransferRefused as error:
        raise BadName(str(error)) from error
    return job, copied


def _copy(path: Path, relative: str, copy: Path) -> None:
    with disk_errors(f"reading {relative}"), open_file_below(path, relative) as file, NewFile.at(copy) as new:
        while new.copy_block(file):
            pass
        new.commit()


def _reject(path: Path, name: str, reason: str) -> None:
    """The reason first, so that no file lies there without one."""
    note = f"{REJECTED}/{name.removesuffix(ENDING)}.error"
    with NewFile.below(path, note, create=True) as new:
        new.write(f"{reason}\n".encode(errors="backslashreplace"))
        new.commit()
    _move(path, name, REJECTED)


def _move(path: Path, name: str, below: str) -> None:
    with disk_errors(f"moving {path / name} to {below}"), directory(path) as here:
        there = open_directory(path, (below,), create=True)
        try:
            os.rename(name, name, src_dir_fd=here, dst_dir_fd=there)
            os.fsync(there)
            os.fsync(here)
        finally:
            os.close(there)
