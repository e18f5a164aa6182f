"""The events of a transport that nobody has taken yet. It ends once, and then for everybody who asks."""

from __future__ import annotations

import asyncio
from collections import deque

from copilot.errors import TransportError
from copilot.transport.base import TransportEvent


class Inbox:
    """A queue of events that ends with an error: at once on `close`, after what it still holds on `fail`."""

    def __init__(self) -> None:
        self._events: deque[TransportEvent] = deque()
        self._error: TransportError | None = None
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def ended(self) -> bool:
        """True once `fail` or `close` was called."""
        return self._error is not None

    def put(self, event: TransportEvent) -> None:
        """Add an event; dropped when the inbox has ended."""
        if not self.ended:
            self._events.append(event)
            self._changed.set()

    def fail(self, error: TransportError) -> None:
        """Raise `error` for whoever asks after the events that are still here. The first error stays."""
        if not self.ended:
            self._error = error
            self._changed.set()

    def close(self) -> None:
        """Drop what is here; from now on `get` raises TransportError."""
        self._events.clear()
        self._error = TransportError("This transport is closed. Make a new one to connect again.")
        self._changed.set()

    async def get(self) -> TransportEvent:
        """Wait for the next event; a cancelled wait loses none. Raises what `fail` was given."""
        while not self._events:
            if self._error is not None:
                raise self._error
            self._changed.clear()
            await self._changed.wait()
        return self._events.popleft()
