"""The Lua scripts as Redis gets them: each behind those definitions of the shared files that it uses.

Redis makes every function anew in each call, used or not, and the shared files together took it as long as a step of the
queue itself. And Lua has room for 200 local names in a script.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import copilot.store
from copilot.patterns import pattern
from copilot.records import dataclass

# Each may use those before it. There is nothing in them but `local` definitions.
SHARED = (
    "prelude",
    "orders",
    "turns",
    "states",
    "usage",
    "queues",
    "arrays",
    "families",
    "parts",
    "blocking",
    "onlookers",
    "moves",
    "wishes",
    "controls",
    "adding",
    "trial",
    "packing",
    "quotas",
    "hosts",
    "accounts",
    "reserving",
    "matching",
    "claiming",
    "ranking",
    "changing",
)

_COMMENT = pattern(r"--.*")
_DEFINED = pattern(r"local (?:function )?(\w+(?:,\s*\w+)*)")
_CONSTANT = pattern(r"local ([A-Z_]+) = (\d+|'[^']*')(?: *--.*)?\n\Z")
_CAPITALS = pattern(r"\b[A-Z_]+\b")
_BEGIN = "\nlocal "
_COMMENT_LINES = pattern(r"^(--.*)?\n", re.MULTILINE)  # and empty ones
_WORD = pattern(r"\w+")


@dataclass(frozen=True, slots=True)
class Script:
    """What EVAL takes, and what EVALSHA takes."""

    text: str
    sha: str


@cache
def load(name: str, *, audited: bool = False) -> Script:
    """The script `name`.lua, ready to run; `audited`: it writes an entry of the audit trail (`audit.lua`)."""
    text = _read(name)
    if audited:
        text = f"local function step()\n{text}\nend\n{_read('audit')}"
    words, found = _words(text), list[str]()
    for names, definition in _definitions():
        if not words.isdisjoint(names):
            found.append(_narrowed(_COMMENT_LINES.sub("", definition), words))
            words |= _words(found[-1])
    text = "".join([*_without_constants(found[::-1], _words(text)), text])
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


def _without_constants(definitions: Sequence[str], own: set[str]) -> list[str]:
    """The same with numbers and words in the places of their names, but for names that the script itself uses: each takes room."""
    values = {match[1]: match[2] for one in definitions if (match := _CONSTANT.match(one))}
    values = {name: value for name, value in values.items() if name not in own}
    if not values:
        return list(definitions)
    return [
        _CAPITALS.sub(lambda match: values.get(match[0], match[0]), one)
        for one in definitions
        if not ((match := _CONSTANT.match(one)) and match[1] in values)
    ]


def _narrowed(definition: str, words: set[str]) -> str:
    """The same; but of the names of keys those that are used."""
    names, found, _ = definition.partition(" = unpack(KEYS)")
    if not found:
        return definition
    used = [(name, f"KEYS[{at}]") for at, name in enumerate(_WORD.findall(names)[1:], 1) if name in words]
    return f"local {', '.join(name for name, _ in used)} = {', '.join(key for _, key in used)}\n"


@cache
def _definitions() -> tuple[tuple[list[str], str], ...]:
    """What the shared files define, the last first, each by itself with its names: it begins a line with `local`, and what belongs to it is
    indented, or ends it. Lines of comments stand between them yet."""
    found = []
    for shared in SHARED:
        for piece in f"\n{_read(shared)}".split(_BEGIN)[1:]:
            text = f"local {piece}\n"
            match = _DEFINED.match(text)
            assert match is not None, shared
            found.append((_WORD.findall(match[1]), text))
    return tuple(reversed(found))


@cache
def _read(name: str) -> str:
    """From where Python looks for this package's modules, which a daemon that has become another user changes (`copilot.cli.identity`)."""
    return Path(copilot.store.__path__[0], "scripts", f"{name}.lua").read_text("utf-8")


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_COMMENT.sub("", text)))
