"""Why no host meets requirements: they are taken apart at `&&`, and each part is tried on the hosts that are there.

Hosts that say the same of the attributes in question are tried once. Numbers that change all the time are rounded as when jobs
are given out, so what is told here is what happens there.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from copilot.errors import BadRequirements
from copilot.matching.host import SEALED, Value, attributes_of, rounded
from copilot.matching.requirements import read_requirements

MOST_PARTS = 32  # what stands behind them is one part together
MOST_PAIRS = 200  # of parts that are looked at
MOST_CLASSES = 500  # of hosts; those that are rare count as one that meets nothing beyond
SHOWN_VALUES = 3

_COMPARED = re.compile(
    r'other\.(?P<name>\w+) (?P<sign>>=|>|<=|<|==|=\?=) (?P<value>-?[0-9.]+(?:[eE][+-]?\d+)?|"[^"\\]*"|true|false)\Z'
)
_AT_LEAST = re.compile(
    r"ifThenElse\(isUndefined\(other\.(?P<ours>\w+)\), (?P<otherwise>.+), other\.(?P=ours)\) >= (?P<value>\d+)\Z"
)
_MEMBER = re.compile(r'member\("(?P<value>[^"\\]*)", other\.(?P<name>\w+)\)\Z')
_SCOPE = re.compile(r"\bother\.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """A part of requirements, and of how many hosts it is true. `size`: it is about how large a host is for one job.

    `best` is what the host says that comes closest, if the part compares a number; `said` is what most hosts say, and
    of how many each; both are empty if nobody says anything of it.
    """

    text: str
    met: int
    size: bool = False
    sealed: bool = False
    best: Value | None = None
    said: tuple[tuple[str, int], ...] = ()

    @property
    def plain(self) -> str:
        """As people would write it: `Memory >= 8192`."""
        return plain(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What came of requirements on `hosts` hosts: numbers of those that `meet` them, and their parts in order.

    `apart` are two parts that some hosts meet, but none both; `closest` is the number of a host that meets most parts, and `lacks`
    those that it does not.
    """

    hosts: int
    meet: frozenset[int]
    parts: tuple[Part, ...]
    apart: tuple[Part, Part] | None = None
    closest: int | None = None
    lacks: tuple[Part, ...] = ()


def parts_of(requirements: str) -> tuple[str, ...]:
    """The parts of normal requirements that all have to be true, without brackets around them."""
    text = _unwrapped(requirements)
    found = list(_split(text))
    if len(found) < 2:
        return (text,) if text else ()
    parts = [part for one in found for part in parts_of(one)]
    if len(parts) > MOST_PARTS:
        rest = " && ".join(f"({part})" for part in parts[MOST_PARTS - 1 :])
        parts = [*parts[: MOST_PARTS - 1], rest]
    return tuple(dict.fromkeys(parts))


def plain(text: str) -> str:
    """Requirements as people would write them."""
    if match := _AT_LEAST.match(text):
        return f"{match['ours']} >= {match['value']}"
    if match := _MEMBER.match(text):
        return f'"{match["value"]}" in {match["name"]}'
    return _SCOPE.sub("", text)


def try_hosts(requirements: str, hosts: Sequence[str]) -> Tried:
    """`hosts` are what each says of itself (JDL). Requirements that cannot be read are one part that nobody meets."""
    if not requirements:
        return Tried(hosts=len(hosts), meet=frozenset(range(len(hosts))), parts=())
    try:
        names = read_requirements(requirements).attributes
    except BadRequirements:
        return Tried(hosts=len(hosts), meet=frozenset(), parts=(Part(text=requirements, met=0),))
    return _Trial(requirements, names, hosts).result()


