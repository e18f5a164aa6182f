"""A pretend XMPP server in this process, for tests, simulations and a first look: no sockets, no passwords.

It routes as Prosody does (seen: protocol page, section 1): a bare JID reaches every session of the account, so
does the full JID of a session that is gone, and where nobody is left the sender gets a stanza error. It says
`unavailable` for a session that ends to whom the session had announced itself. Faults are drawn by `Faults`,
which knows no loop; time is whatever `call_later` makes of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import field, replace
from random import Random

from copilot.errors import AccountRefused, LoginRefused, SessionReplaced
from copilot.protocol.envelope import Envelope, bare
from copilot.protocol.markup import escape
from copilot.records import dataclass
from copilot.transport.accounts import AccountService
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
from copilot.transport.inbox import Inbox
from copilot.transport.memory_rooms import MemoryRoom, MemoryRooms
from copilot.transport.rooms import RoomService
from copilot.transport.stanza import MAX_STANZA_BYTES, encode_bounded

CallLater = Callable[[float, Callable[[], None]], object]


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """What the network does to messages; by default nothing. The same seed gives the same faults."""

    random: Random = field(default_factory=lambda: Random(0))  # noqa: S311 - nothing secret hangs on it
    loss: float = 0.0  # the share of messages that vanish
    double: float = 0.0  # the share of the others that arrive twice
    delay: float = 0.0  # seconds that each copy is on its way
    jitter: float = 0.0  # up to so many seconds more, for each copy anew: they overtake each other

    def plan(self, envelope: Envelope) -> list[float]:  # noqa: ARG002 - a simulation may plan by message
        """After how many seconds each copy of this message arrives; none at all if it is lost."""
        if self.random.random() < self.loss:
            return []
        copies = 2 if self.random.random() < self.double else 1
        return [self.delay + self.jitter * self.random.random() for _ in range(copies)]


def _on_the_loop(seconds: float, callback: Callable[[], None]) -> object:
    return asyncio.get_running_loop().call_later(seconds, callback)


class MemoryNetwork:
    """The server: who is logged in, and where a message goes. Change `faults` at any time."""

    def __init__(self, faults: Faults | None = None, *, call_later: CallLater = _on_the_loop) -> None:
        self.faults = faults or Faults()
        self._call_later = call_later
        self._sessions: dict[str, dict[str, MemoryTransport]] = {}  # bare JID → full JID → session
        self.admins: set[str] = set()  # bare JIDs that may change accounts
        self.passwords: dict[
            str, str
        ] = {}  # of accounts that an admin has made; whoever else comes is let in
        self.removed: set[str] = set()  # accounts that an admin has removed
        self.rooms: dict[str, MemoryRoom] = {}  # by bare JID; who asks for one that is not there, makes none

    def cut(self, jid: str) -> None:
        """Break the session of a full JID, as a lost TCP connection does. Its transport comes back by itself."""
        session = self._sessions.get(bare(jid), {}).get(_normal(jid))
        if session is not None:
            self.leave(session)
            session.broken()

    def enter(self, session: MemoryTransport) -> None:
        """Log a session in; one with the same full JID is thrown out with `conflict`."""
        sessions = self._sessions.setdefault(bare(session.jid), {})
        old = sessions.get(session.jid)
        if old is not None:
            self.leave(old)
            old.replaced()
        sessions[session.jid] = session

    def leave(self, session: MemoryTransport) -> None:
        """Log a session out and tell those to whom it had announced itself."""
        sessions = self._sessions[bare(session.jid)]
        del sessions[session.jid]
        for to in session.announced:
            self.presence(session.jid, to, available=False)
        for room in self.rooms.values():
            for nick in [nick for nick, jid in room.occupants.items() if jid == session.jid]:
                self._tell(room, nick, session.jid, available=False)
                del room.occupants[nick]

    def put_account(self, jid: str, password: str) -> None:
        """There is such an account."""
        self.passwords[jid] = password
        self.removed.discard(jid)

    def remove_account(self, jid: str) -> None:
        """There is none, and its sessions end."""
        self.passwords.pop(jid, None)
        self.removed.add(jid)
        for session in tuple(self._sessions.get(jid, {}).values()):
            self.leave(session)
            session.removed()

    def join(self, session: MemoryTransport, jid: str, nick: str) -> None:
        """Let a session into a room, or tell it why not."""
        room = self.rooms.get(jid)
        condition = "item-not-found" if room is None else room.refusal(session.jid, nick)
        if room is None or condition is not None:
            session.take(RoomLeft(jid, condition or "item-not-found"))
            return
        room.occupants = {name: who for name, who in room.occupants.items() if who != session.jid}
        for other, who in room.occupants.items():
            if room.shown(who):
                session.take(OccupantChanged(jid, other, who, True))
        room.occupants[nick] = session.jid
        session.take(RoomJoined(jid, nick))
        self._tell(room, nick, session.jid, available=True)

    def remove(self, room: MemoryRoom, account: str) -> None:
        """Throw all sessions of an account out of a room."""
        for nick, jid in [item for item in room.occupants.items() if bare(item[1]) == account]:
            del room.occupants[nick]
            self._session(jid).take(RoomLeft(room.jid, "removed"))

    def _tell(self, room: MemoryRoom, nick: str, jid: str, *, available: bool) -> None:
        """The others, but only of those whose presence the room shows."""
        if room.shown(jid):
            for other in room.occupants.values():
                if other != jid:
                    self._session(other).take(OccupantChanged(room.jid, nick, jid, available))

    def _session(self, jid: str) -> MemoryTransport:
        return self._sessions[bare(jid)][jid]

    def presence(self, jid: str, to: str, *, available: bool) -> None:
        """Directed presence from a full JID to every session of a bare JID."""
        if bare(to) != bare(jid):
            for session in tuple(self._sessions.get(bare(to), {}).values()):
                session.take(PresenceChanged(jid, available))

    def submit(self, envelope: Envelope) -> None:
        """Take a stamped message and deliver it as `faults` plan."""
        for delay in self.faults.plan(envelope):
            if delay > 0:
                self._call_later(delay, lambda: self._deliver(envelope))
            else:
                self._deliver(envelope)

    def _deliver(self, envelope: Envelope) -> None:
        room = self.rooms.get(bare(envelope.to))
        if room is not None:
            self._deliver_in(room, envelope)
            return
        sessions = self._sessions.get(bare(envelope.to), {})
        exact = sessions.get(_normal(envelope.to))
        receivers = (exact,) if exact is not None else tuple(sessions.values())
        for session in receivers:
            session.take(Arrived(envelope))
        if not receivers:
            self._bounce(envelope)

    def _deliver_in(self, room: MemoryRoom, envelope: Envelope) -> None:
        """A private message, or one to all, from the sender's nick."""
        nick = next((nick for nick, jid in room.occupants.items() if jid == envelope.sender), None)
        to = envelope.to.partition("/")[2]
        receivers = [
            jid for name, jid in room.occupants.items() if name == to or envelope.kind == "groupchat"
        ]
        if nick is None or not receivers:
            self._bounce(envelope)
            return
        for jid in receivers:
            self._session(jid).take(Arrived(replace(envelope, to=jid, sender=f"{room.jid}/{nick}")))

    def _bounce(self, envelope: Envelope) -> None:
        sender = self._sessions.get(bare(envelope.sender), {}).get(envelope.sender)
        if sender is not None:
            sender.take(Arrived(_undeliverable(envelope)))


