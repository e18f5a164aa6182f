"""What hosts say of themselves in the words of our agents (`copilot.protocol.jdl`), read line by line and without `classad2`.

Nearly all hosts say it so, and most lines of one are those of the next. Any other ad is left to `classad2`; what is read here is
what that would find, which a test compares.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache

from copilot.patterns import pattern

Value = int | float | bool | str | tuple[str, ...]

MOST_CHARACTERS = 4096  # a fourth of what is read at all, for one character may be four bytes
MOST_BRACKETS = 50  # so they are no deeper than may be, however they stand
KNOWN = (
    1024  # lines that are remembered; those that many hosts say stay, however many others say something else
)
_BEGIN, _BETWEEN, _END = "[\n", ";\n", "\n]"
_EVERY_JOB = '  Requirements = ( other.Type == "Job" )'
_TEXT = r'"[^"\\\x00-\x1f\x7f\ud800-\udfff]*"'
_LINE = pattern(
    r"  (?P<name>[A-Za-z_][A-Za-z0-9_]*) = (?:"
    r"(?P<whole>-?(?:0|[1-9][0-9]{0,17}))|(?P<real>-?(?:0|[1-9][0-9]{0,14})\.[0-9]{1,15})|(?P<truth>true|false)|"
    rf"(?P<text>{_TEXT})|(?P<list>\{{\}}|\{{ {_TEXT}(?:, {_TEXT})* \}}))"
)
_ITEM = pattern(_TEXT)
_RESERVED = frozenset({"true", "false", "undefined", "error", "is", "isnt", "parent"})  # names of nothing
_Said = tuple[str, Value | None]  # a name in lower case, and what is said there if that is no expression


def read_plain_ad(jdl: str) -> Mapping[str, Value | None] | None:
    """All that an ad says under its names (lower case), None for an expression; None for an ad that is not wholly in our agents' words."""
    if not jdl.startswith(_BEGIN) or not jdl.endswith(_END) or len(jdl) > MOST_CHARACTERS:
        return None
    if jdl.count("(") + jdl.count("[") + jdl.count("{") > MOST_BRACKETS:
        return None
    lines = jdl[len(_BEGIN) : -len(_END)].split(_BETWEEN)  # no text has the end of a line in it
    found = list(map(_read_line, lines))
    return None if None in found else dict(filter(None, found))


@lru_cache(maxsize=KNOWN)
def _read_line(line: str) -> _Said | None:
    if line == _EVERY_JOB:
        return "requirements", None
    found = _LINE.fullmatch(line)
    if found is None or (name := found["name"].lower()) in _RESERVED:
        return None
    kind, text = found.lastgroup, line[found.end("name") + 3 :]
    if kind == "whole":
        return name, int(text)
    if kind == "real":
        return name, float(text)
    if kind == "truth":
        return name, text == "true"
    if kind == "text":
        return name, text[1:-1]
    return name, tuple(item[1:-1] for item in _ITEM.findall(text))
