"""What attempts took, in sums by day: of owners, of projects, of agents (decision 22). Part of the port to the queue.

What ends an attempt adds it, in the same step, so each attempt is in the sums once. Days are those of UTC.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, Protocol, Self

from copilot.job import Cause, Outcome
from copilot.records import dataclass

DAY = 86400  # s
USAGE_KEPT = 400 * DAY  # s, of owners and projects
AGENT_USAGE_KEPT = 60 * DAY  # s; fleets have many agents, and some are new each day
MOST_NAMES = 20000  # of a day; who comes later that day is among `OTHERS`
OTHERS = "*"
MOST_CORES = 4096  # no attempt has used more seconds of processors than that in a second
MOST_BYTES = 2**50


class By(enum.StrEnum):
    """Whose sums."""

    OWNER = "owner"
    PROJECT = "project"
    AGENT = "agent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What attempts took together: `attempts` have begun and are over, of these `ok` ended well and `cancelled` were stopped because
    somebody wanted it; besides, `handed_back` never began. Seconds that they lasted (`wall`), that processors worked (`cpu`) and
    that cores were taken (`cores`: cores times wall); the most `memory` that one of them used, and what was fetched and stored for
    them, in bytes."""

    attempts: int = 0
    ok: int = 0
    cancelled: int = 0
    handed_back: int = 0
    wall: float = 0.0
    cpu: float = 0.0
    cores: float = 0.0
    memory: int = 0
    bytes_in: int = 0
    bytes_out: int = 0

    @property
    def failed(self) -> int:
        """Attempts that ended in no other way."""
        return self.attempts - self.ok - self.cancelled

    def __add__(self, other: Self) -> Self:
        """Both together."""
        both = {one.name: getattr(self, one.name) + getattr(other, one.name) for one in fields(self)}
        return replace(self, **both | {"memory": max(self.memory, other.memory)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What one attempt is in the sums with, so far: it may end twice, taken for lost first and then reported."""

    attempt: int
    ok: bool
    cancelled: bool
    wall: float
    cpu: float
    cores: float
    bytes_in: int
    bytes_out: int

    @classmethod
    def of(cls, attempt: int, outcome: Outcome, lasted: float, cores: int, before: Charge | None) -> Charge:
        """`lasted`: seconds since the claim, which no attempt can have been longer than. `before` is never taken back."""
        lasted = max(0.0, lasted)
        wall = lasted if outcome.wall_time is None else min(outcome.wall_time, lasted)
        now = cls(
            attempt=attempt,
            ok=outcome.cause is Cause.OK,
            cancelled=outcome.cause is Cause.CANCELLED,
            wall=wall,
            cpu=min(outcome.cpu_time or 0.0, lasted * MOST_CORES),
            cores=wall * cores,
            bytes_in=min(outcome.bytes_in or 0, MOST_BYTES),
            bytes_out=min(outcome.bytes_out or 0, MOST_BYTES),
        )
        if before is None or before.attempt != attempt:
            return now
        names = ("wall", "cpu", "cores", "bytes_in", "bytes_out")
        return replace(now, **{name: max(getattr(now, name), getattr(before, name)) for name in names})

    def beyond(self, before: Charge | None, memory: int | None) -> Sums:
        """What has to be added to the sums."""
        known = before if before is not None and before.attempt == self.attempt else None
        return Sums(
            attempts=int(known is None),
            ok=self.ok - (known is not None and known.ok),
            cancelled=self.cancelled - (known is not None and known.cancelled),
            wall=self.wall - (known.wall if known else 0.0),
            cpu=self.cpu - (known.cpu if known else 0.0),
            cores=self.cores - (known.cores if known else 0.0),
            memory=min(memory or 0, MOST_BYTES),
            bytes_in=self.bytes_in - (known.bytes_in if known else 0),
            bytes_out=self.bytes_out - (known.bytes_out if known else 0),
        )


def sums_from_text(text: str) -> Sums:
    """A field of the hash `usage:<by>:<day>`: numbers in the order of the fields of `Sums`. What a newer version adds is ignored."""
    words = dict(zip((one.name for one in fields(Sums)), text.split(), strict=False))
    numbers: dict[str, Any] = {
        name: float(word) if name in ("wall", "cpu", "cores") else int(word) for name, word in words.items()
    }
    return Sums(**numbers)


class UsageSums(Protocol):
    """Part of `Store`; errors are those of its methods."""

    async def usage(self, by: By, day: int) -> Mapping[str, Sums]:
        """What the attempts took that ended on a day (`day`: days since the epoch), by the names of owners, projects or agents (bare
        JIDs); "": those whose jobs name none, `OTHERS`: those for whom there was no room. Sums are kept `USAGE_KEPT`, those of agents
        `AGENT_USAGE_KEPT`."""
        ...
