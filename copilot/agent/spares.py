"""Directories of attempts that are over, cleared for the next ones.

To make and remove directories costs the disk more than all the rest of a short job, so those that their payload left as
they were are used again. What is unusual about one is not looked into: it is removed, as ever.
"""

from __future__ import annotations

import logging
import os
import stat
from contextlib import suppress
from itertools import islice
from pathlib import Path

from copilot.agent.trees import remove_tree

log = logging.getLogger("copilot.agent")

MOST = 16  # that are kept
MOST_FILES = 8  # in each of its directories
MOST_BYTES = 1024 * 1024  # in each of its directories
LARGEST_DIRECTORY = 64 * 1024  # bytes; it never shrinks again
PAYLOAD, TEMPORARY = "payload", "tmp"


class Spares:
    """Spare directories below `jobs`."""

    def __init__(self, jobs: Path) -> None:
        """Makes nothing yet. What a former life has left is not used."""
        self._jobs = jobs
        self._free: list[Path] = []
        self._made = 0

    def clear(self) -> None:
        """Remove all of them, those of a former life too, which nobody knows any more, and what is left of trials of the sandbox."""
        self._free.clear()
        for path in (*self._jobs.glob(".spare-*"), *self._jobs.glob(".trial-*")):
            try:
                remove_tree(path)
            except OSError as error:
                log.error("%s is left over and cannot be removed: %s", path, error)

    def take(self, directory: Path) -> bool:
        """Make `directory`, with the two below it, from a spare one; False if there is none."""
        while self._free:
            with suppress(OSError):  # somebody has tidied up
                self._free.pop().rename(directory)
                return True
        return False

    def put(self, directory: Path) -> bool:
        """Clear `directory` of an attempt of which nothing runs any more, and keep it; False if that cannot be done: then
        it must be removed."""
        if len(self._free) >= MOST or not _cleared(directory):
            return False
        self._made += 1
        spare = self._jobs / f".spare-{self._made}"
        try:
            directory.rename(spare)
        except OSError:
            return False
        self._free.append(spare)
        return True


def _cleared(directory: Path) -> bool:
    try:
        below = all(_emptied(f"{directory}/{name}", ()) for name in (PAYLOAD, TEMPORARY))
        return below and _emptied(str(directory), (PAYLOAD, TEMPORARY))
    except OSError:  # its payload has removed a part of it, for instance
        return False


def _emptied(directory: str, but: tuple[str, ...]) -> bool:
    """Whether it is an ordinary directory of ours that holds nothing now but `but`."""
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_size > LARGEST_DIRECTORY:
        return False
    if any(not name.startswith("security.") for name in os.listxattr(directory)):
        return False  # an access list of the payload's
    if stat.S_IMODE(found.st_mode) != 0o700:
        os.chmod(directory, 0o700)  # noqa: PTH101 - here and below: no Path is made for each of them
    with os.scandir(directory) as entries:
        files = list(islice((entry for entry in entries if entry.name not in but), MOST_FILES + 1))
    if len(files) > MOST_FILES or any(entry.is_dir(follow_symlinks=False) for entry in files):
        return False
    if sum(entry.stat(follow_symlinks=False).st_size for entry in files) > MOST_BYTES:
        return False  # to give back so much takes the disk its time
    for entry in files:
        os.unlink(entry.path)  # noqa: PTH108
    return True