class Hosts:
    """Hosts, by classes of those that say the same of some attributes; each class is looked at once."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = hosts
        self._classes: dict[tuple[str, ...], list[tuple[dict[str, Value], list[int]]]] = {}

    def meet(self, requirements: str) -> frozenset[int]:
        """The numbers of those that meet them."""
        if not requirements:
            return frozenset(range(len(self._hosts)))
        try:
            names = read_requirements(requirements).attributes
        except BadRequirements:
            return frozenset()
        if names not in self._classes:
            self._classes[names] = list(_classes(names, self._hosts))
        return frozenset(
            number
            for attributes, numbers in self._classes[names]
            if _holds(requirements, attributes)
            for number in numbers
        )


class _Trial:
    """Requirements on hosts."""

    def __init__(self, requirements: str, names: tuple[str, ...], hosts: Sequence[str]) -> None:
        self._requirements = requirements
        self._hosts = hosts
        self._classes = list(_classes(names, hosts))
        self._parts = parts_of(requirements)

    def result(self) -> Tried:
        meet: set[int] = set()
        of_part: list[set[int]] = [set() for _ in self._parts]
        for attributes, numbers in self._classes:
            if _holds(self._requirements, attributes):
                meet.update(numbers)
            for text, those in zip(self._parts, of_part, strict=True):
                if _holds(text, attributes):
                    those.update(numbers)
        parts = tuple(self._part(text, len(those)) for text, those in zip(self._parts, of_part, strict=True))
        tried = Tried(hosts=len(self._hosts), meet=frozenset(meet), parts=parts)
        return tried if meet or not self._hosts else self._with_closest(tried, of_part)

    def _with_closest(self, tried: Tried, of_part: Sequence[set[int]]) -> Tried:
        numbers = [numbers[0] for _, numbers in self._classes]
        closest = max(numbers, key=lambda number: (sum(number in those for those in of_part), -number))
        lacks = tuple(part for part, those in zip(tried.parts, of_part, strict=True) if closest not in those)
        return Tried(
            hosts=tried.hosts,
            meet=tried.meet,
            parts=tried.parts,
            apart=_apart(tried.parts, of_part),
            closest=closest,
            lacks=lacks,
        )

    def _part(self, text: str, met: int) -> Part:
        at_least, compared, member = _AT_LEAST.match(text), _COMPARED.match(text), _MEMBER.match(text)
        name = compared["name"] if compared else member["name"] if member else ""
        size = at_least is not None and at_least["ours"].startswith("Max")
        best: Value | None = None
        if at_least:
            best = _largest(self._sizes(at_least["ours"].lower(), at_least["otherwise"]))
        elif compared and compared["sign"] in (">=", ">"):
            best = _largest(self._numbers(name.lower()))
        elif compared and compared["sign"] in ("<=", "<"):
            best = min(self._numbers(name.lower()), default=None)
        sealed = name.lower() == SEALED
        said = () if best is not None or not name or sealed else self._said(name.lower())
        return Part(text=text, met=met, size=size, sealed=sealed, best=best, said=said)

    def _numbers(self, name: str) -> Iterator[int | float]:
        for attributes, _ in self._classes:
            value = attributes.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield value

    def _sizes(self, ours: str, otherwise: str) -> Iterator[int | float]:
        other = otherwise.removeprefix("other.").lower()
        for attributes, _ in self._classes:
            value = attributes.get(ours, attributes.get(other))
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield value

    def _said(self, name: str) -> tuple[tuple[str, int], ...]:
        counts: Counter[str] = Counter()
        for attributes, numbers in self._classes:
            value = attributes.get(name)
            for word in _words(value):
                counts[word] += len(numbers)
        return tuple(counts.most_common(SHOWN_VALUES))


def _words(value: Value | None) -> Iterable[str]:
    if value is None:
        return ()
    if isinstance(value, bool):
        return (str(value).lower(),)
    return value if isinstance(value, tuple) else (str(value),)


def _largest(numbers: Iterable[int | float]) -> Value | None:
    return max(numbers, default=None)


def _apart(parts: Sequence[Part], of_part: Sequence[set[int]]) -> tuple[Part, Part] | None:
    """Two parts that some hosts meet, but none both."""
    if any(not those for those in of_part):
        return None
    pairs = itertools.combinations(range(len(parts)), 2)
    for one, other in itertools.islice(pairs, MOST_PAIRS):
        if of_part[one].isdisjoint(of_part[other]):
            return parts[one], parts[other]
    return None


def _classes(names: tuple[str, ...], hosts: Sequence[str]) -> Iterator[tuple[dict[str, Value], list[int]]]:
    """Hosts that say the same under these names, the most common first."""
    classes: dict[tuple[tuple[str, Value], ...], list[int]] = {}
    for number, jdl in enumerate(hosts):
        said = attributes_of(jdl, names)
        key = tuple((name, rounded(name, said[name])) for name in names if name in said)
        classes.setdefault(key, []).append(number)
    order = sorted(classes.items(), key=lambda one: -len(one[1]))
    for key, numbers in order[:MOST_CLASSES]:
        yield dict(key), numbers
    if rare := [number for _, numbers in order[MOST_CLASSES:] for number in numbers]:
        yield {}, rare


def _holds(requirements: str, attributes: Mapping[str, Value]) -> bool:
    from copilot.matching.classads import holds, make_scope

    return holds(_tree(requirements), make_scope(attributes))


@lru_cache(maxsize=1024)
def _tree(text: str) -> Any:
    from copilot.matching.classads import parse

    return parse(text)


def _unwrapped(text: str) -> str:
    """Without brackets around all of it."""
    text = text.strip()
    while text.startswith("(") and _end_of(text) == len(text) - 1:
        text = text[1:-1].strip()
    return text


def _end_of(text: str) -> int:
    """Where the bracket closes with which a text begins."""
    return next((at for at, depth, _ in _read(text) if depth == 0 and at > 0), -1)


def _split(text: str) -> Iterator[str]:
    """What stands between `&&` outside of brackets; all of it if `||` or `?` stands there, too."""
    outside = [at for at, depth, code in _read(text) if depth == 0 and code]
    if any(
        (text[at] == "?" and text[at - 1 : at + 2] != "=?=") or text[at : at + 2] == "||" for at in outside
    ):
        yield text
        return
    begin = 0
    for at in outside:
        if text[at : at + 2] == "&&" and at >= begin:
            yield text[begin:at].strip()
            begin = at + 2
    yield text[begin:].strip()


def _read(text: str) -> Iterator[tuple[int, int, bool]]:
    """Each place with the depth of brackets behind it, and whether it is no part of a string."""
    depth, quoted, escaped = 0, False, False
    for at, character in enumerate(text):
        if quoted:
            quoted = escaped or character != '"'
            escaped = character == "\\" and not escaped
            yield at, depth, False
            continue
        if character == '"':
            quoted = True
        elif character in "({":
            depth += 1
        elif character in ")}":
            depth -= 1
        yield at, depth, True
