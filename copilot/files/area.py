"""The file area: where the inputs and outputs of jobs lie below one root directory.

    <root>/<job>.a0/<name>        an input; no agent ever may write here
    <root>/<alias>/<alias>.tgz    what the agent of one attempt uploads; `alias` is the job's id for the first
                                  attempt, <job>.a<attempt> for later ones, as agents of 2011 upload
    <root>/.sealed/<alias>.tgz    the same when it has been taken out of its agent's reach
    <root>/<job>.a0/<digest>/…    inputs that somebody sends from afar; the digest is over who, which job and what

The submit command, the file server, the Chirp server and the storage manager share this layout. Ids of submitted jobs
never end in `.a<digits>`, so no two kinds meet.
"""

from __future__ import annotations

import errno
import hashlib
import io
import os
import stat
from contextlib import suppress
from pathlib import Path

from copilot.errors import BadName, TransferError
from copilot.files.base import BLOCK, FileFacts
from copilot.files.disk import directory, disk_errors, open_directory, open_file_below, remove_tree
from copilot.files.newfile import NewFile
from copilot.job import alias, check_job_id, check_relative_name, split_alias

SEALED = ".sealed"  # no job id, so no agent's directory
RESULTS = ".results"  # in URLs alone: the directory of the finished jobs' outputs, wherever that is
CHIRP_PREFIX = ".__"  # of files that a Chirp server keeps in the directories of others: access lists, tickets


def input_directory(job: str) -> str:
    """Where the inputs of `job` lie, relative to the root. Raises `BadName`."""
    return alias(check_job_id(job, submitted=True), 0)


def input_name(job: str, name: str) -> str:
    """Where the input `name` of `job` lies, relative to the root. Raises `BadName`."""
    if any(part.startswith(CHIRP_PREFIX) for part in check_relative_name(name).split("/")):
        raise BadName(
            f"file name {name[:140]!r}: names with {CHIRP_PREFIX} are for Chirp servers; choose another"
        )
    return f"{input_directory(job)}/{name}"


def output_directory(job: str, attempt: int) -> str:
    """The directory of an attempt (1, 2, …), relative to the root. Raises `BadName`."""
    if attempt < 1:
        raise BadName(f"attempt {attempt} of job {job!r}: attempts count from 1")
    return alias(check_job_id(job, submitted=True), attempt)


def output_name(job: str, attempt: int) -> str:
    """Where the agent of an attempt puts its output, relative to the root. Raises `BadName`."""
    name = output_directory(job, attempt)
    return f"{name}/{name}.tgz"


def sealed_name(job: str, attempt: int) -> str:
    """Where the output of an attempt lies when it is sealed, relative to the root. Raises `BadName`."""
    return f"{SEALED}/{output_directory(job, attempt)}.tgz"


def result_name(job: str) -> str:
    """What the output of a finished job is called in URLs. Raises `BadName`."""
    return f"{RESULTS}/{check_job_id(job, submitted=True)}.tgz"


def split_result_name(path: str) -> str | None:
    """The inverse of `result_name`; None for the name of something else."""
    first, _, name = path.partition("/")
    job = name.removesuffix(".tgz")
    return job if first == RESULTS and result_name(job) == path else None


def open_result(done: Path, job: str) -> io.FileIO:
    """Open the output of a finished job in `done`, where the generic finisher has put it. Raises as `FileArea`."""
    check_job_id(job, submitted=True)
    with disk_errors(f"the output of job {job}"):
        return open_file_below(done, f"{job}/{job}.tgz")


def split_input_name(path: str) -> tuple[str, str]:
    """The inverse of `input_name`: job and name. Raises `BadName`."""
    first, _, name = path.partition("/")
    job, _ = split_alias(first)
    if input_name(job, name) != path:
        raise BadName(f"{path[:300]!r}: expected '<job>.a0/<name>'")
    return job, name


