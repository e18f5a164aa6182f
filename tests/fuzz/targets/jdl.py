"""What a host says of itself: attributes that are plain values, or none."""

from __future__ import annotations

from copilot.matching.host import bounded, read_host, slots_of
from copilot.protocol.jdl import host_jdl  # noqa: F401  # what honest ones are made by

MOST = 20_000
NAMES = ("cores", "freememory", "memory", "slots", "tags", "wnhost")


def run(data: bytes) -> None:
    """`data` is the text, in UTF-8 or not."""
    text = data.decode(errors="surrogateescape")
    slots_of(bounded(text))
    read_host.__wrapped__(text, NAMES)
