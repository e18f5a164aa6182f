"""The port to remote files. Contents are streamed; nothing is ever held whole in memory.

A file appears under its name only when it is complete: both sides write to a temporary name first.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol
from urllib.parse import urlsplit

from copilot.records import dataclass

BLOCK = 256 * 1024  # bytes that the network brings at a time
BATCH = (
    1024 * 1024
)  # bytes that a thread reads, or hashes and writes, at a time; a hop to it costs as much as copying 100 kB


@dataclass(frozen=True, slots=True)
class FileFacts:
    """Size in bytes and SHA-256 in hex of what was transferred."""

    size: int
    sha256: str


class FileClient(Protocol):
    """One scheme (or a few) of URLs. All errors are `TransferError`s."""

    async def get(
        self, url: str, path: Path, *, size: int | None = None, sha256: str | None = None
    ) -> FileFacts:
        """Fetch `url` to `path`, whose directory exists. If `size` or `sha256` are given, what arrives must
        match, else `TransferCorrupt`; on any error `path` is left as it was."""
        ...

    async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
        """Store `path` at `url`; the receiver checks `facts` before the name appears. Doing it again with the
        same contents is allowed; a changed source raises `TransferCorrupt`."""
        ...

    async def close(self) -> None:
        """Give connections back. Idempotent."""
        ...


def public_url(url: str) -> str:
    """`url` as it may stand in a text: without user, password, query (where signatures are) and fragment."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "(a URL that cannot be parsed)"
    shown = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
    return shown if shown.isprintable() else ascii(shown)
