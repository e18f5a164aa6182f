"""The one module that knows `classad2`, HTCondor's own ClassAds: typed edges, bounds before each call, nothing raised.

Loaded when the first requirements are met, for it takes 12 MB: agents and managers of jobs without any do without it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import classad2

from copilot.matching.host import MAX_BYTES
from copilot.matching.plainads import Value

MAX_DEPTH = 50
_BRACKETS = re.compile(r"[\[\](){}]")


def parse(expression: str) -> Any:
    """The tree of an expression that was checked before; None if it is none."""
    try:
        return classad2.ExprTree(expression)
    except (classad2.ClassAdException, ValueError):  # the latter for what is no UTF-8
        return None


def read_literals(jdl: str, names: tuple[str, ...]) -> dict[str, Value]:
    """Those attributes (lower case) of an ad that are plain numbers, strings, truth values or lists of strings.

    Nothing is evaluated: an ad comes from an agent, and twenty lines of one can double a string a million times. An ad
    that cannot be read has no attributes.
    """
    if not _is_readable(jdl):
        return {}
    try:
        ad: Any = classad2.ClassAd(jdl)
        found = {name: _literal(ad[name]) for name in names if name in ad}
    except (classad2.ClassAdException, ValueError, KeyError, TypeError):
        return {}
    return {name: value for name, value in found.items() if value is not None}


def read_expression(jdl: str, name: str) -> str:
    """The text of an attribute, which is not evaluated; "" if the ad has none, or cannot be read."""
    if not _is_readable(jdl):
        return ""
    try:
        ad: Any = classad2.ClassAd(jdl)
        return str(ad.lookup(name)) if name in ad else ""
    except (classad2.ClassAdException, ValueError, KeyError, TypeError):
        return ""


def _is_readable(jdl: str) -> bool:
    return len(jdl.encode("utf-8", "replace")) <= MAX_BYTES and _depth(jdl) <= MAX_DEPTH and "\0" not in jdl


def make_scope(attributes: Mapping[str, Value]) -> Any:
    """Where expressions find `other.<attribute>`."""
    other = classad2.ClassAd()
    for name, value in attributes.items():
        other[name] = list(value) if isinstance(value, tuple) else value
    scope = classad2.ClassAd()
    scope["other"] = other
    return scope


def holds(tree: Any, scope: Any) -> bool:
    """Whether the expression is true there: `undefined` and `error` are not, nor is a number, nor what is too deep."""
    try:
        return tree is not None and tree.eval(scope) is True
    except classad2.ClassAdException:
        return False


def number(tree: Any, scope: Any) -> float:
    """What the expression is there: true is 1; false, and all that is no finite number, 0."""
    try:
        value = 0 if tree is None else tree.eval(scope)
        found = float(value) if type(value) in (bool, int, float) else 0.0
    except (classad2.ClassAdException, OverflowError):
        return 0.0
    return found if math.isfinite(found) else 0.0


def _literal(found: Any) -> Value | None:
    """What `classad2` hands out as plain data is a literal; of lists the strings count. None for anything else."""
    if isinstance(found, list):
        return tuple(item for item in found if type(item) is str)
    return found if type(found) in (bool, int, float, str) else None


def _depth(text: str) -> int:
    """How deep brackets stand in each other, at most; those in strings count as well."""
    depth = deepest = 0
    for bracket in _BRACKETS.findall(text):
        if bracket in "([{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest
