"""What an explanation is: a stable code, one sentence, what to do next, and the facts as data."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import field
from typing import Any

from copilot.records import dataclass


class Code(enum.StrEnum):
    """Why a job is where it is. Programs may rely on these words; docs/explain.md has the table, made of `MEANINGS`."""

    UNKNOWN = "unknown-job"
    HELD = "held"
    DEPENDENCY = "dependency"
    BACK_OFF = "back-off"
    PAUSED = "paused"
    QUOTA = "quota"
    INPUT_MISSING = "input-missing"
    NO_AGENT = "no-agent-online"
    NO_MATCH = "no-matching-agent"
    TOO_BIG = "too-big"
    SECRETS = "secrets"
    REFUSED_BY_AGENTS = "refused-by-agents"
    DRAINING = "draining"
    QUARANTINE = "quarantine"
    EXCLUSIVE = "exclusive"
    LEFT_TO_OTHERS = "left-to-others"
    RESERVED = "reserved"
    NO_ROOM = "no-room-now"
    TOO_LONG = "too-long"
    ITS_TURN = "waiting-its-turn"
    HANDED = "handed-over"
    RUNNING = "running"
    SILENT = "silent"
    CANCELLING = "cancelling"
    DONE = "done"
    FAILED = "failed"
    DEAD_LETTER = "dead-letter"
    POLICY = "policy"
    CANCELLED = "cancelled"


MEANINGS: Mapping[Code, str] = {
    Code.UNKNOWN: "the queue has no job of that name; similar names are told",
    Code.HELD: "somebody holds it; it waits until it is released",
    Code.DEPENDENCY: "it waits for other jobs; if one of those failed, that does not end by itself",
    Code.BACK_OFF: "it was handed back so often that it waits a moment before it is tried again",
    Code.PAUSED: "the queue, or its owner's or project's part of it, is paused",
    Code.QUOTA: "its owner or project has as much running as it may",
    Code.INPUT_MISSING: "an input is not in the file area, or is not the one that was submitted",
    Code.NO_AGENT: "no agent is there at all",
    Code.NO_MATCH: "agents are there, but none meets its requirements",
    Code.TOO_BIG: "it fits on no agent that is there, even on an empty one",
    Code.SECRETS: "it has secrets, and no agent speaks in a sealed session",
    Code.REFUSED_BY_AGENTS: "agents meet its requirements, but it does not meet theirs",
    Code.DRAINING: "the agents that could take it are to leave",
    Code.QUARANTINE: "the agents that could take it are in quarantine: jobs keep failing there",
    Code.EXCLUSIVE: "it may never run twice at once, and the agents that could take it renew no leases",
    Code.LEFT_TO_OTHERS: "it failed a moment ago at the agents that could take it, and is left to others for some seconds",
    Code.RESERVED: "it did not fit for long, and an agent takes nothing else until it does",
    Code.NO_ROOM: "it is the next, but the agents that could take it have no room now",
    Code.TOO_LONG: "the agents that could take it leave before it would have to end",
    Code.ITS_TURN: "other jobs come before it",
    Code.HANDED: "an agent was given it a moment ago and has not confirmed that it has it",
    Code.RUNNING: "an agent has it",
    Code.SILENT: "an agent has it that is gone, or not heard; its lease decides",
    Code.CANCELLING: "it runs, and somebody wants it to end",
    Code.DONE: "it has ended well",
    Code.FAILED: "it has failed by itself",
    Code.DEAD_LETTER: "all its attempts ended by the fault of the infrastructure",
    Code.POLICY: "it was ended by a rule: it ran too long, or its secrets could not be opened",
    Code.CANCELLED: "somebody ended it",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """Why a job is where it is. `next`: what to do, or what will happen; `more`: further lines for people, each of one line.
    `facts` are plain data, ready for JSON; times in seconds since the epoch, spans in seconds, sizes in bytes unless their names
    say otherwise."""

    job: str
    code: Code
    text: str
    next: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    more: tuple[str, ...] = ()

    def data(self) -> dict[str, Any]:
        """For programs: stable, documented in docs/explain.md."""
        return {
            "job": self.job,
            "code": self.code.value,
            "text": self.text,
            "next": self.next,
            "facts": dict(self.facts),
        }

    def lines(self) -> tuple[str, ...]:
        """For people."""
        return (f"job {self.job}: {self.code}", f"  {self.text}", *self.more, f"  next: {self.next}")
