"""What limits are made of: the port to a group of processes that the kernel counts, and what comes of one that uses too much."""

from __future__ import annotations

from typing import Protocol

from copilot.errors import CopilotError
from copilot.job import Cause
from copilot.records import dataclass


class NoLimits(CopilotError):
    """Limits cannot be kept here in the way that was asked for; the text says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """A limit that an attempt went over: its cause, and what was found, for people."""

    cause: Cause
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What an attempt used so far: `cpu_time` in seconds, the most `memory` and `disk` that was seen, in bytes. None: unknown."""

    cpu_time: float | None = None
    memory: int | None = None
    disk: int | None = None


class Group(Protocol):
    """A control group of one attempt: the kernel counts all that is in it, and holds it to its limits."""

    @property
    def entrance(self) -> str:
        """Shell text by which a process enters the group, and its children with it."""
        ...

    def cpu_time(self) -> float:
        """Seconds that its processes have used."""
        ...

    def memory_peak(self) -> int:
        """The most bytes at a time."""
        ...

    def out_of_memory(self) -> int:
        """How many of its processes the kernel has killed because the group was over its limit."""
        ...

    def forks_refused(self) -> int:
        """How often a process could not be made because there were too many."""
        ...

    def end(self) -> int:
        """Kill what is left in it, take it away, and return how many processes there were. Blocks some ms, or longer while the
        kernel does not let go of one."""
        ...
