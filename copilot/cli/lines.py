"""Lines of text that commands print: plain in a pipe, with styles on a terminal.

Rich, which draws what moves (`live.py`, progress bars), is not loaded for them: that takes longer than a list of jobs does.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TextIO

from copilot.job import one_line
from copilot.records import dataclass

# SGR parameters (ECMA-48, 8.3.117) of the words that make a style.
WEIGHTS = {"bold": "1", "dim": "2"}
COLOURS = {"red": "31", "green": "32", "yellow": "33"}
ELLIPSIS = "…"
_MOVES = dict.fromkeys(map(ord, "\a\b\v\f\r"))  # what would move the cursor, or ring, is left out


@dataclass(frozen=True, slots=True)
class Line:
    """Pieces of text, each with a style: "" or words of `WEIGHTS` and `COLOURS`."""

    pieces: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, text: str = "", style: str = "") -> Line:
        """One of a single piece, in which nothing moves a cursor: operators and agents say things, too."""
        return cls(((one_line(text), style),))

    def __str__(self) -> str:
        """Without styles."""
        return "".join([text for text, _ in self.pieces])

    def shown(self, codes: Mapping[str, str]) -> str:
        """With the styles of which there are codes."""
        return "".join(
            [_styled(text, style, codes) if style and text else text for text, style in self.pieces]
        )


def sentence(text: str) -> str:
    """Text of no style as it is printed."""
    return text if text.isprintable() else text.translate(_MOVES).expandtabs()


def _styled(text: str, style: str, codes: Mapping[str, str]) -> str:
    wanted = [codes[word] for word in style.split() if word in codes]
    return f"\x1b[{';'.join(wanted)}m{text}\x1b[0m" if wanted else text


def is_terminal(file: TextIO) -> bool:
    """Whether a person looks at it; `TTY_COMPATIBLE` and `FORCE_COLOR` say so of what is no terminal, as for Rich."""
    said = os.environ.get("TTY_COMPATIBLE")
    forced = os.environ.get("FORCE_COLOR")
    if said in {"0", "1"}:
        return said == "1"
    return file.isatty() if forced is None else forced != ""


def codes_of(file: TextIO) -> Mapping[str, str]:
    """The styles that are shown there: on a terminal that knows them all, but colours where `NO_COLOR` is set (no-color.org)."""
    if not is_terminal(file) or os.environ.get("TERM") in {"dumb", "unknown"}:
        return {}
    return WEIGHTS if os.environ.get("NO_COLOR") else WEIGHTS | COLOURS


def width_of(text: str) -> int:
    """How many columns of a terminal it takes."""
    if text.replace(ELLIPSIS, "").isascii():
        return len(text)
    from rich.cells import cell_len  # tables of widths, for what is not ASCII

    return cell_len(text)


def cut(text: str, size: int) -> str:
    """At most so many columns wide, with an ellipsis where something is missing."""
    if width_of(text) <= size:
        return text
    room = max(size - 1, 0)
    if text.isascii():
        return text[:room].rstrip() + ELLIPSIS
    from rich.cells import set_cell_size

    return set_cell_size(text, room).rstrip() + ELLIPSIS
