"""The Lua scripts as Redis gets them: each behind those of the shared files whose functions it uses.

Redis makes every function anew in each call, used or not, and the shared files together took it as long as a step of the
queue itself.
"""

from __future__ import annotations

import hashlib
import importlib.resources
import re
from dataclasses import dataclass
from functools import cache

# Each may use those before it. There is nothing in them but `local` definitions.
SHARED = (
    "prelude",
    "orders",
    "states",
    "usage",
    "queues",
    "onlookers",
    "moves",
    "controls",
    "trial",
    "matching",
    "claiming",
    "hosts",
    "accounts",
    "changing",
)

_COMMENT = re.compile(r"--.*")
_DEFINED = re.compile(r"^local (?:function )?(\w+(?:,\s*\w+)*)", re.MULTILINE)
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Script:
    """What EVAL takes, and what EVALSHA takes."""

    text: str
    sha: str


@cache
def load(name: str) -> Script:
    """The script `name`.lua, ready to run."""
    text = _read(name)
    for shared in map(_read, reversed(SHARED)):
        if _defined(shared) & _words(text):
            text = shared + text
    return Script(text, hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest())


@cache
def _read(name: str) -> str:
    folder = importlib.resources.files("copilot.store") / "scripts"
    return (folder / f"{name}.lua").read_text("utf-8")


def _defined(text: str) -> set[str]:
    return {name for names in _DEFINED.findall(text) for name in _WORD.findall(names)}


def _words(text: str) -> set[str]:
    return set(_WORD.findall(_COMMENT.sub("", text)))
