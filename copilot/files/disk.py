"""Opening files below a directory without ever following a symlink, and what the disk's errors mean.

Others may write below our directories (a shared file system, a Chirp server), so a path that was looked at
a moment ago may be a symlink now. Each step is therefore opened relative to the one before it, `O_NOFOLLOW`.
"""

from __future__ import annotations

import errno
import io
import os
import shutil
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from copilot.errors import NoSpace, TransferError, TransferRefused, TransferUnavailable

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Without O_NONBLOCK, opening a named pipe that somebody left there would wait for a writer for ever.
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC

SMALL = 64 * 1024  # bytes of a file that `read_small` reads
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FINAL = {
    errno.ENOENT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EROFS,
}


@contextmanager
def disk_errors(what: str) -> Iterator[None]:
    """Turn every `OSError` of the block into the `TransferError` it means; `what` begins the text."""
    try:
        yield
    except OSError as error:
        raise _meaning(error, what) from error


def _meaning(error: OSError, what: str) -> TransferError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return NoSpace(
            f"{what}: the disk, or what we may use of it, is full ({reason}); free space and try again"
        )
    if error.errno == errno.ELOOP:
        return TransferRefused(f"{what}: there is a symbolic link on the way; put the file itself there")
    if error.errno in _FINAL:
        return TransferRefused(
            f"{what}: {reason}; check that the path exists and that we have the right to use it"
        )
    return TransferUnavailable(f"{what}: {reason}; try again when the disk is well")


def open_directory(root: Path, parts: Sequence[str] = (), *, create: bool = False) -> int:
    """A descriptor of `root/part/part…`; no part may be a symlink (`root` itself may).

    `create` makes what is missing below `root`, durably. Raises `OSError`.
    """
    here = os.open(root, DIRECTORY)
    try:
        for part in parts:
            if create and make_directory(part, here):
                os.fsync(here)
            below = os.open(part, DIRECTORY | os.O_NOFOLLOW, dir_fd=here)
            os.close(here)
            here = below
    except BaseException:
        os.close(here)
        raise
    return here


def make_directory(name: str, parent: int) -> bool:
    """Make `name` in the directory `parent`, not durably yet; False if it is there. Raises `OSError`."""
    try:
        os.mkdir(name, dir_fd=parent)
    except FileExistsError:
        return False
    return True


@contextmanager
def directory(root: Path, parts: Sequence[str] = ()) -> Iterator[int]:
    """`open_directory` for one block."""
    descriptor = open_directory(root, parts)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def remove_tree(root: Path, name: str) -> None:
    """Remove `root/name` with all that is in it. Idempotent. Raises `TransferError`."""
    with disk_errors(f"removing {root / name}"), directory(root) as here:
        try:
            kind = os.stat(name, dir_fd=here, follow_symlinks=False).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISDIR(kind):
            shutil.rmtree(name, dir_fd=here)
        else:
            os.unlink(name, dir_fd=here)  # somebody put a symlink there; what it names is not ours


def open_file(name: str, parent: int | None = None) -> io.FileIO:
    """Open the regular file `name` (below the directory `parent`) for reading; symlinks are refused.

    Raises `OSError`, or `TransferRefused` if it is no regular file.
    """
    descriptor = os.open(name, _FILE, dir_fd=parent)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise TransferRefused(f"{name}: not a regular file; only plain files are transferred")
    return io.FileIO(descriptor)


def read_small(path: Path) -> bytes:
    """A small file of ours, in whose place a payload may have put anything. Raises `OSError`, `TransferRefused`."""
    with open_file(str(path)) as file:
        return file.read(SMALL) or b""


def write_small(path: Path, data: bytes) -> None:
    """As `Path.write_bytes`, without the looks that it takes at what it has opened. Raises `OSError`."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


def open_file_below(root: Path, relative: str) -> io.FileIO:
    """Open the regular file `root/relative` for reading; no part below `root` may be a symlink."""
    *parents, name = relative.split("/")
    with directory(root, parents) as parent:
        return open_file(name, parent)
