"""The file area: where the inputs and outputs of jobs lie below one root directory.

    <root>/<job>/<relative name>        an input
    <root>/<job>.a<attempt>/<job>.tgz   the output of one attempt

The submit command, the file server and the storage manager share this layout; a file server or a Chirp
server exports the root. Ids of submitted jobs never end in `.a<digits>`, so the two kinds never meet.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import re
import shutil
import stat
from pathlib import Path

from copilot.errors import BadName
from copilot.files.base import BLOCK, FileFacts
from copilot.files.disk import directory, disk_errors, open_directory, open_file, open_file_below
from copilot.files.newfile import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, NewFile
from copilot.job import check_job_id, check_relative_name

_OUTPUT = re.compile(r"(?P<job>[^/]+)\.a(?P<attempt>[0-9]+)/(?P=job)\.tgz", re.ASCII)


def input_name(job: str, name: str) -> str:
    """Where the input `name` of `job` lies, relative to the root. Raises `BadName`."""
    return f"{check_job_id(job, submitted=True)}/{check_relative_name(name)}"


def output_name(job: str, attempt: int) -> str:
    """Where the output of an attempt (1, 2, …) lies, relative to the root. Raises `BadName`."""
    if attempt < 1:
        raise BadName(f"attempt {attempt} of job {job!r}: attempts count from 1")
    return f"{check_job_id(job, submitted=True)}.a{attempt}/{job}.tgz"


def split_input_name(path: str) -> tuple[str, str]:
    """The inverse of `input_name`: job and name. Raises `BadName`."""
    job, _, name = path.partition("/")
    return check_job_id(job, submitted=True), check_relative_name(name)


def split_output_name(path: str) -> tuple[str, int]:
    """The inverse of `output_name`: job and attempt. Raises `BadName`."""
    match = _OUTPUT.fullmatch(path)
    if match is None or output_name(match["job"], int(match["attempt"])) != path:
        raise BadName(f"{path[:300]!r}: expected '<job>.a<attempt>/<job>.tgz'")
    return match["job"], int(match["attempt"])


class FileArea:
    """The area below `root`, which exists. Methods block: call them from a thread where that matters.

    They raise `BadName` for names that are not allowed, `NoSpace` and `TransferUnavailable` (trying again
    may help), `TransferRefused` (it does not). No symlink below the root is ever followed.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def input_path(self, job: str, name: str) -> Path:
        """Where the input `name` of `job` lies."""
        return self.root / input_name(job, name)

    def output_path(self, job: str, attempt: int) -> Path:
        """Where the output of this attempt is stored until it is taken."""
        return self.root / output_name(job, attempt)

    def store_input(self, job: str, source: Path, name: str) -> FileFacts:
        """Copy `source` to its place as input `name` of `job`; the facts are those of the copy."""
        with (
            disk_errors(f"reading {source}"),
            open_file(str(source.resolve())) as file,
            NewFile.below(self.root, input_name(job, name), create=True) as new,
        ):
            while new.copy_block(file):
                pass
            new.commit()
        return new.facts

    def open_input(self, job: str, name: str) -> io.FileIO:
        """Open an input for reading."""
        with disk_errors(f"input {name!r} of job {job}"):
            return open_file_below(self.root, input_name(job, name))

    def prepare_output(self, job: str, attempt: int) -> None:
        """Make the directory that the output of this attempt goes to. Idempotent."""
        with disk_errors(f"making the output directory of job {job}, attempt {attempt}"):
            alias, _, _ = output_name(job, attempt).partition("/")
            os.close(open_directory(self.root, (alias,), create=True))

    def new_output(self, job: str, attempt: int) -> NewFile:
        """Begin to write the output of this attempt, whose directory is prepared."""
        return NewFile.below(self.root, output_name(job, attempt))

    def facts(self, job: str, attempt: int) -> FileFacts:
        """Read the output of this attempt through and say what it is."""
        what, digest, size = output_name(job, attempt), hashlib.sha256(), 0
        with disk_errors(f"reading {what}"), open_file_below(self.root, what) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
        return FileFacts(size=size, sha256=digest.hexdigest())

    def take_output(self, job: str, attempt: int, destination: Path) -> None:
        """Move the output of this attempt to `destination`, durably and in one step, also over file systems.

        The directory of `destination` is made. Idempotent: an output that was taken before is fine.
        """
        with disk_errors(f"moving the output of job {job}, attempt {attempt} to {destination}"):
            os.close(open_directory(destination.parents[1], (destination.parent.name,), create=True))
            try:
                self._move(output_name(job, attempt), destination)
            except FileNotFoundError:
                if not destination.is_file():
                    raise
            _sweep(destination.parent)

    def _move(self, relative: str, destination: Path) -> None:
        alias, name = relative.split("/")
        with directory(self.root, (alias,)) as here, open_file(name, here) as file:
            os.fsync(file.fileno())  # a Chirp server or a shared file system may not have done it
            try:
                os.rename(name, destination, src_dir_fd=here)
            except OSError as error:
                if error.errno != errno.EXDEV:
                    raise
                _copy(file, destination)
                os.unlink(name, dir_fd=here)
        with directory(destination.parent) as there:
            os.fsync(there)

    def drop_attempt(self, job: str, attempt: int) -> None:
        """Remove the directory of this attempt with all that is in it. Idempotent."""
        self._drop(output_name(job, attempt).partition("/")[0])

    def drop_inputs(self, job: str) -> None:
        """Remove all inputs of `job`. Idempotent."""
        self._drop(check_job_id(job, submitted=True))

    def _drop(self, name: str) -> None:
        with disk_errors(f"removing {self.root / name}"), directory(self.root) as root:
            try:
                kind = os.stat(name, dir_fd=root, follow_symlinks=False).st_mode
            except FileNotFoundError:
                return
            if stat.S_ISDIR(kind):
                shutil.rmtree(name, dir_fd=root)
            else:
                os.unlink(name, dir_fd=root)  # somebody put a symlink there; what it names is not ours


def _copy(source: io.FileIO, destination: Path) -> None:
    with NewFile.at(destination) as new:
        while new.copy_block(source):
            pass
        new.commit()


def _sweep(done: Path) -> None:
    """Remove what a crash in the middle of a copy left behind; the output itself is in place by now."""
    for leftover in done.glob(f"{TEMPORARY_PREFIX}*{TEMPORARY_SUFFIX}"):
        leftover.unlink(missing_ok=True)
