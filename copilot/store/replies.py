"""What Redis answers to single commands, in the shapes of Python: in RESP2 a mapping comes as a list, and INFO as a text."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any


def shaped(command: str, answer: Any) -> Any:
    """The answer to a command of this name; scripts, and commands that are not here, answer as they do."""
    shape = _SHAPES.get(command)
    return answer if shape is None else shape(answer)


def pairs(flat: Sequence[Any]) -> dict[Any, Any]:
    """Names and values by turns."""
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _entries(found: Sequence[Any]) -> list[tuple[Any, dict[Any, Any]]]:
    """Entries of one stream: id and fields of each."""
    return [(ident, pairs(fields)) for ident, fields in found]


def _streams(found: Sequence[Any] | None) -> list[tuple[Any, list[tuple[Any, dict[Any, Any]]]]]:
    """Entries of several streams, by their keys; nothing in time is no stream."""
    return [(key, _entries(entries)) for key, entries in found or ()]


def _info(text: str | bytes) -> Mapping[str, Any]:
    """Names and values; whole numbers as such."""
    if isinstance(text, bytes):
        text = text.decode()
    lines = (line.partition(":") for line in text.splitlines() if not line.startswith("#"))
    return {name: int(value) if value.isdecimal() else value for name, colon, value in lines if colon}


_SHAPES: dict[str, Callable[[Any], Any]] = {
    "CONFIG GET": pairs,
    "HGETALL": pairs,
    "INFO": _info,
    "XRANGE": _entries,
    "XREAD": _streams,
}
