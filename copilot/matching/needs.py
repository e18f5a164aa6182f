"""What a job needs of its host beside its own requirements, as a part of these: it is not given to a host that is too small."""

from __future__ import annotations

import math
from collections.abc import Iterator

from copilot.host import KIBIBYTE, MEBIBYTE
from copilot.job import JobSpec, image_kind
from copilot.matching.requirements import normal_requirements


def with_needs(
    requirements: str,
    *,
    memory: int | None,
    disk: int | None,
    network: bool = False,
    image: str = "",
    cores: int = 1,
    gpus: int = 0,
) -> str:
    """Normal requirements (`normal_requirements`) of a job with these limits, in bytes, and this request. A host that says nothing of
    what it lets a job have, as older agents do, is taken by its memory, free disk and cores as a whole; one that says nothing of cores
    at all takes jobs of one. Raises `BadRequirements`."""
    return _joined(requirements, [*_needs(memory, disk, network, image), *_request(cores, gpus)])


def needed(spec: JobSpec) -> str:
    """The requirements by which a job is matched: its own, and that a host has cores and GPUs for it if these do not say so.
    Raises `BadRequirements`."""
    own = spec.requirements
    needs = [need for need in _request(spec.cores, spec.gpus) if need not in own]
    return _joined(own, needs) if needs else own


def _joined(requirements: str, needs: list[str]) -> str:
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


def _request(cores: int, gpus: int) -> Iterator[str]:
    if cores > 1:
        yield _at_least("MaxCores", "Cores", cores)
    if gpus:
        yield f"other.Gpus >= {gpus}"


def _at_least(ours: str, otherwise: str, number: int) -> str:
    return f"ifThenElse(isUndefined(other.{ours}), other.{otherwise}, other.{ours}) >= {number}"