class MemoryAccountService:
    """An AccountService for the session of one full JID."""

    def __init__(self, network: MemoryNetwork, jid: str) -> None:
        self._network = network
        self._jid = jid

    async def put(self, jid: str, password: str) -> None:
        """See `AccountService.put`."""
        self._check(jid)
        self._network.put_account(jid, password)

    async def remove(self, jid: str) -> None:
        """See `AccountService.remove`."""
        self._check(jid)
        self._network.remove_account(jid)

    def _check(self, jid: str) -> None:
        if bare(self._jid) not in self._network.admins:
            text = f"the account {jid} could not be changed: forbidden"
            raise AccountRefused("forbidden", text, no_admin=True)


class MemoryTransport:
    """A Transport over a MemoryNetwork. `jid` is the full JID that it asks for and gets."""

    def __init__(self, network: MemoryNetwork, jid: str, *, max_stanza_bytes: int = MAX_STANZA_BYTES) -> None:
        self.jid = _normal(jid)
        self.announced: dict[str, None] = {}  # bare JIDs, in the order of the calls
        self._joined: dict[str, str] = {}  # room → nick
        self._network = network
        self._inbox = Inbox()
        self._online = False
        self._max_stanza_bytes = max_stanza_bytes

    async def next_event(self) -> TransportEvent:
        """See `Transport.next_event`; a broken session is back as soon as its `Disconnected` was taken."""
        if not self._online and not self._inbox and not self._inbox.ended:
            self._log_in()
        return await self._inbox.get()

    def send(self, envelope: Envelope) -> bool:
        """See `Transport.send`. Raises what a real transport raises on a message that cannot be written."""
        encode_bounded(envelope, self._max_stanza_bytes)
        if self._online:
            self._network.submit(replace(envelope, sender=self.jid))
        return self._online

    def announce(self, to: str) -> None:
        """See `Transport.announce`. Raises ValueError if `to` cannot be written."""
        escape(to)
        self.announced[to] = None
        if self._online:
            self._network.presence(self.jid, to, available=True)

    def join(self, room: str, nick: str) -> None:
        """See `Transport.join`."""
        self._joined[bare(room)] = nick
        if self._online:
            self._network.join(self, bare(room), nick)

    @property
    def rooms(self) -> RoomService:
        """See `Transport.rooms`."""
        return MemoryRooms(self._network.rooms, self.jid, self._network.remove)

    @property
    def accounts(self) -> AccountService:
        """See `Transport.accounts`."""
        return MemoryAccountService(self._network, self.jid)

    async def close(self) -> None:
        """See `Transport.close`."""
        if self._online:
            self._online = False
            self._network.leave(self)
        self._inbox.close()

    def take(self, event: TransportEvent) -> None:
        """The network hands something over."""
        self._inbox.put(event)

    def broken(self) -> None:
        """The network dropped the session."""
        self._online = False
        self._inbox.put(Disconnected("the connection was cut"))

    def replaced(self) -> None:
        """The network gave our full JID to another session."""
        self._online = False
        self._inbox.fail(
            SessionReplaced(f"Another program logged in as {self.jid}. Give each its own resource.")
        )

    def removed(self) -> None:
        """The network forgot our account."""
        self._online = False
        self._inbox.put(Disconnected("the server ended the stream: not-authorized"))

    def _log_in(self) -> None:
        if bare(self.jid) in self._network.removed:
            self._inbox.fail(LoginRefused(f"The server refused the account {bare(self.jid)}."))
            return
        self._network.enter(self)
        self._online = True
        self._inbox.put(Connected(self.jid))
        for to in self.announced:
            self._network.presence(self.jid, to, available=True)
        for room, nick in self._joined.items():
            self._network.join(self, room, nick)


def _normal(jid: str) -> str:
    _, slash, resource = jid.partition("/")
    return f"{bare(jid)}{slash}{resource}"


def _undeliverable(envelope: Envelope) -> Envelope:
    return Envelope(
        to=envelope.sender, sender=envelope.to, id=envelope.id, kind="error", error="service-unavailable"
    )
