"""Why no host meets requirements: they are taken apart at `&&`, and each part is tried on the hosts that are there.

Hosts that say the same of the attributes in question are tried once. Numbers that change all the time are rounded as when jobs
are given out, so what is told here is what happens there.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from copilot.errors import BadRequirements
from copilot.matching.comparisons import all_true, comparisons_of
from copilot.matching.host import SEALED, attributes_of, rounded
from copilot.matching.plainads import Value
from copilot.matching.requirements import read_requirements
from copilot.patterns import pattern
from copilot.records import dataclass

MOST_PARTS = 32  # what stands behind them is one part together
MOST_PAIRS = 200  # of parts that are looked at
MOST_CLASSES = 500  # of hosts; those that are rare count as one that meets nothing beyond
SHOWN_VALUES = 3

_COMPARED = pattern(
    r'other\.(?P<name>\w+) (?P<sign>>=|>|<=|<|==|=\?=) (?P<value>-?[0-9.]+(?:[eE][+-]?\d+)?|"[^"\\]*"|true|false)\Z'
)
_AT_LEAST = pattern(
    r"ifThenElse\(isUndefined\(other\.(?P<ours>\w+)\), (?P<otherwise>.+), other\.(?P=ours)\) >= (?P<value>\d+)\Z"
)
_MEMBER = pattern(r'member\("(?P<value>[^"\\]*)", other\.(?P<name>\w+)\)\Z')
_SCOPE = pattern(r"\bother\.")


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
    return Hosts(hosts, [requirements]).attempt(requirements)


class Hosts:
    """Hosts, each read once, by classes of those that say the same of some attributes; each class is looked at once."""

    def __init__(self, hosts: Sequence[str], requirements: Iterable[str]) -> None:
        """`hosts` are what each says of itself (JDL); they will be asked about these `requirements` and no others."""
        names = sorted({name for text in requirements for name in _names(text)})
        self._said = [attributes_of(jdl, tuple(names)) for jdl in hosts] if names else [{}] * len(hosts)
        self._classes: dict[tuple[str, ...], list[_Class]] = {}

    def meet(self, requirements: str) -> frozenset[int]:
        """The numbers of those that meet them."""
        if not requirements:
            return frozenset(range(len(self._said)))
        classes = self.classes(_names(requirements))
        return frozenset(number for one in classes if one.holds(requirements) for number in one.numbers)

    def any_meets(self, requirements: str, among: frozenset[int]) -> bool:
        """Whether one of those with these numbers does; it is found quickly if many do."""
        if not requirements:
            return bool(among)
        classes = self.classes(_names(requirements))
        return any(not among.isdisjoint(one.numbers) and one.holds(requirements) for one in classes)

    def attempt(self, requirements: str) -> Tried:
        """What comes of them: see `try_hosts`."""
        total = len(self._said)
        if not requirements:
            return Tried(hosts=total, meet=frozenset(range(total)), parts=())
        if not _names(requirements):
            return Tried(hosts=total, meet=frozenset(), parts=(Part(text=requirements, met=0),))
        return _Trial(requirements, self.classes(_names(requirements)), total).result()

    def classes(self, names: tuple[str, ...]) -> list[_Class]:
        """Hosts that say the same under these names, the most common first."""
        if not names:
            return []
        if names not in self._classes:
            self._classes[names] = list(_classes(names, self._said))
        return self._classes[names]


def _names(requirements: str) -> tuple[str, ...]:
    """The attributes that they name; none if they cannot be read."""
    if not requirements:
        return ()
    try:
        return read_requirements(requirements).attributes
    except BadRequirements:
        return ()


@dataclass(slots=True)
class _Class:
    """What some hosts say alike, and their numbers."""

    attributes: Mapping[str, Value]
    numbers: list[int]
    _scope: Any = None

    def holds(self, requirements: str) -> bool:
        """Whether they are true there."""
        compared = comparisons_of(requirements)
        if compared and (found := all_true(compared, self.attributes)) is not None:
            return found
        from copilot.matching.classads import holds, make_scope

        if self._scope is None:
            self._scope = make_scope(self.attributes)
        return holds(_tree(requirements), self._scope)


class _Trial:
    """Requirements on hosts."""

    def __init__(self, requirements: str, classes: Sequence[_Class], total: int) -> None:
        self._requirements = requirements
        self._total = total
        self._classes = classes
        self._parts = parts_of(requirements)

    def result(self) -> Tried:
        meet: set[int] = set()
        of_part: list[set[int]] = [set() for _ in self._parts]
        for one in self._classes:
            if one.holds(self._requirements):
                meet.update(one.numbers)
            for text, those in zip(self._parts, of_part, strict=True):
                if one.holds(text):
                    those.update(one.numbers)
        parts = tuple(self._part(text, len(those)) for text, those in zip(self._parts, of_part, strict=True))
        tried = Tried(hosts=self._total, meet=frozenset(meet), parts=parts)
        return tried if meet or not self._total else self._with_closest(tried, of_part)

    def _with_closest(self, tried: Tried, of_part: Sequence[set[int]]) -> Tried:
        numbers = [one.numbers[0] for one in self._classes]
        closest = max(numbers, key=lambda number: (sum(number in those for those in of_part), -number))
        lacks = tuple(part for part, those in zip(tried.parts, of_part, strict=True) if closest not in those)
        apart = _apart(tried.parts, of_part)
        return replace(tried, apart=apart, closest=closest, lacks=lacks)

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
        for one in self._classes:
            value = one.attributes.get(name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield value

    def _sizes(self, ours: str, otherwise: str) -> Iterator[int | float]:
        other = otherwise.removeprefix("other.").lower()
        for one in self._classes:
            value = one.attributes.get(ours, one.attributes.get(other))
            if isinstance(value, int | float) and not isinstance(value, bool):
                yield value

    def _said(self, name: str) -> tuple[tuple[str, int], ...]:
        counts: Counter[str] = Counter()
        for one in self._classes:
            for word in _words(one.attributes.get(name)):
                counts[word] += len(one.numbers)
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


def _classes(names: tuple[str, ...], hosts: Sequence[Mapping[str, Value]]) -> Iterator[_Class]:
    classes: dict[tuple[tuple[str, Value], ...], list[int]] = {}
    for number, said in enumerate(hosts):
        key = tuple((name, rounded(name, said[name])) for name in names if name in said)
        classes.setdefault(key, []).append(number)
    order = sorted(classes.items(), key=lambda one: -len(one[1]))
    for key, numbers in order[:MOST_CLASSES]:
        yield _Class(dict(key), numbers)
    if rare := [number for _, numbers in order[MOST_CLASSES:] for number in numbers]:
        yield _Class({}, rare)


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
