"""Commands: any tree of elements is a command or a `ProtocolError`, and a command can be written and read again."""

from __future__ import annotations

from xml.etree import ElementTree

from copilot.errors import ProtocolError
from copilot.protocol import codec

MOST = 8192  # bytes of one input


def run(data: bytes) -> None:
    """`data` is XML, which expat has parsed before anybody of ours sees it."""
    try:
        tree = ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError):
        return
    try:
        command, features = codec.decode(codec.element_from_tree(tree))
    except ProtocolError:
        return
    again, known = codec.decode(codec.encode(command, tuple(features or ())))
    # What no UTF-8 can say becomes a question mark; nan is not itself.
    assert repr(again) == repr(command)
    assert known == (features or None)
