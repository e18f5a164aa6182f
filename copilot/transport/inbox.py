"""The events of a transport that nobody has taken yet. It ends once, and then for everybody who asks.

Each sender has a line of his own, and the lines take turns: who says ten thousand things at once waits for himself, and the
one message of somebody else is next but a few. A line has an end, so that we go on reading: else his messages would wait in
the server's buffers, and all others behind them. What one sender says stays in its order, and so does everything around the
begin and the end of a session.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque

from copilot.errors import TransportError
from copilot.protocol.envelope import bare
from copilot.transport.base import (
    Arrived,
    Connected,
    Disconnected,
    OccupantChanged,
    PresenceChanged,
    RoomJoined,
    RoomLeft,
    TransportEvent,
)

MOST_IN_LINE = 1000  # messages of one account; what comes above that is lost, and said again by who means it


class Inbox:
    """A queue of events that ends with an error: at once on `close`, after what it still holds on `fail`."""

    def __init__(self) -> None:
        self._lines: OrderedDict[str, deque[TransportEvent]] = (
            OrderedDict()
        )  # by bare JID; the next one is first
        self._later: deque[TransportEvent] = (
            deque()
        )  # from a begin or end of a session on, until all before it is taken
        self._count = 0
        self._error: TransportError | None = None
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return self._count

    @property
    def ended(self) -> bool:
        """True once `fail` or `close` was called."""
        return self._error is not None

    def put(self, event: TransportEvent) -> bool:
        """Add an event; dropped when the inbox has ended. False: a message that is lost because its sender's line is full."""
        if self.ended:
            return True
        if isinstance(event, Arrived) and len(self._lines.get(_sender(event), ())) >= MOST_IN_LINE:
            return False
        self._count += 1
        if self._later or isinstance(event, Connected | Disconnected):
            self._later.append(event)
        else:
            self._stand_in_line(event)
        self._changed.set()
        return True

    def fail(self, error: TransportError) -> None:
        """Raise `error` for whoever asks after the events that are still here. The first error stays."""
        if not self.ended:
            self._error = error
            self._changed.set()

    def close(self) -> None:
        """Drop what is here; from now on `get` raises TransportError."""
        self._lines.clear()
        self._later.clear()
        self._count = 0
        self._error = TransportError("This transport is closed. Make a new one to connect again.")
        self._changed.set()

    async def get(self) -> TransportEvent:
        """Wait for the next event; a cancelled wait loses none. Raises what `fail` was given."""
        while not self._count:
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()
        return self._next()

    def _next(self) -> TransportEvent:
        self._count -= 1
        if not self._lines:
            event = self._later.popleft()
            while self._later and not isinstance(self._later[0], Connected | Disconnected):
                self._stand_in_line(self._later.popleft())
            return event
        sender, line = self._lines.popitem(last=False)
        event = line.popleft()
        if line:
            self._lines[sender] = line  # behind the others
        return event

    def _stand_in_line(self, event: TransportEvent) -> None:
        sender = _sender(event)
        line = self._lines.get(sender)
        if line is None:
            line = self._lines[sender] = deque()
        line.append(event)


def _sender(event: TransportEvent) -> str:
    """The bare JID of who, or of the room that, has made this happen."""
    match event:
        case Arrived(envelope=envelope):
            return bare(envelope.sender)
        case PresenceChanged(jid=jid):
            return bare(jid)
        case RoomJoined(room=room) | RoomLeft(room=room) | OccupantChanged(room=room):
            return bare(room)
    return ""
