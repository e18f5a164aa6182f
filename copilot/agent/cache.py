"""Input files by their contents, so that what many jobs of this agent need is fetched once.

A payload runs as the agent's user and may write here: what is taken out is hashed on the way, and nobody gets what is not
what its name says. What was used longest ago goes first when there is no room.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from copilot.agent.counts import AgentCounts
from copilot.errors import CopilotError, NoSpace, TransferCorrupt
from copilot.files.disk import disk_errors, open_file
from copilot.files.newfile import TEMPORARY_PREFIX, NewFile

log = logging.getLogger("copilot.agent")

LARGEST_PART = 4  # the largest file that is kept is this part of the quota
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


class InputCache:
    """Files in `directory`, named by their SHA-256, at most `quota` bytes of them. Belongs to one event loop."""

    def __init__(self, directory: Path, quota: int, counts: AgentCounts | None = None) -> None:
        """Makes nothing yet. A quota of 0 keeps nothing."""
        self.counts = counts or AgentCounts()
        self._directory = directory
        self._quota = quota
        self._locks: dict[str, asyncio.Lock] = {}

    async def fetch(
        self, path: Path, *, size: int, sha256: str, download: Callable[[], Awaitable[object]]
    ) -> bool:
        """Have the file of this size and SHA-256 (hex) at `path`: from here or, if it is not here, by `download`, which puts
        it there. Who wants a file that somebody else is just fetching waits for that. Returns whether it was here. Raises what
        `download` raises."""
        if not _SHA256.match(sha256) or size * LARGEST_PART > self._quota:
            await download()
            return False
        lock = self._locks.setdefault(sha256, asyncio.Lock())
        try:
            async with lock:
                if await asyncio.to_thread(self._take, sha256, size, path):
                    self.counts.cache_hits += 1
                    return True
                self.counts.cache_misses += 1
                await self._download(download)
                await asyncio.to_thread(self._keep, sha256, size, path)
                return False
        finally:
            if not lock.locked():
                self._locks.pop(sha256, None)

    async def _download(self, download: Callable[[], Awaitable[object]]) -> None:
        try:
            await download()
        except NoSpace:  # jobs go before what they may never need again
            await asyncio.to_thread(self.clear)
            raise

    def measure(self) -> None:
        """Count how many bytes are kept, those of a former life included. Blocks."""
        self.counts.cache_bytes = sum(size for _, size, _ in self._kept())

    def clear(self) -> bool:
        """Give all the room back; False if there was nothing. Blocks."""
        found = self._kept()
        for _, _, path in found:
            with suppress(OSError):
                path.unlink()
        self.measure()
        return bool(found)

    def _take(self, sha256: str, size: int, path: Path) -> bool:
        """Copy the file to `path`; False if it is not here, or not any more what it was."""
        kept = self._directory / sha256
        try:
            with open_file(str(kept)) as source, NewFile.at(path) as new:
                while new.size <= size and new.copy_block(source):
                    pass
                new.check(f"kept input file {sha256}", size=size, sha256=sha256)
                new.commit(durable=False)
            os.utime(kept)
        except FileNotFoundError:
            return False
        except (OSError, CopilotError) as error:
            if isinstance(error, TransferCorrupt):
                log.warning("%s: fetching it again", error)
            with suppress(OSError):
                kept.unlink()
            return False
        return True

    def _keep(self, sha256: str, size: int, path: Path) -> None:
        """Copy what was fetched to `path`. That it cannot be kept is nobody's harm."""
        try:
            with disk_errors(f"keeping input file {sha256}"):
                self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._make_room(size)
                with open_file(str(path)) as source, NewFile.at(self._directory / sha256) as new:
                    while new.copy_block(source):
                        pass
                    new.check(f"input file {path.name}", size=size, sha256=sha256)
                    new.commit(durable=False)
                self.measure()
        except CopilotError as error:
            log.info("an input file is not kept for other jobs: %s", error)

    def _make_room(self, size: int) -> None:
        """Remove what was used longest ago until `size` bytes fit in."""
        found = self._kept()
        used = sum(held for _, held, _ in found)
        for _, held, path in sorted(found):
            if used + size <= self._quota:
                return
            with suppress(OSError):
                path.unlink()
            used -= held

    def _kept(self) -> list[tuple[float, int, Path]]:
        """When each file of ours was used last, its size, its path; and what an interrupted copy has left."""
        found = []
        with suppress(OSError), os.scandir(self._directory) as entries:
            for entry in entries:
                if _SHA256.match(entry.name) or entry.name.startswith(TEMPORARY_PREFIX):
                    with suppress(FileNotFoundError):  # a copy has just ended
                        facts = entry.stat(follow_symlinks=False)
                        found.append((facts.st_mtime, facts.st_size, Path(entry.path)))
        return found
