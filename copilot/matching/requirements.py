"""Requirements of a job: a ClassAd expression over what a host says of itself, read and checked.

`other.Memory >= 2000 && member("gpu", other.Tags)`; `TARGET.Memory` and plain `Memory` mean the same. What is allowed
is less than ClassAds have, so that a match costs no more than its text is long and says the same each time: no
definitions, no subscripts, and of the functions those below. The reader here says where a fault is; the parser of
HTCondor, which says only that there is one and dies of very long input, gets what has passed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from copilot.errors import BadRequirements
from copilot.job import NEEDS_SEALED
from copilot.matching.comparisons import attributes_of, comparisons_of
from copilot.patterns import pattern
from copilot.records import dataclass

MAX_BYTES = 16 * 1024
MAX_ATTRIBUTES = 32  # that one expression names
MAX_DEPTH = 50  # of brackets, and of signs in a row
# An evaluation copies a text for each function that it passes, and strcat makes longer ones of what a host says. Without
# these two, 3 kB of requirements take 25 ms for each kind of host; with them, nothing that is allowed takes 10.
MAX_CALLS = 64
MAX_JOINED = 16  # attributes inside strcat
VALUE = 'a value (a number, a "string", an attribute)'
KNOWN = 8192  # requirements that are remembered: more than may wait at a time

FUNCTIONS = frozenset(
    [
        "bool",
        "ceiling",
        "floor",
        "identicalmember",
        "ifthenelse",
        "int",
        "iserror",
        "isundefined",
        "max",
        "member",
        "min",
        "real",
        "round",
        "size",
        "strcat",
        "strcmp",
        "stricmp",
        "string",
        "substr",
        "tolower",
        "toupper",
        "versioncmp",
        "versioneq",
        "versionge",
        "versiongt",
        "versionle",
        "versionlt",
    ]
)

_TOKEN = pattern(
    r"""(?P<blank>\s+)
    | (?P<value> (?: [0-9]+ (?:\.[0-9]*)? | \.[0-9]+ ) (?:[eE][+-]?[0-9]+)? (?![A-Za-z0-9_.])
               | "(?:[^"\\\x00-\x1f\x7f]|\\["\\])*" )
    | (?P<name> [A-Za-z_][A-Za-z0-9_]* )
    | (?P<sign> =\?= | =!= | == | != | <= | >= | && | \|\| | [-<>+*/%!?:(){},.] )""",
    re.VERBOSE,
)
_WORDS = frozenset({"true", "false", "undefined", "error"})
_SCOPES = frozenset({"other", "target"})
_FORBIDDEN = frozenset({"my", "self", "parent", "root", "toplevel"})
_WORD_SIGNS = {"is": "=?=", "isnt": "=!="}
_BINARY = frozenset(
    ["=?=", "=!=", "==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "?", ":"]
)
_UNARY = frozenset("+-!")
_CLOSING = {"(": ")", "{": "}"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirements:
    """`text` with one way of spacing, and the `attributes` of the host that it names: lower case, in order."""

    text: str
    attributes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    start: int  # counted from 1, as people do


@lru_cache(maxsize=KNOWN)
def read_requirements(text: str) -> Requirements:
    """Raises `BadRequirements`, which says where, and what was expected."""
    if compared := comparisons_of(text):
        return Requirements(text=text, attributes=attributes_of(compared))
    requirements = check_requirements(text)
    from copilot.matching.classads import parse  # who has no requirements does not pay for it

    if parse(requirements.text) is None:
        raise BadRequirements(
            f"requirements {_short(text)!r}: no ClassAd expression, although each part of it may stand where it "
            "does: look at '?' and ':', which belong together"
        )
    return requirements


def check_requirements(text: str) -> Requirements:
    """The same without HTCondor's parser, which an agent does not load: nearly all that is wrong is found. Raises `BadRequirements`."""
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise BadRequirements(
            f"requirements of {len(text)} characters: at most {MAX_BYTES} bytes are allowed"
        )
    requirements = _Reader(text).read()
    if not requirements.attributes:
        raise BadRequirements(
            f"requirements {_short(text)!r}: expected at least one attribute of the host, like other.Memory; leave out "
            "requirements that say nothing of it"
        )
    if len(requirements.attributes) > MAX_ATTRIBUTES or len(requirements.text) > MAX_BYTES:
        raise BadRequirements(
            f"requirements {_short(text)!r}: {len(requirements.attributes)} attributes, {len(requirements.text)} characters when "
            f"each is written as other.<name>: at most {MAX_ATTRIBUTES} and {MAX_BYTES} are allowed"
        )
    return requirements


def normal_requirements(text: str) -> str:
    """The same with one way of spacing, so that jobs that want the same are of one group; "" for nothing but blanks.

    Raises `BadRequirements`.
    """
    return read_requirements(text).text if text.strip() else ""


def for_sealed_hosts(text: str) -> str:
    """The same for agents in a sealed session alone: those of jobs with secrets. Raises `BadRequirements`."""
    return normal_requirements(f"({text}) && {NEEDS_SEALED}" if text.strip() else NEEDS_SEALED)


