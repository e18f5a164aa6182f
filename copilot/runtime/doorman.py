"""Who has not been heard before waits at the door until somebody has looked up who that is."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Protocol

from copilot.log import PeerRef, rate_limited
from copilot.protocol.envelope import Envelope, bare

log = logging.getLogger("copilot.loop")

MOST_WAITING = 1000  # accounts that are looked up at the same time
MOST_MESSAGES = 20  # of each; the rest is lost, and said again


class Doorman(Protocol):
    """Knows people."""

    def knows(self, jid: str) -> bool:
        """Whether this bare JID can be judged now."""
        ...

    async def look_up(self, jid: str) -> None:
        """Make it so. Raises `StoreError` if that cannot be done now."""
        ...


class Doorstep:
    """The messages of those whom the doorman is looking up, in the order of their coming."""

    def __init__(self, doorman: Doorman | None) -> None:
        """None: everybody is let in."""
        self._doorman = doorman
        self._waiting: dict[str, list[Envelope]] = {}

    def lets_in(self, envelope: Envelope) -> bool:
        """Whether it can be heard at once."""
        account = bare(envelope.sender)
        return self._doorman is None or (account not in self._waiting and self._doorman.knows(account))

    def ask(self, envelope: Envelope) -> Awaitable[None] | None:
        """Let it wait, if there is room; the work of looking its sender up, if that is not under way."""
        account = bare(envelope.sender)
        waiting = self._waiting.get(account)
        if waiting is not None:
            if len(waiting) < MOST_MESSAGES:
                waiting.append(envelope)
            return None
        if self._doorman is None:
            return None
        if len(self._waiting) >= MOST_WAITING:
            text = "%s is not heard: more than %d accounts are being looked up"
            rate_limited(log, "door", logging.WARNING, text, PeerRef(envelope.sender), MOST_WAITING)
            return None
        self._waiting[account] = [envelope]
        return self._doorman.look_up(account)

    def come_in(self, first: Envelope) -> list[Envelope]:
        """What waits with this message of its sender; nothing waits then."""
        return self._waiting.pop(bare(first.sender), [])
