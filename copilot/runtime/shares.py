"""Whose messages are at work: nobody may take all places, however much he says. No I/O.

A sender (by bare JID) has `AT_WORK` messages with the component at a time; what comes above that waits in a line of his
own, and what finds no place there is not taken. So a flood of one delays that one, and the next message of anybody
else finds the component free.
"""

from __future__ import annotations

import enum
from collections import deque
from dataclasses import field

from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.records import dataclass

AT_WORK = 32  # messages of one sender with the component: an agent with 24 slots has no more to say at a time
WAITING = 256  # of one sender
ALL_WAITING = 4096
OVER_SHARE = "too-many"  # the reason for which a message is dropped


class Turn(enum.Enum):
    """What becomes of a message that has come."""

    NOW = enum.auto()
    LATER = enum.auto()
    NEVER = enum.auto()  # there is no place to wait; its sender says it again


@dataclass(slots=True)
class _Share:
    at_work: int = 0
    waiting: deque[Received] = field(default_factory=deque)


class Shares:
    """Who has how many messages at work. `ready` are those whose turn has come; take them from there."""

    def __init__(self) -> None:
        self.ready: deque[Received] = deque()
        self.waiting = 0
        self._of: dict[str, _Share] = {}  # those who have something at work

    def __len__(self) -> int:
        """How many senders have something at work."""
        return len(self._of)

    def turn(self, message: Received) -> Turn:
        """`NOW` takes a place, which `ended` gives back."""
        share = self._of.setdefault(bare(message.sender), _Share())
        if share.at_work < AT_WORK:
            share.at_work += 1
            return Turn.NOW
        if len(share.waiting) >= WAITING or self.waiting >= ALL_WAITING:
            return Turn.NEVER
        share.waiting.append(message)
        self.waiting += 1
        return Turn.LATER

    def ended(self, message: Received) -> None:
        """It is no longer at work; its place goes to the next one of that sender."""
        account = bare(message.sender)
        share = self._of[account]
        if share.waiting:
            self.waiting -= 1
            self.ready.append(share.waiting.popleft())
            return
        share.at_work -= 1
        if not share.at_work:
            del self._of[account]
