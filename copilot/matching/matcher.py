"""Whether a host may have a job: the one question, in two forms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from copilot.errors import BadRequirements
from copilot.matching.host import Host, read_host
from copilot.matching.requirements import KNOWN, read_requirements

__all__ = ["Host", "matches", "read_host", "verdicts"]


def matches(requirements: str, jdl: str) -> bool:
    """Whether the host that says this of itself may have a job with these requirements ("": every host may)."""
    if not requirements:
        return True
    try:
        names = read_requirements(requirements).attributes
    except BadRequirements:
        return False
    return _holds(requirements, read_host(jdl, names))


def verdicts(host: Host, requirements: Sequence[str]) -> tuple[bool, ...]:
    """Of each of them whether the host may have such jobs. What cannot be read, matches nothing."""
    return tuple(_holds(one, host) for one in requirements)


def _holds(requirements: str, host: Host) -> bool:
    from copilot.matching.classads import holds

    return holds(_tree(requirements), host.scope)


@lru_cache(maxsize=KNOWN)
def _tree(requirements: str) -> Any:
    """The tree of checked requirements; None for what does not pass the check."""
    from copilot.matching.classads import parse

    try:
        return parse(read_requirements(requirements).text)
    except BadRequirements:
        return None
