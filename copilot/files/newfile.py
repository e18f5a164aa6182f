"""A file in the making: written under a temporary name, hashed on the way, named when it is complete."""

from __future__ import annotations

import hashlib
import io
import os
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from copilot.errors import TransferCorrupt, TransferUnavailable
from copilot.files.base import BLOCK, FileFacts
from copilot.files.disk import DIRECTORY, disk_errors, open_directory

TEMPORARY_PREFIX = ".copilot-"
TEMPORARY_SUFFIX = ".part"


class NewFile:
    """A context manager; leaving it without `commit` removes what was written.

    Methods raise `NoSpace`, `TransferRefused` and `TransferUnavailable`. They may run in a thread whose
    caller was cancelled and leaves meanwhile: the lock makes leaving wait for the one at work, and those
    that come later find the file closed instead of a descriptor that means another file by now.
    """

    def __init__(self, directory: int, name: str, *, owner: tuple[int, int] | None = None) -> None:
        """Make `name` in the directory of this descriptor, which belongs to the new file from now on. `owner` (uid, gid):
        whose it is to be, if not ours."""
        self._directory = directory
        self._name = name
        self._temporary = f"{TEMPORARY_PREFIX}{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"
        self._lock = threading.Lock()
        self._committed = False
        self._size = 0
        self._hash = hashlib.sha256()
        try:
            with disk_errors(f"making {name}"):
                flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
                self._file = io.FileIO(os.open(self._temporary, flags, 0o666, dir_fd=directory), "w")
                if owner is not None:
                    os.fchown(self._file.fileno(), *owner)
        except BaseException:
            with suppress(OSError):
                os.unlink(self._temporary, dir_fd=directory)
            os.close(directory)
            raise

    @classmethod
    def at(cls, path: Path) -> Self:
        """Make `path`, whose directory exists."""
        with disk_errors(f"making {path}"):
            directory = os.open(path.parent, DIRECTORY)
        return cls(directory, path.name)

    @classmethod
    def below(cls, root: Path, relative: str, *, create: bool = False) -> Self:
        """Make `root/relative`, no part of which may be a symlink; `create` also makes its directories."""
        *parents, name = relative.split("/")
        with disk_errors(f"making {relative} below {root}"):
            directory = open_directory(root, parents, create=create)
        return cls(directory, name)

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return self._size

    @property
    def facts(self) -> FileFacts:
        """Size and SHA-256 of what was written so far."""
        return FileFacts(size=self._size, sha256=self._hash.hexdigest())

    def write(self, data: bytes | bytearray) -> None:
        """Add `data` at the end."""
        with self._lock:
            self._check_open()
            self._append(data)

    def write_parts(self, parts: Sequence[bytes | bytearray]) -> None:
        """Add all of `parts` at the end."""
        with self._lock:
            self._check_open()
            for part in parts:
                self._append(part)

    def copy_block(self, source: io.FileIO) -> bool:
        """Add the next block of `source`, which is closed after this file is left; False at its end."""
        with self._lock:
            self._check_open()
            with disk_errors(f"reading what becomes {self._name}"):
                data = source.read(BLOCK)
            self._append(data)
        return bool(data)

    def _append(self, data: bytes | bytearray) -> None:
        with disk_errors(f"writing {self._name}"):
            rest = memoryview(data)
            while rest:
                rest = rest[self._file.write(rest) :]
        self._hash.update(data)
        self._size += len(data)

    def restart(self) -> None:
        """Throw away what was written and begin again."""
        with self._lock, disk_errors(f"emptying {self._name}"):
            self._check_open()
            self._file.seek(0)
            self._file.truncate()
            self._hash = hashlib.sha256()
            self._size = 0

    def check(self, what: str, *, size: int | None, sha256: str | None) -> None:
        """Raise `TransferCorrupt` unless what was written has this size and SHA-256; None is not compared."""
        if size is not None and size != self._size:
            raise TransferCorrupt(
                f"{what}: {self._size} bytes arrived, {size} were announced; fetch it again, and if that "
                "does not help, have it announced anew"
            )
        if sha256 is not None and sha256.lower() != self._hash.hexdigest():
            raise TransferCorrupt(
                f"{what}: SHA-256 of what arrived is {self._hash.hexdigest()}, {sha256} was announced; fetch it "
                "again, and if that does not help, have it announced anew"
            )

    def sync(self) -> None:
        """Bring what was written to the disk, where a power cut does not reach it, before it has its name."""
        with self._lock, disk_errors(f"storing {self._name}"):
            self._check_open()
            os.fsync(self._file.fileno())

    def commit(self, *, durable: bool = True) -> None:
        """Give the file its name, replacing what bears it; if it is `durable`, a power cut does not undo it from here on."""
        with self._lock, disk_errors(f"storing {self._name}"):
            self._check_open()
            if durable:
                os.fsync(self._file.fileno())
            os.rename(self._temporary, self._name, src_dir_fd=self._directory, dst_dir_fd=self._directory)
            self._committed = True
            if durable:
                os.fsync(self._directory)

    def sync_name(self) -> None:
        """Have the name, which it got without that, survive a power cut, too."""
        with self._lock, disk_errors(f"storing {self._name}"):
            self._check_open()
            os.fsync(self._directory)

    def _check_open(self) -> None:
        if self._file.closed:
            raise TransferUnavailable(f"{self._name}: the transfer was given up while it was at work")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._file.close()
            if not self._committed:
                with suppress(FileNotFoundError):
                    os.unlink(self._temporary, dir_fd=self._directory)
            os.close(self._directory)
