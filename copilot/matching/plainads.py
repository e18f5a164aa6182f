"""What hosts say of themselves in the words of our agents (`copilot.protocol.jdl`), read without `classad2`, as nearly all hosts say it.

Any other ad is left to `classad2`; what is read here is what that would find, which a test compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from copilot.patterns import pattern

Value = int | float | bool | str | tuple[str, ...]

MOST_CHARACTERS = 16 * 1024  # of what is read at all
MOST_BRACKETS = 50  # so they are no deeper than may be, however they stand
KNOWN = 1024  # values that are remembered; those that many hosts say stay
_TEXT = r'"[ !#-\[\]-~]*+"'  # ASCII without quotation marks, back-slashes and control characters
_ITEM = pattern(_TEXT)
_EVERY_JOB = r'\( other\.Type == "Job" \)'
_VALUE = (  # the longest first, for nothing is tried a second time
    rf"(?:-?(?:0|[1-9][0-9]{{0,14}}+)\.[0-9]{{1,15}}+|-?(?:0|[1-9][0-9]{{0,17}}+)|{_TEXT}|true|false|"
    rf"\{{\}}|\{{ {_TEXT}(?:, {_TEXT})*+ \}}|{_EVERY_JOB})"
)
_NO_NAME = r"(?![TFUEIPtfueip](?i:rue|alse|ndefined|rror|s(?:nt)?|arent) )"  # true, false, undefined, error, is, isnt, parent
_LINE = rf"  {_NO_NAME}[A-Za-z_][A-Za-z0-9_]*+ = {_VALUE}"
_AD = pattern(rf"\[(?:\n{_LINE}(?:;(?=\n )|(?=\n\])))++\n\]")


def read_plain_ad(jdl: str, names: Sequence[str]) -> dict[str, Value] | None:
    """What an ad says under those of these names (lower case) that it has, if that is plain data; None for an ad that is not wholly in our
    agents' words."""
    if len(jdl) > MOST_CHARACTERS or not jdl.isascii():
        return None
    if jdl.count("(") + jdl.count("[") + jdl.count("{") > MOST_BRACKETS or _AD.fullmatch(jdl) is None:
        return None
    lower, said = jdl.lower(), {}
    for name in names:
        line = f"\n  {name} = "  # no text has the end of a line in it
        at = lower.rfind(line)  # of two of the same name the last one counts
        if at >= 0:
            begin = at + len(line)
            value = _value_of(jdl[begin : jdl.index("\n", begin)].removesuffix(";"))
            if value is not None:
                said[name] = value
    return said


@lru_cache(maxsize=KNOWN)
def _value_of(text: str) -> Value | None:
    """None for an expression."""
    match text[0]:
        case '"':
            return text[1:-1]
        case "{":
            return tuple(item[1:-1] for item in _ITEM.findall(text))
        case "t" | "f":
            return text == "true"
        case "(":
            return None
        case _:
            return float(text) if "." in text else int(text)