def split_output_name(path: str) -> tuple[str, int]:
    """The inverse of `output_name`: job and attempt. Raises `BadName`."""
    first, _, _ = path.partition("/")
    job, attempt = split_alias(first)
    if output_name(job, attempt) != path:
        raise BadName(f"{path[:300]!r}: expected '<job>[.a<attempt>]/<job>[.a<attempt>].tgz'")
    return job, attempt


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
        """Where the output of this attempt is uploaded to."""
        return self.root / output_name(job, attempt)

    def sealed_path(self, job: str, attempt: int) -> Path:
        """Where the output of this attempt lies from `seal` to `drop_attempt`, if it has one."""
        return self.root / sealed_name(job, attempt)

    def store_input(self, job: str, source: Path, name: str) -> FileFacts:
        """Copy `source` to its place as input `name` of `job`; the facts are those of the copy."""
        with disk_errors(f"reading {source}"):
            path = source.resolve()
            with open_file_below(path.parent, path.name) as file:
                return self._copy(file, input_name(job, name))

    def open_input(self, job: str, name: str) -> io.FileIO:
        """Open an input for reading."""
        with disk_errors(f"input {name!r} of job {job}"):
            return open_file_below(self.root, input_name(job, name))

    def prepare_input(self, job: str, name: str) -> None:
        """Make the directory that an input goes to. Idempotent."""
        *parents, _ = input_name(job, name).split("/")
        with disk_errors(f"making the directory of an input of job {job}"):
            os.close(open_directory(self.root, parents, create=True))

    def new_input(self, job: str, name: str) -> NewFile:
        """Begin to write an input, whose directory is prepared."""
        return NewFile.below(self.root, input_name(job, name))

    def has_input(self, job: str, name: str, size: int) -> bool:
        """Whether a plain file of so many bytes lies there."""
        try:
            with self.open_input(job, name) as file:
                found = os.fstat(file.fileno())
        except TransferError:
            return False
        return stat.S_ISREG(found.st_mode) and found.st_size == size

    def small_input(self, job: str, name: str, size: int) -> bytes | None:
        """The contents of an input of so many bytes; None if it is not here, or not so large any more."""
        try:
            with self.open_input(job, name) as file:
                data = file.read(size + 1)
        except TransferError:
            return None
        return data if data is not None and len(data) == size else None

    def prepare_output(self, job: str, attempt: int) -> None:
        """Make the directory that the output of this attempt goes to. Idempotent."""
        name = output_directory(job, attempt)
        with disk_errors(f"making the output directory of job {job}, attempt {attempt}"):
            os.close(open_directory(self.root, (name,), create=True))

    def new_output(self, job: str, attempt: int) -> NewFile:
        """Begin to write the output of this attempt, whose directory is prepared."""
        return NewFile.below(self.root, output_name(job, attempt))

    def seal(self, job: str, attempt: int, *, copy: bool) -> FileFacts | None:
        """Take what was uploaded, if anything new was, out of its agent's reach, and say what is sealed: None, nothing.

        `copy` is for where its agent may still hold the file open and write, as through a Chirp server, which asks
        about rights only when a file is opened.
        """
        uploaded, sealed = output_name(job, attempt), sealed_name(job, attempt)
        take = self._take_copy if copy else self._take
        with disk_errors(f"sealing {self.root / uploaded}"):
            with suppress(FileNotFoundError):  # another instance was faster
                if self._is_file(uploaded):
                    return take(uploaded, sealed)
            return self._facts(sealed)

    def keep(self, job: str, attempt: int, package: bytes) -> None:
        """Write a sealed output that did not come by way of the area. It need not survive a power cut: who gave it to us
        has it still."""
        with NewFile.below(self.root, sealed_name(job, attempt), create=True) as new:
            new.write(package)
            new.commit(durable=False)

    def drop_attempt(self, job: str, attempt: int) -> None:
        """Remove the directory of this attempt with all that is in it, and its sealed output. Idempotent."""
        self._drop(output_directory(job, attempt))
        with disk_errors(f"removing {self.sealed_path(job, attempt)}"):
            self._unlink(sealed_name(job, attempt))

    def drop_inputs(self, job: str) -> None:
        """Remove all inputs of `job`. Idempotent."""
        self._drop(input_directory(job))

    def drop_staged(self, job: str, staged: str) -> None:
        """Remove the directory `staged` of the inputs of `job`. Idempotent."""
        with disk_errors(f"removing inputs of job {job}"):
            if self._is_directory(input_directory(job)):
                remove_tree(self.root / input_directory(job), check_relative_name(staged))

    def adopt_inputs(self, job: str) -> bool:
        """Make `<job>`, where tools of 2011 put inputs, the directory where inputs belong; whether there is one now.

        Idempotent: once there is one, `<job>` is that of the first attempt.
        """
        old, new = output_directory(job, 1), input_directory(job)
        with disk_errors(f"moving {self.root / old} to {self.root / new}"), directory(self.root) as root:
            if self._is_directory(old):
                try:
                    os.rename(old, new, src_dir_fd=root, dst_dir_fd=root)
                except OSError as error:
                    if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                        raise
            return self._is_directory(new)

    def _take(self, uploaded: str, sealed: str) -> FileFacts | None:
        (old, old_name), (new, new_name) = uploaded.split("/"), sealed.split("/")
        os.close(open_directory(self.root, (new,), create=True))
        with directory(self.root, (old,)) as source, directory(self.root, (new,)) as target:
            os.rename(old_name, new_name, src_dir_fd=source, dst_dir_fd=target)
            os.fsync(target)
        return self._facts(sealed)

    def _take_copy(self, uploaded: str, sealed: str) -> FileFacts:
        with open_file_below(self.root, uploaded) as file:
            facts = self._copy(file, sealed)
        self._unlink(uploaded)
        return facts

    def _copy(self, source: io.FileIO, relative: str) -> FileFacts:
        with NewFile.below(self.root, relative, create=True) as new:
            while new.copy_block(source):
                pass
            new.commit()
        return new.facts

    def _facts(self, relative: str) -> FileFacts | None:
        if not self._is_file(relative):
            return None
        digest, size = hashlib.sha256(), 0
        with open_file_below(self.root, relative) as file:
            while block := file.read(BLOCK):
                digest.update(block)
                size += len(block)
        return FileFacts(size=size, sha256=digest.hexdigest())

    def _is_file(self, relative: str) -> bool:
        """Whether a plain file is there. Agents may leave anything under the name of their output."""
        return stat.S_ISREG(self._mode(relative))

    def _is_directory(self, name: str) -> bool:
        return stat.S_ISDIR(self._mode(name))

    def _mode(self, relative: str) -> int:
        """0 if there is nothing."""
        with directory(self.root) as root:
            try:
                return os.stat(relative, dir_fd=root, follow_symlinks=False).st_mode
            except (FileNotFoundError, NotADirectoryError):
                return 0

    def _unlink(self, relative: str) -> None:
        parent, name = relative.split("/")
        with suppress(FileNotFoundError), directory(self.root, (parent,)) as here:
            os.unlink(name, dir_fd=here)

    def _drop(self, name: str) -> None:
        remove_tree(self.root, name)
