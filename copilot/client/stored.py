"""What a job that is over has printed, out of its packed output."""

from __future__ import annotations

import io
import tarfile
from base64 import b64decode
from contextlib import suppress
from pathlib import Path

from copilot.store.base import Store
from copilot.store.watched import Stream

MOST = 64 * 1024 * 1024  # bytes that are read of one output


async def package_here(store: Store, job: str, done: Path | None) -> bytes | Path | None:
    """The packed output of a job that is over, if it can be had on this machine: in the queue until its finisher has taken it, then below
    `done`. Raises `StoreUnavailable`."""
    text = await store.package(job)
    if text is not None:
        return b64decode(text)
    path = None if done is None else done / job / f"{job}.tgz"
    return path if path is not None and path.is_file() else None


def printed(package: bytes | Path, job: str, stream: Stream, offset: int) -> bytes:
    """The stream from `offset` on, at most `MOST` bytes; a negative one counts from its end. Nothing if it is not there, or cannot be read. Blocks."""
    source = io.BytesIO(package) if isinstance(package, bytes) else None
    with (
        suppress(OSError, tarfile.TarError, EOFError),
        tarfile.open(None if source else package, mode="r:gz", fileobj=source) as archive,
    ):
        for member in archive:
            if member.isfile() and member.name.removeprefix("./") in (f"{job}/{stream}", stream.value):
                file = archive.extractfile(member)
                if file is None:
                    return b""
                begin = max(0, member.size + offset) if offset < 0 else offset
                file.seek(min(begin, member.size))
                return file.read(MOST)
    return b""
