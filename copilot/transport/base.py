"""The port to the network: a session that comes and goes, envelopes in and out.

A transport reconnects by itself, with full jitter, for ever; only what somebody has to mend ends it. It
guarantees nothing about delivery: the endpoint's acknowledgements do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from copilot.protocol.envelope import Envelope
from copilot.records import dataclass
from copilot.transport.accounts import AccountService
from copilot.transport.rooms import RoomService


@dataclass(frozen=True, slots=True)
class Connected:
    """The session is up; `jid` is the full JID that the server bound."""

    jid: str


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The session is gone; the transport is trying again. `reason` is for people."""

    reason: str
    # ids of messages that made the server end the stream: never send them again
    set_aside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message came in."""

    envelope: Envelope


@dataclass(frozen=True, slots=True)
class PresenceChanged:
    """A full JID that sent us directed presence came or went. A hint, never a proof."""

    jid: str
    available: bool


@dataclass(frozen=True, slots=True)
class RoomJoined:
    """We are in a chat room now, under this nick."""

    room: str
    nick: str


@dataclass(frozen=True, slots=True)
class RoomLeft:
    """We are not in a chat room, though we wanted to be: refused, thrown out, or the room is gone.

    `condition` is that of a stanza error (XEP-0045, 7.2), or `removed`. We are not let in by waiting: `join` again.
    """

    room: str
    condition: str


@dataclass(frozen=True, slots=True)
class OccupantChanged:
    """Somebody else came to a room that we are in, or left it. `jid` is his real full JID, if the room tells it."""

    room: str
    nick: str
    jid: str | None
    available: bool


TransportEvent = (
    Connected | Disconnected | Arrived | PresenceChanged | RoomJoined | RoomLeft | OccupantChanged
)

# Tells how the component fares, for those who may know: named fields of plain text, in the order for people.
Status = Callable[[], Awaitable[Mapping[str, str]]]


class Transport(Protocol):
    """One XMPP session of one component."""

    async def next_event(self) -> TransportEvent:
        """Wait for the next event. The first call starts connecting.

        Raises `LoginRefused` or `SessionReplaced` when trying again would not help, and `TransportError` after
        `close`.
        """
        ...

    def send(self, envelope: Envelope) -> bool:
        """Hand a message to the session. False if there is none, or if its buffer is full: send it later."""
        ...

    def announce(self, to: str) -> None:
        """Send directed presence to a bare JID, so that its instances learn when we vanish. Repeated after every
        log-in."""
        ...

    def join(self, room: str, nick: str) -> None:
        """Enter a chat room (XEP-0045), without its history, now and after every log-in; another nick replaces the
        first. `RoomJoined` or `RoomLeft` tells what came of it."""
        ...

    @property
    def rooms(self) -> RoomService:
        """What can be asked of chat-room services."""
        ...

    @property
    def accounts(self) -> AccountService:
        """Accounts of our server, if we are an admin of it."""
        ...

    async def close(self) -> None:
        """Say goodbye (`unavailable`), flush and end. Idempotent."""
        ...
