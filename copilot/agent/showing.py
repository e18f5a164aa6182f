"""What an agent shows of the outputs of running jobs, and how fast (feature `output`). No I/O here but in `read_part`.

Each output has a bucket of bytes that fills by the second; who asks for more gets what there is, and the rest later. Who falls far behind is
brought near the end: what lies between is left out, and the offsets tell so.
"""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Collection
from pathlib import Path

from copilot.agent.effects import Show
from copilot.errors import TransferRefused
from copilot.files.disk import open_file
from copilot.protocol.commands import JobOutput, TailJob
from copilot.records import dataclass

CHUNK = (
    16 * 1024
)  # bytes in one message: it stays well below the 60 kB that a message may have, in base64 twice
RATE = 48 * 1024.0  # bytes a second of one output
BURST = 96 * 1024.0  # bytes
FARTHEST = 512 * 1024  # bytes that a reader may be behind
CLOSER = 32 * 1024  # bytes before the end at which he goes on then
STREAMS = ("stdout", "stderr")


@dataclass(slots=True)
class _Bucket:
    bytes: float
    at: float


class Showing:
    """Answers `tailJob`. `now` is in seconds of a clock that never jumps."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def take(self, order: TailJob, now: float) -> int:
        """How many bytes may be shown now; they are taken."""
        bucket = self._buckets.setdefault((order.job_id, order.stream), _Bucket(BURST, now))
        bucket.bytes = min(BURST, bucket.bytes + (now - bucket.at) * RATE)
        bucket.at = now
        most = min(CHUNK, int(bucket.bytes))
        bucket.bytes -= most
        return most

    def keep(self, jobs: Collection[str]) -> None:
        """Forget all but these."""
        if any(job not in jobs for job, _ in self._buckets):
            self._buckets = {key: one for key, one in self._buckets.items() if key[0] in jobs}


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Bytes of an output from `offset` on, of `size` that there are."""

    offset: int
    size: int
    data: bytes


def read_part(path: Path, show: Show) -> Part:
    """Part of an output. Blocks. A file that is not there, or is not what the agent has made, has nothing in it: a payload may have put
    anything in its place."""
    try:
        with open_file(str(path)) as file:
            size = os.fstat(file.fileno()).st_size
            offset = _begin(show, size)
            data = os.pread(file.fileno(), min(show.most, max(0, size - offset)), offset)
    except (OSError, TransferRefused):
        return Part(offset=show.offset or 0, size=show.offset or 0, data=b"")
    return Part(offset=offset, size=max(size, offset + len(data)), data=data)


def _begin(show: Show, size: int) -> int:
    if show.offset is None:
        return max(0, size - show.last)
    return size - CLOSER if size - show.offset > FARTHEST else show.offset


def answer(show: Show, part: Part) -> JobOutput:
    """What the manager is told."""
    return JobOutput(
        job_id=show.assignment.id,
        attempt=show.assignment.job.attempt or 1,
        stream=show.stream,
        offset=part.offset,
        size=part.size,
        data=b64encode(part.data).decode("ascii"),
    )
