"""Whether a host may have a job: the one question, in two forms."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from copilot.errors import BadRequirements
from copilot.job import JobSpec
from copilot.matching.host import NOTHING, Host, read_host, requirements_of
from copilot.matching.needs import needed
from copilot.matching.requirements import KNOWN, read_requirements
from copilot.matching.resources import Request

__all__ = ["Host", "accepts", "job_scope", "matches", "read_host", "suits", "verdicts"]


def suits(spec: JobSpec, jdl: str) -> bool:
    """Whether the host that says this of itself may have the job, and wants it."""
    try:
        return matches(needed(spec), jdl) and accepts(requirements_of(jdl), spec)
    except BadRequirements:
        return False


def accepts(requirements: str, spec: JobSpec) -> bool:
    """Whether a host with these requirements of jobs ("": any will do) wants this one. Jobs of one group are alike here."""
    if not requirements:
        return True
    from copilot.matching.classads import holds

    return holds(_tree(requirements), job_scope(spec))


def job_scope(spec: JobSpec) -> Any:
    """What requirements of hosts see of a job (decision 20): sizes in MiB, `Time` in s, 0 for what it does not say."""
    from copilot.matching.classads import make_scope

    request = Request.of(spec)
    return make_scope(
        {
            "Type": "Job",
            "Cores": request.cores,
            "Gpus": request.gpus,
            "Memory": request.memory,
            "Disk": request.disk,
            "Time": request.time,
            "Owner": spec.owner,
            "Project": spec.project,
            "Tags": spec.tags,
            "Network": spec.network,
            "Image": spec.image,
            "Requirements": spec.requirements,
        }
    )


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

    if requirements == NOTHING:
        return None
    try:
        return parse(read_requirements(requirements).text)
    except BadRequirements:
        return None
