"""What an agent announces of its host besides the hardware: programs, tags, its projects, and which jobs it wants.

All of that stands in its JDL, which may not grow over what managers read of one.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence

from copilot.errors import BadRequirements
from copilot.matching.host import MAX_BYTES as MOST_OF_JDL
from copilot.matching.requirements import check_requirements
from copilot.protocol.jdl import Value

log = logging.getLogger("copilot.agent")

MAX_NAMES, MAX_OF_NAMES = 100, 3 * 1024  # tags, and projects: how many, and bytes of all
MAX_REQUIREMENTS = 4 * 1024  # bytes
# What requirements of hosts see of a job (decision 20).
JOB_ATTRIBUTES = (
    "Cores",
    "Disk",
    "Gpus",
    "Image",
    "Memory",
    "Network",
    "Owner",
    "Project",
    "Requirements",
    "Tags",
    "Time",
    "Type",
)
RESERVE = 512  # bytes of a JDL for numbers that become longer
_PART = re.compile(r"[0-9]+|[^0-9]+")


def too_many(names: Sequence[str]) -> str | None:
    """Why these cannot be all tags or projects of an agent; None if they can."""
    size = sum(len(name.encode()) for name in names)
    if len(names) <= MAX_NAMES and size <= MAX_OF_NAMES:
        return None
    return (
        f"expected at most {MAX_NAMES} of {MAX_OF_NAMES} bytes together, found {len(names)} of {size} bytes"
    )


def why_not(requirements: str) -> str | None:
    """Why these cannot be what a host asks of jobs; None if they can."""
    if len(requirements.encode()) > MAX_REQUIREMENTS:
        return f"expected at most {MAX_REQUIREMENTS} bytes, found {len(requirements.encode())}"
    try:
        named = check_requirements(requirements).attributes
    except BadRequirements as error:
        return str(error)
    unknown = sorted(set(named) - {name.lower() for name in JOB_ATTRIBUTES})
    if unknown:
        return f"no job has the attribute {unknown[0][:80]!r}; expected some of {', '.join(JOB_ATTRIBUTES)}"
    return None


def requirements_of_jobs(requirements: str, projects: Sequence[str]) -> str:
    """What a host with these settings asks of jobs; "" for nothing. Raises `BadRequirements`."""
    named = ", ".join(f'"{project}"' for project in projects)
    ours = f"member(other.Project, {{{named}}})" if projects else ""
    both = [check_requirements(one).text for one in (requirements, ours) if one.strip()]
    return " && ".join(f"({one})" for one in both) if len(both) > 1 else "".join(both)


def attributes_of(
    programs: Mapping[str, Sequence[str]], tags: Sequence[str], projects: Sequence[str]
) -> dict[str, Value]:
    """As the JDL has them: `Programs` with all versions, and for each `Program_<name>` the highest one."""
    highest: dict[str, Value] = {}
    names: dict[str, str] = {}
    for name, versions in programs.items():
        attribute = f"Program_{re.sub('[^A-Za-z0-9]', '_', name)}"
        if (other := names.setdefault(attribute.lower(), name)) != name:
            log.warning(
                "program %s: %s is that of %s already, so only Programs has it", name, attribute, other
            )
            continue
        highest[attribute] = max(versions, key=version_key)
    found: dict[str, Value] = {
        "Programs": tuple(f"{name}/{one}" for name, versions in programs.items() for one in versions),
        "Tags": tuple(tags),
        "Projects": tuple(projects),
    }
    return {**{name: value for name, value in found.items() if value}, **highest}


def fitting(programs: Mapping[str, Sequence[str]], rest: int) -> Mapping[str, Sequence[str]]:
    """As many of them, first ones first, as fit into a JDL of which so many bytes are taken."""
    left = MOST_OF_JDL - RESERVE - rest
    kept: dict[str, Sequence[str]] = {}
    for name, versions in programs.items():
        left -= sum(len(name) + len(one) + len('"/", ') for one in versions)
        left -= len(f'  Program_{name} = "{max(versions, key=len)}";\n')
        if left < 0:
            text = "the JDL is full: %d of %d programs are announced, not %s; managers read %d bytes of one"
            log.warning(
                text, len(kept), len(programs), ", ".join([*programs][len(kept) :])[:500], MOST_OF_JDL
            )
            break
        kept[name] = versions
    return kept


def version_key(version: str) -> tuple[tuple[bool, int, str], ...]:
    """Numbers in it count as numbers: 4.10 is more than 4.9."""
    return tuple(_parts(version))


def _parts(version: str) -> Iterator[tuple[bool, int, str]]:
    for part in _PART.findall(version):
        yield (True, int(part), "") if part.isdigit() else (False, 0, part)
