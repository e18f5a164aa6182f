"""Elements as XML text. What we write is ours: whatever would not arrive exactly as it is raises ValueError."""

from __future__ import annotations

import functools

from copilot.patterns import pattern
from copilot.protocol.envelope import Element

_NAME = pattern(r"[A-Za-z_][A-Za-z0-9_.-]*")
_PLAIN = pattern(r"[A-Za-z0-9+/=:_ .@-]*")  # every value of the protocol: base64, ids, nearly all JIDs
_ILLEGAL = pattern("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # XML 1.0, 2.2: not a Char
_ESCAPES = str.maketrans(
    {"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&apos;", '"': "&quot;"}
    | {
        "\t": "&#9;",
        "\n": "&#10;",
        "\r": "&#13;",
    }  # a parser makes them blanks if they stand bare (XML 1.0, 3.3.3)
)


def escape(value: str) -> str:
    """Text for an attribute. Raises ValueError for characters that no XML 1.0 document may hold."""
    if _PLAIN.fullmatch(value):
        return value
    illegal = _ILLEGAL.search(value)
    if illegal is not None:
        raise ValueError(
            f"character {illegal.start()} ({illegal.group()!r}) of a value is not allowed in XML"
        )
    return value.translate(_ESCAPES)


def write(element: Element, parts: list[str]) -> None:
    """Append the text of `element` to `parts`. Raises ValueError for names and characters that XML does not allow."""
    tag = _name(element.tag)
    parts += ["<", tag]
    for name, value in element.attributes.items():
        parts += [" ", _name(name), "='", escape(value), "'"]
    if not element.children:
        parts.append("/>")
        return
    parts.append(">")
    for child in element.children:
        write(child, parts)
    parts += ["</", tag, ">"]


@functools.lru_cache(maxsize=512)  # the protocol has some fifty names
def _name(name: str) -> str:
    if name == "xmlns" or not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of an element or an attribute here")
    return name
