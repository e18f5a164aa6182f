"""A file in the making that stays in memory as long as it is small."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from copilot.errors import TransferUnavailable
from copilot.files.base import FileFacts
from copilot.files.newfile import NewFile


class Spill:
    """A context manager; leaving it without `commit` removes what was written. As a `NewFile`, it may be written in a
    thread whose caller was cancelled and leaves meanwhile."""

    def __init__(self, path: Path, keep: int) -> None:
        """At most `keep` bytes stay in memory; more go to `path`, whose directory exists."""
        self._path = path
        self._keep = keep
        self._lock = threading.Lock()
        self._head = bytearray()
        self._file: NewFile | None = None
        self._left = False

    @property
    def size(self) -> int:
        """Bytes written so far."""
        return len(self._head) if self._file is None else self._file.size

    @property
    def facts(self) -> FileFacts:
        """Size and SHA-256 of what was written so far."""
        if self._file is not None:
            return self._file.facts
        return FileFacts(size=len(self._head), sha256=hashlib.sha256(self._head).hexdigest())

    def write(self, data: bytes) -> None:
        """Add `data` at the end. Raises as `NewFile.write`."""
        with self._lock:
            if self._left:
                raise TransferUnavailable(f"{self._path}: it was given up while it was being written")
            if self._file is None and len(self._head) + len(data) <= self._keep:
                self._head += data
                return
            if self._file is None:
                self._file = NewFile.at(self._path)
                self._file.write(self._head)
            self._file.write(data)

    def commit(self, *, durable: bool) -> bytes | None:
        """The contents, if they are in memory; else they lie at the path now, as `NewFile.commit` puts them there."""
        if self._file is None:
            return bytes(self._head)
        self._file.commit(durable=durable)
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._left = True
            if self._file is not None:
                self._file.__exit__(kind, error, trace)
