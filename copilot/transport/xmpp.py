"""The transport over XMPP: one connection after the other, with full jitter between them (RFC 6120)."""

from __future__ import annotations

import asyncio
import logging
import random as random_module
from collections.abc import Callable
from xml.etree.ElementTree import Element as Xml

from copilot.errors import ConfigError, RoomRefused, TransportError
from copilot.log import PeerRef, rate_limited
from copilot.protocol.envelope import Envelope, bare
from copilot.protocol.markup import escape
from copilot.retry import full_jitter
from copilot.transport.accounts import AccountService, XmppAccounts
from copilot.transport.adhoc import Commands
from copilot.transport.base import Arrived, Connected, Disconnected, Status, TransportEvent
from copilot.transport.connection import Connection, Ended
from copilot.transport.counts import SessionCounts
from copilot.transport.inbox import Inbox
from copilot.transport.library import JID, InvalidJID
from copilot.transport.rooms import RoomService, XmppRooms
from copilot.transport.settings import XmppSettings, tls_context
from copilot.transport.stanza import encode_bounded

LONG_OUTAGE_S = 300.0  # then somebody should look
MAX_WAIT_S = 60.0  # the longest wait between two attempts, and how long a session lasts that counts as steady

log = logging.getLogger("copilot.transport")


class XmppTransport:
    """A Transport over one XMPP account. `random` gives numbers in [0, 1) for the waits, `status` is told to those who
    may ask for it, `commands` are carried out for those who may give them, `lets` says whether a stanza of a full JID is read at all, `lost` hears of each message for
    which there is no room.

    Raises ConfigError if the CA file or the JID cannot be used.
    """

    def __init__(
        self,
        settings: XmppSettings,
        *,
        status: Status | None = None,
        commands: Commands | None = None,
        lets: Callable[[str], bool] = lambda _: True,
        lost: Callable[[], object] = lambda: None,
        random: Callable[[], float] = random_module.random,
    ) -> None:
        _check(settings)
        self._settings = settings
        self._status = status
        self._commands = commands
        self._lets = lets
        self._lost = lost
        self._random = random
        self._inbox = Inbox()
        self.counts = SessionCounts(buffered=self._buffered, unread=self._inbox.__len__)
        self._announced: dict[str, None] = {}  # bare JIDs, in the order of the calls
        self._joined: dict[str, str] = {}  # room → nick
        self._connection: Connection | None = None
        self._rooms = XmppRooms(self._ask, self._enter, self._leave)
        self._accounts = XmppAccounts(self._ask)
        self._task: asyncio.Task[None] | None = None
        self._outage_told = False
        self._began = 0.0  # the present connection
        self._away_since = 0.0

    async def next_event(self) -> TransportEvent:
        """See `Transport.next_event`. `Disconnected` comes once per outage, not once per attempt."""
        if self._task is None and not self._inbox.ended:
            self._task = asyncio.get_running_loop().create_task(self._run())
            self._task.add_done_callback(self._on_stopped)
        event = await self._inbox.get()
        if self._connection is not None and len(self._inbox) <= self._settings.inbox_events // 2:
            self._connection.listen(True)
        return event

    def send(self, envelope: Envelope) -> bool:
        """See `Transport.send`. Raises ValueError for what XML cannot carry, ProtocolError `too-large`."""
        data = encode_bounded(envelope, self._settings.max_stanza_bytes)
        connection = self._connection
        if connection is None or not connection.ready:
            return False
        connection.send(data, envelope.id)
        return True

    def announce(self, to: str) -> None:
        """See `Transport.announce`. Raises ValueError if `to` cannot be written."""
        escape(to)
        self._announced[to] = None
        if self._connection is not None and self._connection.up:
            self._connection.announce(to)

    def join(self, room: str, nick: str) -> None:
        """See `Transport.join`. Raises ValueError if room or nick cannot be written."""
        occupant = f"{room}/{nick}"
        escape(occupant)
        self._joined[bare(room)] = nick
        self._enter(occupant)

    @property
    def rooms(self) -> RoomService:
        """See `Transport.rooms`."""
        return self._rooms

    @property
    def accounts(self) -> AccountService:
        """See `Transport.accounts`."""
        return self._accounts

    async def _ask(self, kind: str, to: str, payload: Xml) -> Xml:
        if self._connection is None or not self._connection.up:
            raise RoomRefused("timeout", f"{to} cannot be asked: there is no session")
        return await self._connection.ask(kind, to, payload)

    def _enter(self, occupant: str) -> None:
        if self._connection is not None and self._connection.up:
            self._connection.enter(occupant)

    def _leave(self, occupant: str) -> None:
        if self._connection is not None and self._connection.up:
            self._connection.leave(occupant)

    async def close(self) -> None:
        """See `Transport.close`."""
        self._inbox.close()
        if self._task is None or self._task.done():
            return
        if self._connection is not None:
            await self._connection.goodbye()
        self._task.cancel()
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        failures = 0
        loop = asyncio.get_running_loop()
        while True:
            log.info("connecting to %s as %s", self._settings.address, self._settings.jid)
            self._began = began = loop.time()
            self._connection = Connection(
                self._settings, self._deliver, self._status, self._lets, commands=self._commands
            )
            try:
                ended = await self._connection.run(self._announced, self._joined)
            finally:
                up, self.counts.up = self.counts.up, False
                self._connection = None
            self.counts.lost += up
            self.counts.failed += not up
            if ended.fatal is not None:
                self._inbox.fail(ended.fatal)
            if self._inbox.ended:
                return
            self._tell(ended)
            failures = 0 if loop.time() - began >= MAX_WAIT_S else failures
            wait = full_jitter(failures, MAX_WAIT_S, self._random)
            failures += 1
            log.info("%s; trying again in %.1f s", ended.reason, wait)
            await asyncio.sleep(wait)

    def _buffered(self) -> int:
        return 0 if self._connection is None else self._connection.buffered

    def _deliver(self, event: TransportEvent) -> None:
        if isinstance(event, Connected):
            log.debug("connected as %s", PeerRef(event.jid))
            self._outage_told = False
            self.counts.up = True
            self.counts.begun += 1
            self.counts.login.observe(asyncio.get_running_loop().time() - self._began)
        if not self._inbox.put(event) and isinstance(event, Arrived):
            self._lost()
            sender, text = (
                event.envelope.sender,
                "%s says more than we can work on: some of it is lost, and not acknowledged",
            )
            rate_limited(log, f"{bare(sender)} line", logging.WARNING, text, PeerRef(sender))
        if self._connection is not None and len(self._inbox) >= self._settings.inbox_events:
            self._connection.listen(False)

    def _tell(self, ended: Ended) -> None:
        now = asyncio.get_running_loop().time()
        if not self._outage_told:
            self._away_since = now
            self._inbox.put(Disconnected(ended.reason, ended.set_aside))
            self._outage_told = True
        elif now - self._away_since >= LONG_OUTAGE_S:
            text = "%s is out of reach for %.0f s now: is the XMPP server up, is the network? Trying again"
            rate_limited(log, "away", logging.ERROR, text, self._settings.address, now - self._away_since)

    def _on_stopped(self, task: asyncio.Task[None]) -> None:
        """A mistake of ours must reach the component, not only the log."""
        mistake = None if task.cancelled() else task.exception()
        if mistake is not None:
            error = TransportError(f"The XMPP transport stopped by a mistake in the program: {mistake!r}")
            error.__cause__ = mistake
            self._inbox.fail(error)


def _check(settings: XmppSettings) -> None:
    """Find out now what would fail at the first connection."""
    try:
        JID(f"{settings.jid}/{settings.resource}" if settings.resource else settings.jid)
    except InvalidJID as cause:
        raise ConfigError(
            f"XMPP account {settings.jid!r}, resource {settings.resource!r}: {cause}"
        ) from cause
    if settings.tls == "required":
        tls_context(settings.ca_file)
