"""Writing many small files, each into a directory of its own, durably, with as few waits for the disk as that takes.

All are written and brought to the disk under temporary names before the first gets its own: so the disk has to write its
journal only now and then, not twice for each.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path

from copilot.errors import CopilotError
from copilot.files.disk import DIRECTORY, directory, disk_errors, make_directory
from copilot.files.newfile import NewFile
from copilot.records import dataclass

MANY = 4  # files for which the disk writes everything at once
_LIBC = ctypes.CDLL(None)


@dataclass(frozen=True, slots=True)
class Small:
    """A file to be: `<directory>/<name>`, both of which are checked already, and what is in it."""

    directory: str
    name: str
    data: bytes


def write_all(
    root: Path, files: Sequence[Small], *, owner: tuple[int, int] | None = None
) -> list[Exception | None]:
    """Write `files` below `root`, in the place of what lies there; of each, why that could not be done: a
    `TransferError`, or None. They and their directories get `owner` (uid, gid), if there is one.

    No symlink is followed below `root`. Blocks. Raises `TransferError` if it is `root` that fails.
    """
    failures: list[Exception | None] = [None] * len(files)

    def each(numbers: Iterable[int], step: Callable[[int], None]) -> list[int]:
        """Do a step for all of these; those for which it was done."""
        for number in (numbers := list(numbers)):
            try:
                step(number)
            except CopilotError as error:
                failures[number] = error
        return [number for number in numbers if failures[number] is None]

    with ExitStack() as stack, disk_errors(f"writing below {root}"):
        above = stack.enter_context(directory(root))
        new: dict[int, NewFile] = {}

        def write(number: int) -> None:
            with disk_errors(f"making {root / files[number].directory / files[number].name}"):
                new[number] = stack.enter_context(_begun(above, files[number], owner))
            new[number].write(files[number].data)

        left = each(range(len(files)), write)
        _prepare_sync(above, len(left))
        left = each(left, lambda number: new[number].sync())
        left = each(left, lambda number: new[number].commit(durable=False))
        _prepare_sync(above, len(left))
        left = each(left, lambda number: new[number].sync_name())
        if left:
            os.fsync(above)
    return failures


def _begun(above: int, file: Small, owner: tuple[int, int] | None) -> NewFile:
    make_directory(file.directory, above)
    here = os.open(file.directory, DIRECTORY | os.O_NOFOLLOW, dir_fd=above)
    try:
        if owner is not None:
            os.fchown(here, *owner)
    except OSError:
        os.close(here)
        raise
    return NewFile(here, file.name, owner=owner)


def _prepare_sync(above: int, count: int) -> None:
    """Have the whole file system written at once, where `count` files are worth that: then there is nothing left to do
    for the fsync of each, which alone tells, on all kernels, whether it went well."""
    if count >= MANY:
        _LIBC.syncfs(above)
