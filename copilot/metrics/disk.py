"""How much room is left where a program keeps its files; asked in a thread, for a disk may hang."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from pathlib import Path

FRESH = 10.0  # s
ANSWER_WITHIN = 2.0  # s


class Disk:
    """What the disks of some directories said last, by the word for which the directory stands. Those that do not answer are
    missing. `now()` is in seconds of a clock that never jumps."""

    def __init__(
        self,
        directories: Mapping[str, Path],
        now: Callable[[], float],
        *,
        answer_within: float = ANSWER_WITHIN,
    ) -> None:
        self.free: Mapping[str, int] = {}  # bytes for those who are not root
        self.size: Mapping[str, int] = {}
        self._directories = dict(directories)
        self._now = now
        self._answer_within = answer_within
        self._asked = float("-inf")
        self._asking: asyncio.Future[Mapping[str, os.statvfs_result]] | None = None

    async def refresh(self) -> None:
        """Ask if the last answer is too old; a question that hangs is not asked a second time."""
        if self._asking is None and self._now() - self._asked >= FRESH:
            self._asked = self._now()
            self._asking = asyncio.ensure_future(asyncio.to_thread(_look, self._directories))
        if self._asking is None:
            return
        asked = self._asking
        await asyncio.wait([asked], timeout=self._answer_within)
        found = asked.result() if asked.done() else {}
        if asked.done():
            self._asking = None
        self.free = {word: facts.f_bavail * facts.f_frsize for word, facts in found.items()}
        self.size = {word: facts.f_blocks * facts.f_frsize for word, facts in found.items()}


def _look(directories: Mapping[str, Path]) -> Mapping[str, os.statvfs_result]:
    found = {}
    for word, path in directories.items():
        try:
            found[word] = os.statvfs(path)
        except OSError:
            continue
    return found
