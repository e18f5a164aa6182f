"""What a job takes of a host, and what a host has left: one vector each (decision 20).

A request is part of the name of a job's group, so jobs of one group are of one size, and who looks for a job that fits
reads that from names alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

from copilot.host import MEBIBYTE
from copilot.job import MAX_CORES, MAX_GPUS, JobSpec

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
