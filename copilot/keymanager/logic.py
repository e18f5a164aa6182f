"""The key manager's decisions: who gets a ticket (report, section 2.2.7; protocol page, `getTicket`).

A ticket says that its bearer belongs here until it expires. Whoever gets one is on a list or has an account record, has asked
in a sealed message, and has shown what the file of credentials wants of him. Others hear nothing of the reason.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from copilot.keymanager.counts import KeyManagerCounts
from copilot.keymanager.credentials import Credentials
from copilot.protocol.commands import GetTicket, SecurityError, StoreTicket
from copilot.protocol.crypto.tickets import ANY_COMPONENT, Ticket
from copilot.protocol.events import Received
from copilot.runtime.component import Actions, Event, Ignore, Leave, Refuse, Send, Stopping

REFUSED = "no ticket for this account"  # whatever the reason


class KeyManager:
    """Gives tickets. `registered(JID)` says whether somebody belongs here; `wall()` is in seconds since the epoch."""

    def __init__(
        self,
        *,
        sign: Callable[[Ticket], str],
        registered: Callable[[str], Awaitable[bool]],
        credentials: Credentials,
        validity: float,
        wall: Callable[[], float],
        counts: KeyManagerCounts | None = None,
    ) -> None:
        """`validity`: seconds for which a ticket is good."""
        self._sign = sign
        self._registered = registered
        self._credentials = credentials
        self._validity = validity
        self._wall = wall
        self._counts = counts or KeyManagerCounts()

    def handle(self, event: Event, _now: float) -> Actions | Awaitable[Actions]:
        """As `Component.handle`."""
        match event:
            case Received(command=GetTicket() as command):
                return self._asked(event, command)
            case Stopping():
                return [Leave()]
            case _:
                return []

    def wakeup(self) -> float | None:
        """As `Component.wakeup`."""
        return None

    async def _asked(self, received: Received, command: GetTicket) -> Actions:
        if not (received.sealed or received.in_v1):
            return self._refuse(received, "in-clear", "a ticket is asked for in clear")
        if not await self._registered(received.sender):
            return self._refuse(received, "not-registered", "KM_ALLOW and the accounts do not have this one")
        if not self._credentials.accepts(received.sender, command.credential):
            return self._refuse(received, "wrong-credential", "the wrong credential was shown")
        begins = int(self._wall())
        ticket = Ticket(
            component=ANY_COMPONENT,
            valid_from=begins,
            valid_to=begins + int(self._validity),
            requester=received.sender,
        )
        self._counts.issued += 1
        return [Send(to=received.sender, command=StoreTicket(ticket=self._sign(ticket)))]

    def _refuse(self, received: Received, reason: str, text: str) -> Actions:
        """The operator is told why, the peer is not: ours gets `error`, one of 2011 what it knows."""
        self._counts.refused[reason] += 1
        told: Actions = (
            [Send(to=received.sender, command=SecurityError(error_string=REFUSED))]
            if received.features is None
            else [Refuse(received=received, code="no-ticket", text=REFUSED)]
        )
        return [Ignore(received=received, reason=reason, text=text), *told]
