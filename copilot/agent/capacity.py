"""What an agent has for jobs, what a job takes of it, and what it still has room for (decision 20)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field, replace
from typing import Self

from copilot.host import MEBIBYTE
from copilot.job import sized
from copilot.matching.resources import LARGEST, Free, Request
from copilot.protocol.commands import Job
from copilot.records import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """All that an agent has for jobs; None: no limit. `memory` and `disk` in MiB.

    `jobs`: so many at a time, `most`: so many cores for one of them. `gpus` are the names by which programs find them, `cpus` the numbers
    of the cores if each job is to have its own; without any, jobs run on whichever are idle.
    """

    cores: int = 1
    jobs: int = 1
    most: int | None = None
    gpus: tuple[str, ...] = ()
    cpus: tuple[int, ...] = ()
    memory: int | None = None
    disk: int | None = None

    @classmethod
    def plain(cls, slots: int) -> Self:
        """One core for each of so many jobs, and no other limit."""
        return cls(cores=slots, jobs=slots)

    @property
    def places(self) -> int:
        """How many jobs of one core run at a time."""
        return min(self.cores, self.jobs)

    @property
    def largest(self) -> int:
        """So many cores a job may need."""
        return self.cores if self.most is None else min(self.cores, self.most)

    def share(self, amount: int | None, cores: int) -> int | None:
        """What so many cores have of `memory` or `disk`, for a job that does not say what it needs."""
        return None if amount is None else min(amount, amount // self.places * cores)

    def why_never(self, request: Request) -> str | None:
        """Why such a job could not begin here if there were no other; None if it could."""
        pairs = (
            ("cores", request.cores, self.largest),
            ("GPUs", request.gpus, len(self.gpus)),
            ("MiB of memory", request.memory, self.memory),
            ("MiB of disk", request.disk, self.disk),
        )
        for what, needed, most in pairs:
            if most is not None and needed > most:
                return f"it takes {needed} {what}, and a job of this agent gets {most} at most"
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What one job got: how many cores, which `cpus` if it is bound to some, and which GPUs. None: its manager does not know that
    GPUs are to be asked for."""

    cores: int = 1
    cpus: tuple[int, ...] = ()
    gpus: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """What an agent can take, or what its manager thinks that it can: so many `jobs`, of what is `free`."""

    jobs: int = 0
    free: Free = field(default_factory=lambda: Free(cores=0))

    def without(self, request: Request) -> Room:
        """When such a job has come."""
        free = self.free
        return Room(
            jobs=max(0, self.jobs - 1),
            free=replace(
                free,
                cores=max(0, free.cores - request.cores),
                gpus=max(0, free.gpus - request.gpus),
                memory=_less(free.memory, request.memory),
                disk=_less(free.disk, request.disk),
            ),
        )

    def exceeds(self, told: Room) -> bool:
        """Whether there is more than somebody was told."""
        ours, theirs = self.free, told.free
        return self.jobs > 0 and (
            self.jobs > told.jobs
            or ours.cores > theirs.cores
            or ours.gpus > theirs.gpus
            or _more(ours.memory, theirs.memory)
            or _more(ours.disk, theirs.disk)
        )


NOTHING = Room()


def in_words(capacity: Capacity) -> str:
    """For the log."""
    most = "" if capacity.most is None else f" (each {capacity.most} at most)"
    gpus = f", GPUs {','.join(capacity.gpus)}" if capacity.gpus else ""
    memory, disk = (
        "" if amount is None else f", {sized(amount * MEBIBYTE)} of {what}"
        for amount, what in ((capacity.memory, "memory"), (capacity.disk, "disk"))
    )
    return f"{capacity.cores} cores{most}{gpus}{memory}{disk}; at most {capacity.jobs} jobs at a time"


def said_of(capacity: Capacity) -> dict[str, int]:
    """What the host's JDL says of it: what a job can have that is alone here. Memory and disk have their own limits for jobs."""
    return {"Slots": capacity.jobs, "MaxCores": capacity.largest, "Gpus": len(capacity.gpus)}


def for_one_job(most: int | None, together: int | None) -> int | None:
    """What a job that is alone here gets of memory or disk: no more than all jobs together, or it would wait for what never is free."""
    return together if most is None else most if together is None else min(most, together)


def request_of(job: Job) -> Request:
    """What a job takes, as its manager has said it."""
    return Request(
        cores=max(1, job.cores or 1),
        gpus=job.gpus or 0,
        memory=_mebibytes(job.memory),
        disk=_mebibytes(job.disk),
    )


def total(requests: Iterable[Request]) -> Request:
    """What they take together."""
    cores = gpus = memory = disk = 0
    for one in requests:
        cores += one.cores
        gpus += one.gpus
        memory += one.memory
        disk += one.disk
    return Request(cores=cores, gpus=gpus, memory=memory, disk=disk)


def _mebibytes(size: int | None) -> int:
    return min(-(-(size or 0) // MEBIBYTE), LARGEST)


def _less(amount: int | None, by: int) -> int | None:
    return None if amount is None else max(0, amount - by)


def _more(ours: int | None, theirs: int | None) -> bool:
    return theirs is not None and (ours is None or ours > theirs)
