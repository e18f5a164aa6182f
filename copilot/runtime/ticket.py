"""Gets a ticket of the key manager and keeps a good one (secure mode of 2011; protocol page, section 5, *Tickets*).

A part of a component, beside its logic (`compose.Parts`), which knows nothing of it. Until there is a ticket nothing but the
question for one is said (`v1_sessions.Opening.seal`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable

from copilot.protocol.commands import GetTicket, StoreTicket
from copilot.protocol.crypto import tickets
from copilot.protocol.crypto.keys import PublicKeys
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.runtime.component import Actions, Event, Ignore, Offline, Online, Send, Tick

log = logging.getLogger("copilot.ticket")

ASK_AGAIN = 60.0  # s at most; at least half of that
USED_UP = 0.7  # of its life, when the next one is asked for


class TicketKeeper:
    """Asks `key_manager` (bare JID) with this credential. `give(ticket)` hands over each new one; `wall()` is in seconds since
    the epoch, `random()` yields 0 … 1."""

    def __init__(
        self,
        key_manager: str,
        *,
        credential: str,
        keys: PublicKeys,
        give: Callable[[str], None],
        wall: Callable[[], float],
        random: Callable[[], float],
    ) -> None:
        """`keys`: those of the key manager, which alone may have signed a ticket."""
        self._key_manager = bare(key_manager)
        self._credential = credential
        self._keys = keys
        self._give = give
        self._wall = wall
        self._random = random
        self._jid = ""
        self._due = math.inf
        self._renew_at = 0.0  # the same clock as `_due`

    def handle(self, event: Event, now: float) -> Actions:
        """As `Component.handle`."""
        match event:
            case Online(jid=jid):
                self._jid = jid
                self._due = max(now, self._renew_at)
                return self._ask(now) if self._due <= now else []
            case Offline():
                self._due = math.inf
            case Tick() if now >= self._due:
                return self._ask(now)
            case Received(command=StoreTicket(ticket=text)):
                return self._store(event, text, now)
        return []

    def wakeup(self) -> float | None:
        """As `Component.wakeup`."""
        return None if self._due == math.inf else self._due

    def _ask(self, now: float) -> Actions:
        self._due = now + ASK_AGAIN * (1 + self._random()) / 2
        return [Send(to=self._key_manager, command=GetTicket(credential=self._credential), void_at=self._due)]

    def _store(self, received: Received, text: str, now: float) -> Actions:
        wall = self._wall()
        ticket = tickets.read(text, self._keys.opening)
        in_clear = not (received.sealed or received.in_v1)
        if in_clear or bare(received.sender) != self._key_manager or ticket is None:
            text = "a ticket that our key manager has not signed and sealed"
            return [Ignore(received=received, reason="not-trusted", text=text)]
        if (refusal := ticket.refusal(self._jid, ticket.component, wall)) is not None:
            return [Ignore(received=received, reason="not-trusted", text=refusal)]
        self._give(text)
        self._renew_at = self._due = now + max(ASK_AGAIN, (ticket.valid_to - wall) * USED_UP)
        log.info("Got a ticket, good for %.0f s.", ticket.valid_to - wall)
        return []
