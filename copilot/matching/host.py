"""A host as requirements see it: the attributes that they name, with those that change all the time rounded.

Hosts with the same attributes are of one class, and a match is looked up by class. So an answer that was found once holds
for all of them, and for one host as long as nothing of it changes that anybody asks for.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from copilot.errors import BadRequirements
from copilot.matching.plainads import Value, read_plain_ad
from copilot.patterns import pattern
from copilot.records import dataclass

MAX_BYTES = 16 * 1024  # of what is parsed: from 64 KiB on, classad2 may end the process
KNOWN = 4096  # hosts that are remembered; what they say is long, and is read once
VOLATILE = frozenset({"freememory", "freeswap", "localdiskspace"})
_SLOTS = pattern(r"^\s*Slots\s*=\s*([0-9]{1,6})\s*;?\s*$", re.MULTILINE)  # as `protocol.jdl` writes it
SEALED = "sealed"  # the attribute that managers add, and no agent: whether it speaks in a sealed session
_MARK = "#sealed\n"  # before what such an agent says
REQUIRES = "!"  # before what a host says that asks for some jobs only, and before its class; the scripts have the same
_REQUIREMENTS = pattern(r"\brequirements\s*=(?![=?!])", re.IGNORECASE)
_EVERY_JOB = pattern(
    r'^\s*Requirements = \( other\.Type == "Job" \);?$', re.MULTILINE
)  # as the report's hosts, and ours, have it
_ONCE = '\n  Requirements = ( other.Type == "Job" );\n'
NOTHING = "false"  # what a host asks for whose requirements cannot be read
STEPS = 8  # between a power of two and the next: what is volatile is rounded down by an eighth at most


def slots_of(jdl: str) -> int:
    """How many jobs a host runs at the same time, as the agent has sent it; 0 if it does not say."""
    found = _SLOTS.search(jdl)
    return 0 if found is None else int(found[1])


def bounded(jdl: str) -> str:
    """What an agent says of its host, "" if that is longer than anybody would read."""
    return jdl if len(jdl.encode("utf-8", "replace")) <= MAX_BYTES else ""


def marked(jdl: str, *, sealed: bool) -> str:
    """What an agent says of its host, with what its manager knows of it. Nothing is added to nothing."""
    while jdl.startswith((_MARK, REQUIRES)):
        jdl = jdl.removeprefix(_MARK).removeprefix(REQUIRES)
    return f"{_MARK}{jdl}" if sealed and jdl else jdl


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """What counts of one host: its class, and where expressions find its attributes."""

    host_class: str
    scope: Any
    requirements: str = ""  # that it has of jobs


@lru_cache(maxsize=KNOWN)
def requirements_of(jdl: str) -> str:
    """What a host asks of jobs, in the one way of writing; "" for nothing but that they are jobs, which costs nothing to find.

    `NOTHING` if it asks for something that cannot be read: then it gets no jobs, rather than wrong ones. What is no ClassAd at all, as
    old programs may send it, asks for nothing."""
    if _asks_once(jdl) or len(_REQUIREMENTS.findall(jdl)) == len(_EVERY_JOB.findall(jdl)):
        return ""
    from copilot.matching.classads import read_expression
    from copilot.matching.requirements import normal_requirements

    said = read_expression(_plain(jdl), "Requirements")
    try:
        return _without_type(normal_requirements(said)) if said not in ("", "true") else ""
    except BadRequirements:
        return NOTHING


def _asks_once(jdl: str) -> bool:
    """Whether it has one line of requirements, that of our agents: what the expressions find, too, which take ten times as long."""
    return _ONCE in jdl and jdl.isascii() and jdl.lower().count("requirements") == 1


def _without_type(requirements: str) -> str:
    return "" if requirements in (_TYPE, f"({_TYPE})", f"( {_TYPE} )") else requirements


_TYPE = 'other.Type == "Job"'


def with_mark(jdl: str) -> str:
    """What is kept of what an agent has said of its host: behind `REQUIRES` if it asks for some jobs only."""
    return f"{REQUIRES}{jdl}" if jdl and requirements_of(jdl) else jdl


def _plain(jdl: str) -> str:
    return jdl.removeprefix(REQUIRES).removeprefix(_MARK)


@lru_cache(maxsize=KNOWN)
def read_host(jdl: str, names: tuple[str, ...]) -> Host:
    """`jdl` as the agent has sent it, `names` of attributes in lower case, in order. One that cannot be read has none."""
    from copilot.matching.classads import make_scope

    attributes = {name: rounded(name, value) for name, value in attributes_of(jdl, names).items()}
    requirements = requirements_of(jdl)
    host_class = _class_of(names, attributes, requirements)
    return Host(host_class=host_class, scope=make_scope(attributes), requirements=requirements)


def attributes_of(jdl: str, names: tuple[str, ...]) -> dict[str, Value]:
    """What a host says under these names (lower case), and what its manager knows of it."""
    said = read_plain_ad(ad := _plain(jdl), names) if names else {}
    if said is None:
        from copilot.matching.classads import read_literals

        said = read_literals(ad, names)
    attributes = {name: value for name, value in said.items() if name != SEALED}
    if SEALED in names:
        attributes[SEALED] = jdl.removeprefix(REQUIRES).startswith(_MARK)
    return attributes


def _class_of(names: tuple[str, ...], attributes: Mapping[str, Value], requirements: str) -> str:
    """32 characters: the same for the same attributes among the same names, and the same requirements, and for nothing else."""
    said = [names, sorted(attributes.items()), *([requirements] if requirements else [])]
    digits = hashlib.sha256(json.dumps(said, separators=(",", ":")).encode()).hexdigest()[:32]
    return f"{REQUIRES}{digits[1:]}" if requirements else digits


def rounded(name: str, value: Value) -> Value:
    """What is volatile, rounded down (`round_down`)."""
    if name not in VOLATILE or isinstance(value, bool) or not isinstance(value, int | float):
        return value
    return round_down(int(value)) if abs(value) < 2**63 else value


def round_down(number: int) -> int:
    """To `STEPS` steps between a power of two and the next; what is smaller than `STEPS`, and not positive, stays."""
    step = max(number.bit_length() - STEPS.bit_length(), 0)
    return number >> step << step if number > 0 else number
