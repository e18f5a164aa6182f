"""Writing many small outputs to `<done>/<job>/<job>.tgz`, durably, with as few waits for the disk as that takes.

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
from copilot.files.disk import directory, disk_errors, make_directory
from copilot.files.newfile import NewFile

MANY = 4
_LIBC = ctypes.CDLL(None)

Result = tuple[str, bytes]  # a job's id, which is checked already, and its package


def write_all(done: Path, results: Sequence[Result]) -> list[Exception | None]:
    """Write `results` below `done`, in the place of what lies there; of each, why that could not be done: a
    `TransferError`, or None. No symlink is followed below `done`. Blocks."""
    failures: list[Exception | None] = [None] * len(results)

    def each(numbers: Iterable[int], step: Callable[[int], None]) -> list[int]:
        """Do a step for all of these; those for which it was done."""
        for number in (numbers := list(numbers)):
            try:
                step(number)
            except CopilotError as error:
                failures[number] = error
        return [number for number in numbers if failures[number] is None]

    with ExitStack() as stack:
        files: dict[int, NewFile] = {}

        def write(number: int) -> None:
            files[number] = stack.enter_context(_written(done, *results[number]))

        left = each(range(len(results)), write)
        _prepare_sync(done, len(left))
        left = each(left, lambda number: files[number].sync())
        left = each(left, lambda number: files[number].commit(durable=False))
        _prepare_sync(done, len(left))
        left = each(left, lambda number: _sync(done, results[number][0]))
        if left:
            _sync(done)
    return failures


def _prepare_sync(done: Path, count: int) -> None:
    """Have the whole file system written at once, where `count` files are worth that: then there is nothing left to do
    for the fsync of each, which alone tells, on all kernels, whether it went well."""
    if count >= MANY:
        with disk_errors(f"looking at {done}"), directory(done) as above:
            _LIBC.syncfs(above)


def _written(done: Path, job: str, package: bytes) -> NewFile:
    with (
        disk_errors(f"making a directory for the output of job {job} below {done}"),
        directory(done) as above,
    ):
        make_directory(job, above)
    new = NewFile.below(done, f"{job}/{job}.tgz")
    try:
        new.write(package)
    except CopilotError:
        new.__exit__(None, None, None)
        raise
    return new


def _sync(done: Path, *job: str) -> None:
    with disk_errors(f"storing {'/'.join((str(done), *job))}"), directory(done, job) as here:
        os.fsync(here)
