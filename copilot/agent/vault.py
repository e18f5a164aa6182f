"""Where the secrets of a job lie while it runs: files in a directory of their own, in memory if the host has a tmpfs.

    /dev/shm/copilot-<uid>-<of the work directory>/<job>.a<attempt>/<name>      0400, directories 0700

Nothing of it is packed or written to the journal. It goes with the attempt, with the agent (its guard sees to that) and, in
memory, with the machine. Without a usable tmpfs it is `<work_dir>/secrets`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from copilot.agent.isolation.base import Account
from copilot.agent.trees import remove_tree
from copilot.job import check_secret_name

SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - nobody but its owner gets into what we make there
_MOUNTS = Path("/proc/self/mounts")


class Vault:
    """The secrets of all attempts of one agent. Methods block, for as long as some small files take, and raise OSError."""

    def __init__(self, work_dir: Path) -> None:
        """Makes nothing yet. Agents with the same work directory have the same vault."""
        place = hashlib.sha256(os.fsencode(work_dir.resolve())).hexdigest()[:16]
        self._in_memory = SHARED_MEMORY / f"copilot-{os.geteuid()}-{place}"
        self._on_disk = work_dir.resolve() / "secrets"
        self._laid: dict[str, Path] = {}

    def lay(self, attempt: str, values: Mapping[str, bytes], account: Account | None = None) -> Path:
        """The directory with a file for each secret; they are `account`'s, if that is not None. Nothing is left there of
        an attempt of the same name."""
        directory = self._root() / attempt
        remove_tree(directory)
        directory.mkdir(mode=0o700)
        self._laid[attempt] = directory
        try:
            for name, value in values.items():
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                with os.fdopen(os.open(directory / check_secret_name(name), flags, 0o400), "wb") as file:
                    file.write(value)
                    if account is not None:
                        os.fchown(file.fileno(), account.uid, account.gid)
            if account is not None:
                os.chown(directory, account.uid, account.gid)
        except BaseException:
            self.remove(attempt)
            raise
        return directory

    def remove(self, attempt: str) -> None:
        """Those of one attempt; none is fine."""
        directory = self._laid.pop(attempt, None)
        if directory is not None:
            remove_tree(directory)
            with suppress(OSError):  # others are there
                directory.parent.rmdir()

    def clear(self) -> None:
        """All of them, also of a former life."""
        self._laid.clear()
        for root in (self._in_memory, self._on_disk):
            if _is_ours(root):
                remove_tree(root)

    def _root(self) -> Path:
        root = self._in_memory if _is_memory(SHARED_MEMORY) else self._on_disk
        for place in (root, self._on_disk):
            try:
                place.mkdir(mode=0o700, parents=True)
            except FileExistsError:
                pass
            except OSError:
                continue  # full, or not to be written to
            if _is_ours(place):  # in a directory for everybody, somebody may have been there before
                return place
        raise PermissionError(f"{self._on_disk} is not a directory of this user's own")


def _is_ours(path: Path) -> bool:
    try:
        found = path.lstat()
    except OSError:
        return False
    return (
        stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.geteuid()
        and not stat.S_IMODE(found.st_mode) & 0o077
    )


def _is_memory(path: Path) -> bool:
    """Whether files there are in memory alone, and we may make some."""
    try:
        mounts = _MOUNTS.read_text().splitlines()
    except OSError:
        return False
    kinds = [words[2] for words in map(str.split, mounts) if words[1] == str(path)]
    return kinds[-1:] == ["tmpfs"] and os.access(path, os.W_OK | os.X_OK)
