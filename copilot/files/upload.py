"""The body of an HTTP upload, which never becomes complete if the file is not the announced one."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from copilot.errors import TransferCorrupt
from copilot.files.base import BATCH, FileFacts
from copilot.files.disk import disk_errors, open_file


class Upload:
    """A context manager around the open file. Its last block is given out only if all hashes to `facts`.

    So a receiver that compares nothing but the length still never keeps a changed file.
    """

    def __init__(self, path: Path, facts: FileFacts) -> None:
        self._path = path
        self._facts = facts
        self._hash = hashlib.sha256()
        self._left = facts.size
        self._ahead: asyncio.Task[bytes] | None = None
        self._lock = threading.Lock()  # the file is not closed under a thread that reads it
        self.changed = False

    def __enter__(self) -> Self:
        with disk_errors(f"reading {self._path}"):
            self._file = open_file(str(self._path))
        if os.fstat(self._file.fileno()).st_size != self._facts.size or not (self._left or self._genuine()):
            self._file.close()
            raise self.error()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ahead is not None:
            self._ahead.cancel()
        with self._lock:
            self._file.close()

    async def blocks(self, alive: Callable[[], None]) -> AsyncIterator[bytes]:
        """The contents; calls `alive` each time the receiver took a block.

        While it takes one the next one is read and hashed, so that a transfer takes no longer than its longer half.
        """
        ahead = self._read_ahead()
        while ahead is not None:
            block = await ahead
            ahead = self._read_ahead()
            alive()
            yield block

    def _read_ahead(self) -> asyncio.Task[bytes] | None:
        """The next block, None at the end of the file. What becomes of one that nobody takes any more does not matter."""
        if not self._left:
            return None
        self._ahead = asyncio.create_task(asyncio.to_thread(self._read))
        self._ahead.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._ahead

    def error(self) -> TransferCorrupt:
        """What to raise when the file is not what was announced."""
        return TransferCorrupt(
            f"{self._path}: changed since its size ({self._facts.size}) and SHA-256 were taken; take them again "
            "when nothing writes to it any more"
        )

    def _read(self) -> bytes:
        with self._lock, disk_errors(f"reading {self._path}"):
            block = self._file.read(min(BATCH, self._left))
        self._hash.update(block)
        self._left -= len(block)
        if not block or not (self._left or self._genuine()):
            self.changed = True
            raise self.error()
        return block

    def _genuine(self) -> bool:
        return self._hash.hexdigest() == self._facts.sha256.lower()
