"""What a job takes of a host, and what a host has left: one vector each (decision 20).

A request is part of the name of a job's group, so jobs of one group are of one size, and who looks for a job that fits
reads that from names alone.
"""

from __future__ import annotations

import enum
import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Self

from copilot.host import MEBIBYTE
from copilot.job import MAX_CORES, MAX_GPUS, JobSpec
from copilot.records import dataclass

KEY_DIGITS = 27
LARGEST = 2**28 - 1  # MiB and s: seven hexadecimal digits


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a job needs at least while it runs: `memory` and `disk` in MiB, `time` in s; 0: it does not say."""

    cores: int = 1
    gpus: int = 0
    memory: int = 0
    disk: int = 0
    time: int = 0

    @classmethod
    def of(cls, spec: JobSpec) -> Self:
        """What this job needs."""
        return cls(
            cores=spec.cores,
            gpus=spec.gpus,
            memory=_mebibytes(spec.memory),
            disk=_mebibytes(spec.disk),
            time=min(math.ceil(spec.max_run_time or 0), LARGEST),
        )

    @property
    def key(self) -> str:
        """`KEY_DIGITS` hexadecimal digits: 3 of cores, 3 of GPUs, and 7 of memory, disk and time each."""
        return f"{self.cores:03x}{self.gpus:03x}{self.memory:07x}{self.disk:07x}{self.time:07x}"

    @classmethod
    def from_key(cls, key: str) -> Self:
        """The inverse of `key`."""
        cores, gpus, memory, disk, time = (
            int(digits, 16) for digits in (key[:3], key[3:6], key[6:13], key[13:20], key[20:27])
        )
        return cls(cores=cores, gpus=gpus, memory=memory, disk=disk, time=time)


@dataclass(frozen=True, slots=True, kw_only=True)
class Free:
    """What an agent has left for new jobs; None: it does not say, so that sets no limit.

    `cores` and `gpus` that no job has, of which one job gets `most` cores at most; `ahead`: how many jobs of one core it takes
    besides, to have them at hand. `memory` and `disk` in MiB, `time` in s until it leaves.
    """

    cores: int
    ahead: int = 0
    most: int | None = None
    gpus: int = 0
    memory: int | None = None
    disk: int | None = None
    time: int | None = None

    @classmethod
    def unsaid(cls, slots: int) -> Self:
        """That of an agent that does not say, and can take so many jobs: each of one core, for it counts no others."""
        return cls(cores=min(slots, MAX_CORES), most=1)

    @property
    def is_full(self) -> bool:
        """Whether no job at all fits."""
        return self.cores <= 0 and self.ahead <= 0

    @property
    def text(self) -> str:
        """As it goes over the wire and stands in the store: `cores=12 gpus=1 memory=4096`, in the order of the fields."""
        said = ((one.name, getattr(self, one.name)) for one in fields(self))
        return " ".join(
            f"{name}={value}" for name, value in said if value or (value == 0 and name in _TELLING)
        )

    @classmethod
    def read(cls, text: str) -> Self:
        """The inverse of `text`; words that are not known are passed over. Raises `ValueError`."""
        said: dict[str, int] = {}
        for word in text.split():
            name, _, value = word.partition("=")
            if name in _MOST and name not in said:
                said[name] = _whole(name, value)
        if "cores" not in said:
            raise ValueError(
                f"free {text[:80]!r}: expected cores=<number> and then what else there is, like memory=<MiB>"
            )
        return cls(**said)


class Fit(enum.Enum):
    """Whether a job may begin on what is free."""

    NOW = enum.auto()
    LATER = enum.auto()  # when more is free
    NEVER = enum.auto()  # it is larger than what one job gets, or would not end in time


def fits(free: Free, request: Request) -> Fit:
    """Whether a job with this request may begin. One of one core may be taken ahead, when no core is free. The scripts do the same
    (packing.lua)."""
    if request.cores > (free.most or request.cores) or (free.time is not None and request.time > free.time):
        return Fit.NEVER
    if free.is_full or (free.memory is not None and request.memory > free.memory):
        return Fit.LATER
    if free.disk is not None and request.disk > free.disk:
        return Fit.LATER
    if request.cores <= free.cores and request.gpus <= free.gpus:
        return Fit.NOW
    ahead = free.cores <= 0 and request.cores == 1 and request.gpus == 0
    return Fit.NOW if ahead else Fit.LATER


def cores_for(spec: JobSpec, free: Free, allowed: float = math.inf) -> int:
    """How many cores a job gets that fits: as many as it can use of those that are left, and of those that it may have."""
    most = min(spec.max_cores or spec.cores, free.cores, free.most or free.cores, allowed)
    return max(spec.cores, int(most))


def take_off(free: Free, request: Request, cores: int) -> Free:
    """What is left when a job has got so many cores."""
    if free.cores <= 0:
        return replace(free, ahead=free.ahead - 1)
    return replace(
        free,
        cores=free.cores - cores,
        gpus=free.gpus - request.gpus,
        memory=None if free.memory is None else free.memory - request.memory,
        disk=None if free.disk is None else free.disk - request.disk,
    )


_TELLING = frozenset({"cores", "memory", "disk", "time"})  # where 0 says something else than nothing
_MOST: Mapping[str, int] = {
    "cores": MAX_CORES,
    "ahead": 100_000,
    "most": MAX_CORES,
    "gpus": MAX_GPUS,
    "memory": LARGEST,
    "disk": LARGEST,
    "time": LARGEST,
}


def _whole(name: str, value: str) -> int:
    if not (value.isascii() and value.isdigit() and len(value) <= 10):
        raise ValueError(f"free {name}={value[:20]!r}: expected a whole number from 0")
    return min(int(value), _MOST[name])


def _mebibytes(size: int | None) -> int:
    return min(-(-(size or 0) // MEBIBYTE), LARGEST)