class _Reader:
    """Reads one expression from left to right; a value and a sign take turns."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = list(_tokens(text))
        self._at = 0
        self._open: list[_Token] = []  # brackets
        self._plain: list[bool] = []  # whether each of them holds one value alone
        self._words: list[str] = []  # the function that each of them belongs to, or ""
        self._calls = 0
        self._joined = 0
        self._pieces: list[str] = []
        self._attributes: set[str] = set()

    def read(self) -> Requirements:
        self._value()
        while self._peek() is not None:
            self._sign()
        if self._open:
            raise self._fault(self._open[-1], f"{_CLOSING[self._open[-1].text]!r} to close it")
        return Requirements(text="".join(self._pieces), attributes=tuple(sorted(self._attributes)))

    def _value(self) -> None:
        """All up to the end of a value: signs and brackets in front of it too."""
        signs = 0
        while True:
            token = self._next(VALUE)
            if token.kind == "sign" and token.text in _UNARY and signs < MAX_DEPTH:
                signs += 1
                self._pieces.append(token.text)
            elif token.kind == "sign" and token.text in _CLOSING:
                self._bracket(token, plain=token.text == "(")
                if token.text == "{" and self._follows("}"):
                    self._close()
                    return
            elif token.kind == "value":
                self._pieces.append(token.text)
                return
            elif token.kind == "name":
                if self._name(token):
                    return
            else:
                raise self._fault(token, VALUE)

    def _name(self, token: _Token) -> bool:
        """Whether the value ends here: that of a function does not."""
        word = token.text.lower()
        if self._follows("("):
            if word not in FUNCTIONS:
                raise self._fault(token, f"one of the functions {', '.join(sorted(FUNCTIONS))}")
            self._calls += 1
            if self._calls > MAX_CALLS:
                raise self._fault(token, f"at most {MAX_CALLS} calls of functions")
            self._pieces.append(token.text)
            self._bracket(self._next("("), plain=False, word=word)
            return False
        if word in _SCOPES:
            self._expect(".", f"'.' and an attribute after {token.text!r}")
            name = self._next("an attribute")
            if name.kind != "name":
                raise self._fault(name, "an attribute")
            self._attributes.add(name.text.lower())
            self._pieces.append(f"other.{name.text}")
        elif word in _FORBIDDEN | _WORD_SIGNS.keys():
            raise self._fault(token, "an attribute of the host, like other.Memory")
        elif word in _WORDS:
            self._pieces.append(word)
        else:
            self._attributes.add(word)
            self._pieces.append(f"other.{token.text}")
        if word not in _WORDS and "strcat" in self._words:
            self._joined += 1
            if self._joined > MAX_JOINED:
                raise self._fault(token, f"at most {MAX_JOINED} attributes inside strcat")
        return True

    def _sign(self) -> None:
        """A sign after a value, and the value after it if there must be one."""
        token = self._next("a sign")
        sign = _WORD_SIGNS.get(token.text.lower(), token.text)
        if sign in _BINARY:
            self._pieces.append(f" {sign} ")
            self._value()
        elif sign == "," and self._open and not self._plain[-1]:
            self._pieces.append(", ")
            self._value()
        elif self._open and sign == _CLOSING[self._open[-1].text]:
            self._at -= 1
            self._close()
        else:
            expected = "a sign like && or >="
            raise self._fault(
                token, f"{expected}, or {_CLOSING[self._open[-1].text]!r}" if self._open else expected
            )

    def _bracket(self, token: _Token, *, plain: bool, word: str = "") -> None:
        if len(self._open) == MAX_DEPTH:
            raise self._fault(token, f"at most {MAX_DEPTH} brackets in each other")
        self._open.append(token)
        self._plain.append(plain)
        self._words.append(word)
        self._pieces.append(token.text)

    def _close(self) -> None:
        self._pieces.append(self._next("a bracket").text)
        self._open.pop()
        self._plain.pop()
        self._words.pop()

    def _peek(self) -> _Token | None:
        return self._tokens[self._at] if self._at < len(self._tokens) else None

    def _follows(self, text: str) -> bool:
        token = self._peek()
        return token is not None and token.text == text

    def _expect(self, text: str, expected: str) -> None:
        token = self._next(expected)
        if token.text != text:
            raise self._fault(token, expected)

    def _next(self, expected: str) -> _Token:
        token = self._peek()
        if token is None:
            raise BadRequirements(f"requirements {_short(self._text)!r}: expected {expected} at the end")
        self._at += 1
        return token

    def _fault(self, token: _Token, expected: str) -> BadRequirements:
        return _fault(self._text, token.start, expected)


def _tokens(text: str) -> Iterator[_Token]:
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        kind, word = ("unknown", text[at]) if match is None else (match.lastgroup or "", match[0])
        if kind != "blank":
            yield _Token(kind, word, at + 1)
        at += len(word)


def _fault(text: str, start: int, expected: str) -> BadRequirements:
    return BadRequirements(
        f"requirements, character {start}, at {_short(text[start - 1 :])!r}: expected {expected}"
    )


def _short(text: str) -> str:
    return text if len(text) <= 30 else text[:29] + "…"
