"""Text that did not come through the XMPP stream: an element without declarations, or a `ProtocolError`."""

from __future__ import annotations

from copilot.errors import ProtocolError
from copilot.protocol import codec

MOST = 8192


def run(data: bytes) -> None:
    """`data` is the text."""
    try:
        codec.decode(codec.parse(data))
    except ProtocolError:
        return
