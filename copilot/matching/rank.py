"""The rank of a job: which of the hosts that it may have it would rather have (decision 23).

A ClassAd expression over what a host says of itself, in the language of requirements and with their bounds
(`copilot.matching.requirements`). Its value is a number; what is none counts as 0, as in HTCondor.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from copilot.errors import BadRequirements
from copilot.matching.host import Host
from copilot.matching.requirements import Requirements, read_requirements

KNOWN = 1024  # ranks that are remembered

# What a job with a rank requires that requires nothing: it holds on every host, and every version of a manager can evaluate it.
ANYWHERE = "other.Cores =!= error"


@lru_cache(maxsize=KNOWN)
def read_rank(text: str) -> Requirements:
    """Raises `BadRequirements`, which says where, and what was expected."""
    try:
        return read_requirements(text)
    except BadRequirements as error:
        said = str(error).replace("requirements", "rank", 1)
        raise BadRequirements(
            said.replace("; leave out requirements that say", "; leave out a rank that says")
        ) from None


def normal_rank(text: str) -> str:
    """The same with one way of spacing; "" for nothing but blanks. Raises `BadRequirements`."""
    return read_rank(text).text if text.strip() else ""


def rank_of(rank: str, host: Host) -> float:
    """How much a host is preferred; 0 without a rank, and for one that cannot be read."""
    if not rank:
        return 0.0
    from copilot.matching.classads import number

    return number(_tree(rank), host.scope)


def requirements_to_show(requirements: str) -> str:
    """Without those that stand for none."""
    return "" if requirements == ANYWHERE else requirements


@lru_cache(maxsize=KNOWN)
def _tree(rank: str) -> Any:
    """The tree of a checked rank; None for what does not pass the check."""
    from copilot.matching.classads import parse

    try:
        return parse(read_rank(rank).text)
    except BadRequirements:
        return None
