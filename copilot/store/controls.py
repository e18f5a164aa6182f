"""What operators stop: the whole queue, or single agents. Both last until somebody undoes them, whoever restarts in between."""

from __future__ import annotations

import enum
from typing import Protocol

from copilot.errors import StoreError
from copilot.job import one_line
from copilot.records import dataclass

MOST_SET_ASIDE = 1000  # agents at a time
ASKS_AGAIN = 60.0  # s after which such an agent is told to ask again, for somebody may let it out at any moment; the script has it, too


class Gate(enum.StrEnum):
    """What can be stopped."""

    DISPATCH = "dispatch"  # no agent gets a job; what runs goes on
    INTAKE = "intake"  # no new job is taken


@dataclass(frozen=True, slots=True, kw_only=True)
class Pause:
    """The queue is stopped: by whom, why, and since when (seconds since the epoch)."""

    gate: Gate
    by: str
    reason: str
    since: float

    def told(self) -> str:
        """In a sentence."""
        what = "no agent gets a job" if self.gate is Gate.DISPATCH else "no new job is taken"
        why = f": {self.reason}" if self.reason else ""
        return f"paused by {self.by or 'somebody'}{why}; {what}"

    def facts(self) -> dict[str, str | float]:
        """Ready for JSON."""
        return {"gate": self.gate.value, "by": self.by, "reason": self.reason, "since": self.since}


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAside:
    """An agent (bare JID) that somebody has put in quarantine, until then (None: until somebody lets it out). Times in seconds since
    the epoch."""

    agent: str
    ends: float | None
    by: str
    reason: str
    since: float


class Controls(Protocol):
    """Part of `Store`; errors are those of its methods."""

    async def pause(self, gate: Gate, *, by: str = "", reason: str = "", now: float | None = None) -> bool:
        """Stop the queue. False if it is stopped already."""
        ...

    async def resume(self, gate: Gate, *, by: str = "", reason: str = "", now: float | None = None) -> bool:
        """Let it go on. False if it does."""
        ...

    async def paused(self) -> tuple[Pause, ...]:
        """What is stopped."""
        ...

    async def set_aside(
        self,
        agent: str,
        *,
        seconds: float | None = None,
        by: str = "",
        reason: str = "",
        now: float | None = None,
    ) -> None:
        """Put an agent (bare JID) in quarantine for so long, or (None) until `pardon`: it gets no job, whatever succeeds there. What
        it runs goes on. Once more changes when it ends. Raises `StoreError` if there are `MOST_SET_ASIDE` already."""
        ...

    async def asides(self, *, now: float | None = None) -> tuple[SetAside, ...]:
        """All of these agents, by their names."""
        ...


def pause_text(gate: Gate, by: str, reason: str) -> str:
    """What the event stream says of it."""
    return one_line(f"{gate} {_whose(by, reason)}")


def _whose(by: str, reason: str) -> str:
    return ": ".join(filter(None, (f"by {by or 'somebody'}", reason)))


def aside_text(seconds: float | None, by: str, reason: str) -> str:
    """The same of an agent."""
    last = "until somebody lets it out" if seconds is None else f"for {seconds:.0f} s"
    return one_line(f"set aside {last}, {_whose(by, reason)}")


def too_many() -> StoreError:
    """The error for one agent more."""
    return StoreError(
        f"{MOST_SET_ASIDE} agents are set aside already: let some out with `copilot agents release`, or revoke them"
    )
