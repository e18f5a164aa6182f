"""What lies in a directory of ours, how large it is and since when nobody has touched it: for those who clean up."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from copilot.errors import BadName
from copilot.files.area import output_name
from copilot.files.disk import directory, disk_errors
from copilot.job import split_alias
from copilot.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """A directory with all that is in it: bytes of its files, and the time of the last change (s since the epoch)."""

    size: int
    changed: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptDirectory:
    """The directory of an attempt, and its name below the root of the file area."""

    job: str
    attempt: int
    name: str


def attempt_directories(root: Path) -> list[AttemptDirectory]:
    """All directories of attempts in the file area, by name. Raises `TransferError`."""
    with disk_errors(f"looking for directories of attempts in {root}"), os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))
    return [found for found in map(_attempt, names) if found is not None]


def _attempt(name: str) -> AttemptDirectory | None:
    """What the name says, or None if the file area gives no attempt such a name."""
    job, attempt = split_alias(name)
    with suppress(BadName):
        if output_name(job, attempt).partition("/")[0] == name:
            return AttemptDirectory(job=job, attempt=attempt, name=name)
    return None


def measure(root: Path, name: str) -> Tree | None:
    """How much is in the directory `root/name`; None if there is no such directory. No symlink is followed.

    Raises `TransferError` if we may not look.
    """
    with disk_errors(f"looking into {root / name}"), directory(root) as here, suppress(FileNotFoundError):
        if stat.S_ISDIR(os.stat(name, dir_fd=here, follow_symlinks=False).st_mode):
            found = list(_walk(name, here))
            files = (one.st_size for one in found if stat.S_ISREG(one.st_mode))
            return Tree(size=sum(files), changed=max(one.st_mtime for one in found))
    return None  # also if somebody removes it just now


def _walk(name: str, parent: int) -> Iterator[os.stat_result]:
    for _, _, files, here in os.fwalk(name, dir_fd=parent, onerror=_raise):
        yield os.fstat(here)
        for file in files:
            yield os.stat(file, dir_fd=here, follow_symlinks=False)


def _raise(error: OSError) -> None:
    raise error
