"""What a job needs of its host beside its own requirements, as a part of these: it is not given to a host that is too small."""

from __future__ import annotations

import math
from collections.abc import Iterator

from copilot.host import KIBIBYTE, MEBIBYTE
from copilot.job import image_kind
from copilot.matching.requirements import normal_requirements


def with_needs(
    requirements: str, *, memory: int | None, disk: int | None, network: bool = False, image: str = ""
) -> str:
    """Normal requirements (`normal_requirements`) of a job with these limits, in bytes. A host that says nothing of what it lets a
    job have, as older agents do, is taken by its memory and free disk as a whole. Raises `BadRequirements`."""
    needs = list(_needs(memory, disk, network, image))
    own = normal_requirements(requirements)
    if not needs:
        return own
    return normal_requirements(" && ".join([*([f"({own})"] if own else []), *needs]))


def _needs(memory: int | None, disk: int | None, network: bool, image: str) -> Iterator[str]:
    if memory is not None:
        yield _at_least("MaxMemory", "Memory", math.ceil(memory / MEBIBYTE))
    if disk is not None:
        yield _at_least("MaxDisk", "LocalDiskSpace", math.ceil(disk / KIBIBYTE))
    if network:
        yield "other.Network =!= false"
    if image:
        yield f'member("{image_kind(image)}", other.Images)'


def _at_least(ours: str, otherwise: str, number: int) -> str:
    return f"ifThenElse(isUndefined(other.{ours}), other.{otherwise}, other.{ours}) >= {number}"
