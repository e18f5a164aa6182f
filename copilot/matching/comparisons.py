"""Requirements that compare what a host says with plain values and do nothing else, as most do: read and judged without `classad2`.

`other.Memory >= 1500 && member("gpu", other.Tags)`, and what `copilot.matching.needs` adds. All else is left to `classad2`; what is told
here is what that would tell, which a test compares.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from functools import lru_cache, partial

from copilot.matching.plainads import Value
from copilot.patterns import pattern
from copilot.records import dataclass

MOST = 16  # comparisons in one text
LONGEST = 1000  # characters of it
KNOWN = 8192  # texts that are remembered
_SIGNS: Mapping[str, Callable[[int, int], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
    ">": operator.gt,
    "<": operator.lt,
}
_NAME = "[A-Za-z_][A-Za-z0-9_]*"
_COMPARISON = pattern(
    rf"(?:other\.(?P<plain>{_NAME})|"
    rf"ifThenElse\(isUndefined\(other\.(?P<ours>{_NAME})\), other\.(?P<otherwise>{_NAME}), other\.(?P=ours)\))"
    r" (?P<sign>[<>=!]=|[<>]) (?P<number>0|[1-9][0-9]{0,14})"
)
_MEMBER = pattern(rf'member\("(?P<word>[ !#-\[\]-~]*)", other\.(?P<name>{_NAME})\)')  # a word of ASCII
_IDENTICAL = pattern(rf"other\.(?P<name>{_NAME}) (?P<sign>=[?!]=) (?P<truth>true|false)")
_AND = " && "
# Words that are no names of attributes, in one place or the other.
_RESERVED = frozenset(
    [
        "true",
        "false",
        "undefined",
        "error",
        "is",
        "isnt",
        "other",
        "target",
        "my",
        "self",
        "parent",
        "root",
        "toplevel",
    ]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """`judge` says of what a host has under the first of these names (lower case) that it has, None for nothing, whether it will do;
    None where `classad2` has to tell."""

    names: tuple[str, ...]
    judge: Callable[[Value | None], bool | None]


@lru_cache(maxsize=KNOWN)
def comparisons_of(text: str) -> tuple[Comparison, ...] | None:
    """What a text in the one way of writing compares; all of it has to be true. None if it does anything else."""
    if len(text) > LONGEST:
        return None
    own, more = "", text
    if text.startswith("("):  # the job's own, and what was added
        own, closed, more = text[1:].partition(")" + _AND)
        if not closed:
            return None
    parts = [*(own.split(_AND) if own else ()), *more.split(_AND)]
    if len(parts) > MOST:
        return None
    found = []
    for part in parts:
        if (one := _read(part)) is None or not _RESERVED.isdisjoint(one.names):
            return None
        found.append(one)
    return tuple(found)


def _read(part: str) -> Comparison | None:
    if match := _COMPARISON.fullmatch(part):
        said = (match["plain"],) if match["plain"] else (match["ours"], match["otherwise"])
        compare = partial(_compare, _SIGNS[match["sign"]], int(match["number"]))
        return Comparison(names=tuple(name.lower() for name in said), judge=compare)
    if match := _MEMBER.fullmatch(part):
        return Comparison(names=(match["name"].lower(),), judge=partial(_member, match["word"].lower()))
    if match := _IDENTICAL.fullmatch(part):
        identical = partial(_identical, match["sign"] == "=?=", match["truth"] == "true")
        return Comparison(names=(match["name"].lower(),), judge=identical)
    return None


def _compare(sign: Callable[[int, int], bool], number: int, value: Value | None) -> bool | None:
    if value is None:  # undefined, which is not true
        return False
    return sign(value, number) if type(value) is int else None


def _member(word: str, value: Value | None) -> bool | None:
    if value is None:
        return False
    if not isinstance(value, tuple) or not all(map(str.isascii, value)):
        return None
    return word in map(str.lower, value)


def _identical(wanted: bool, truth: bool, value: Value | None) -> bool | None:
    if value is None:
        return not wanted
    return (value is truth) is wanted if isinstance(value, bool) else None


def attributes_of(comparisons: tuple[Comparison, ...]) -> tuple[str, ...]:
    """The attributes that they name, in order."""
    return tuple(sorted({name for one in comparisons for name in one.names}))


def all_true(comparisons: tuple[Comparison, ...], said: Mapping[str, Value]) -> bool | None:
    """Whether all are true of a host that says this; None where `classad2` has to tell."""
    true = True
    for one in comparisons:
        value = next((said[name] for name in one.names if name in said), None)
        found = one.judge(value)
        if found is None:
            return None
        true = true and found
    return true
