"""One attempt to log in, and the session that comes of it. It ends once and says why.

Stream errors never reach slixmpp: on `see-other-host` it would follow to any host, and check that host's
certificate against that host's name, before anything is authenticated.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import ssl
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from xml.etree.ElementTree import Element as Xml

from copilot.errors import CertificateRefused, LoginRefused, RoomRefused, SessionReplaced, TransportError
from copilot.log import PeerRef, rate_limited
from copilot.protocol.envelope import bare
from copilot.protocol.markup import escape
from copilot.records import dataclass
from copilot.transport.adhoc import Commands
from copilot.transport.base import (
    Arrived,
    Connected,
    OccupantChanged,
    PresenceChanged,
    RoomJoined,
    RoomLeft,
    Status,
    TransportEvent,
)
from copilot.transport.desk import Desk
from copilot.transport.fastpath import FastClient
from copilot.transport.library import IqError, IqTimeout, look_up_srv
from copilot.transport.questions import PING, Questions
from copilot.transport.rooms import MUC, USER
from copilot.transport.settings import XmppSettings, tls_context
from copilot.transport.stanza import condition, decode, nests_deeper

GOODBYE_S = 5.0  # for the server to read what is on its way and to close its side
MAX_IQ_DEPTH = 32  # levels; stream features have under ten
ANSWER_S = 20.0  # for a server to answer what we ask of it

_MESSAGE, _PRESENCE, _IQ = (f"{{jabber:client}}{name}" for name in ("message", "presence", "iq"))
_STREAM_ERROR = "{http://etherx.jabber.org/streams}error"
_SCRAM = {f"SCRAM-SHA-{bits}{plus}" for bits in ("1", "256", "512") for plus in ("", "-PLUS")}
OURSELVES, ROOM_IS_NEW, OTHER_NICK = "110", "201", "303"  # XEP-0045, 15.6.1
ACCOUNT_GONE = "User removed"  # of ejabberd, with `conflict`: the next log-in tells the truth
_PASSING_FAILURES = {"temporary-auth-failure", "aborted"}  # RFC 6120, 6.5


log = logging.getLogger("copilot.transport")


def _told_better(record: logging.LogRecord) -> bool:
    """Not what slixmpp says of a wrong password, too: `LoginRefused` tells which it is."""
    return record.msg != "No appropriate login method."


logging.getLogger("slixmpp.features.feature_mechanisms.mechanisms").addFilter(_told_better)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """Why a connection ended. `fatal` is there if trying again would not help."""

    reason: str
    fatal: TransportError | None = None
    set_aside: tuple[str, ...] = ()


class Connection:
    """Logs in once; hands on what arrives to `deliver`; `run` returns when it is over. `lets` says whether a stanza of a full
    JID is read at all."""

    def __init__(
        self,
        settings: XmppSettings,
        deliver: Callable[[TransportEvent], None],
        status: Status | None = None,
        lets: Callable[[str], bool] = lambda _: True,
        *,
        commands: Commands | None = None,
    ) -> None:
        self._settings = settings
        self._deliver = deliver
        self._lets = lets
        self._asked: Counter[str] = Counter()  # bare JIDs that owe us an answer
        self._jid = settings.jid
        self._ended: asyncio.Future[Ended] = asyncio.get_running_loop().create_future()
        self._pings: asyncio.Task[None] | None = None
        self._listening = True
        self._was_deaf = False  # since the last ping went out
        self._failure = "no connection"
        self._biggest: tuple[int, str | None] = (0, None)
        self._announced: Iterable[str] = ()
        self._rooms: Mapping[str, str] = {}
        self._made: set[str] = set()  # rooms that we made by entering, and leave
        self.was_up = False
        self._client = self._make_client()
        self._desk = Desk(self._questions(status, commands), status, self._reply, lambda: self._jid, commands)

    async def run(self, announced: Iterable[str], rooms: Mapping[str, str]) -> Ended:
        """Connect, log in, tell `announced` (bare JIDs), enter `rooms` (each with a nick), stay until the session ends."""
        self._announced = announced
        self._rooms = rooms
        settings = self._settings
        loop = asyncio.get_running_loop()
        limit = f"no session within {settings.login_timeout:g} s"
        deadline = loop.call_later(settings.login_timeout, self._end_unless_up, limit)
        try:
            if settings.host:
                self._client.connect(settings.host, settings.port)
            else:
                look_up_srv()
                self._client.connect()
            return await self._ended
        finally:
            deadline.cancel()
            if self._pings is not None:
                self._pings.cancel()
            self._desk.close()
            await self._client.dispose()

    @property
    def up(self) -> bool:
        """Is the session there?"""
        return self.was_up and not self._ended.done()

    @property
    def ready(self) -> bool:
        """Is the session there, with room in its buffer?"""
        return self.up and self._client.writable

    @property
    def buffered(self) -> int:
        """Bytes that wait for the socket."""
        return self._client.buffered

    def send(self, data: bytes, ident: str | None) -> None:
        """Write one message; only when `ready`."""
        if len(data) >= self._biggest[0]:
            self._biggest = len(data), ident
        self._client.write(data)

    def announce(self, to: str) -> None:
        """Directed presence to a bare JID; only when `up`."""
        self._client.write(f"<presence to='{escape(to)}'/>".encode())

    def enter(self, occupant: str) -> None:
        """Enter a chat room as this full room JID, without its history; only when `up`."""
        history = "<history maxstanzas='0'/>"
        self._client.write(
            f"<presence to='{escape(occupant)}'><x xmlns='{MUC}'>{history}</x></presence>".encode()
        )

    def leave(self, occupant: str) -> None:
        """Leave a chat room; only when `up`."""
        self._client.write(f"<presence to='{escape(occupant)}' type='unavailable'/>".encode())

    async def ask(self, kind: str, to: str, payload: Xml) -> Xml:
        """Say an iq of type `get` or `set`; returns the answer. Raises RoomRefused; only when `up`."""
        self._client.flush()  # what was said before goes before
        client: Any = self._client
        iq = client.make_iq(ito=to, itype=kind)
        iq.append(payload)
        self._asked[bare(to)] += 1
        try:
            answer: Xml = (await iq.send(timeout=ANSWER_S)).xml
        except IqError as error:
            raise RoomRefused(error.condition, f"{to} answered {error.condition}: {error.text}") from error
        except IqTimeout as error:
            raise RoomRefused("timeout", f"{to} did not answer within {ANSWER_S:g} s") from error
        finally:
            self._asked[bare(to)] -= 1
            self._asked += Counter()  # only who still owes one is kept
        return answer

    def listen(self, on: bool) -> None:
        """Stop reading, or go on."""
        if on != self._listening:
            self._listening = on
            self._was_deaf |= not on
            self._client.listen(on)

    async def goodbye(self) -> None:
        """Say `unavailable`, let the server read what is on its way, and end the stream."""
        if self.up:
            self.listen(True)
            self._client.flush()
            self._client.send_raw("<presence type='unavailable'/>")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._client.disconnect(wait=GOODBYE_S), GOODBYE_S)

    def _make_client(self) -> FastClient:
        settings = self._settings
        secure = settings.tls == "required"
        client = FastClient(
            f"{settings.jid}/{settings.resource}" if settings.resource else settings.jid,
            settings.password,
            take=self._take,
            refuse=lambda why: self._end(f"the server at {settings.address} is not believed: {why}"),
            ssl_context=tls_context(settings.ca_file if secure else None),
            buffer_limit=settings.buffer_bytes,
        )
        client.enable_direct_tls = False  # slixmpp would try it first and report a failure each time
        client.enable_starttls = secure
        client.enable_plaintext = not secure
        client.default_port = settings.port
        login = client.plugin["feature_mechanisms"]
        login.use_mechs = set(_SCRAM)
        login.unencrypted_scram = not secure
        self._subscribe(client)
        return client

    def _questions(self, status: Status | None, commands: Commands | None) -> Questions:
        settings = self._settings
        return Questions(
            kind=settings.identity,
            name=settings.name,
            version=settings.version,
            features=settings.features,
            allow=settings.allow,
            has_status=status is not None,
            new_id=lambda: secrets.token_hex(8),
            commands=commands,
        )

    def _reply(self, stanza: str) -> None:
        """Answers find room in the buffer or are lost: nobody fills our memory by asking."""
        if self._client.writable:
            self._client.write(stanza.encode())

    def _subscribe(self, client: FastClient) -> None:
        handlers: dict[str, Callable[[Any], None]] = {
            "connection_failed": self._on_connection_failed,
            "reconnect_delay": lambda _: self._end(f"cannot reach {self._settings.address}: {self._failure}"),
            "ssl_invalid_chain": self._on_bad_tls,
            "failed_auth": self._on_failed_auth,
            "failed_all_auth": self._on_no_login,
            "session_start": self._on_session,
            "disconnected": self._on_disconnected,
        }
        for event, handler in handlers.items():
            client.add_event_handler(event, handler)

    def _end(
        self, reason: str, *, fatal: TransportError | None = None, set_aside: tuple[str, ...] = ()
    ) -> None:
        if not self._ended.done():
            self._ended.set_result(Ended(reason=reason, fatal=fatal, set_aside=set_aside))

    def _end_unless_up(self, reason: str) -> None:
        if not self.was_up:
            self._end(reason)

    def _on_connection_failed(self, reason: object) -> None:
        self._failure = str(reason)

    def _on_disconnected(self, reason: object) -> None:
        if isinstance(reason, ssl.SSLError) and not self.was_up:
            self._on_bad_tls(reason)
        else:
            self._end(f"the connection was lost ({reason or 'closed'})")

    def _on_bad_tls(self, error: ssl.SSLError) -> None:
        if not isinstance(error, ssl.SSLCertVerificationError):
            return self._end(f"no TLS with {self._settings.address}: {error}")
        trusted = self._settings.ca_file or "the authorities that this system trusts"
        text = (
            f"The certificate of the XMPP server {self._settings.address} was refused: {error.verify_message}. "
            f"Trusted: {trusted}; expected name: {self._settings.domain}. Set the CA file to the authority that "
            "signed the server's certificate, or give the server a certificate for its domain."
        )
        return self._end(text, fatal=CertificateRefused(text))

    def _on_failed_auth(self, failure: Any) -> None:
        self._failure = str(failure["condition"])

    def _on_no_login(self, _: object) -> None:
        if self._failure in _PASSING_FAILURES:
            return self._end(f"the server could not check our password now ({self._failure})")
        why = (
            f"it answered {self._failure}"
            if self._client.plugin["feature_mechanisms"].attempted_mechs
            else ("it offers no SCRAM log-in, or no TLS before it")
        )
        text = (
            f"The XMPP server {self._settings.address} refused the account {self._settings.jid}: {why}. "
            "Check the account's name and password there and here, and that the server offers STARTTLS and SCRAM."
        )
        return self._end(text, fatal=LoginRefused(text))

    def _on_session(self, _: object) -> None:
        """Logged in. The server echoes our first presence (RFC 6121, 4.2.2); then bare JIDs reach us, too."""
        if not self._ended.done():
            self._jid = self._client.boundjid.full
            priority = self._settings.priority
            self._client.send_raw(f"<presence><priority>{priority}</priority></presence>")

    def _on_own_presence(self) -> None:
        if self.was_up:
            return
        self.was_up = True
        for to in self._announced:
            self.announce(to)
        for room, nick in self._rooms.items():
            self.enter(f"{room}/{nick}")
        self._pings = asyncio.get_running_loop().create_task(self._ping_for_ever())
        self._deliver(Connected(self._jid))

    async def _ping_for_ever(self) -> None:
        limit = self._settings.ping_timeout
        while True:
            await asyncio.sleep(self._settings.ping_interval)
            self._was_deaf = not self._listening
            try:
                await self._ping(limit)
            except IqTimeout:
                if not self._was_deaf:  # else the answer may lie where we did not read
                    return self._end(f"the server did not answer a ping within {limit:g} s")

    async def _ping(self, limit: float) -> None:
        """Returns when our server has answered, whatever it says. Raises IqTimeout."""
        client: Any = self._client
        ping = client.make_iq(itype="get")
        ping.append(Xml(f"{{{PING}}}ping"))
        with contextlib.suppress(IqError):
            await ping.send(timeout=limit)

    def _take(self, stanza: Xml) -> bool:
        """Deal with messages, presence, questions and stream errors; leave the rest (log-in, answers) to slixmpp.

        But for what is nested too deep: slixmpp would copy it by recursion, and the session would end of that.
        """
        if self._from_others(stanza) and not self._heard(stanza):
            return True
        if stanza.tag == _MESSAGE:
            if self.was_up:
                self._take_message(stanza)
        elif stanza.tag == _PRESENCE:
            self._take_presence(stanza)
        elif stanza.tag == _IQ and stanza.get("type") in ("get", "set"):
            if self.was_up:
                self._desk.hear(stanza)
        elif stanza.tag == _STREAM_ERROR:
            self._take_stream_error(stanza)
        else:
            return nests_deeper(stanza, MAX_IQ_DEPTH)
        return True

    def _from_others(self, stanza: Xml) -> bool:
        """Whether an account other than ours has said it. Our server speaks under its domain, or under no name."""
        sender = stanza.get("from", "")
        return "@" in sender and self.was_up and bare(sender) != bare(self._jid)

    def _heard(self, stanza: Xml) -> bool:
        """Whether it is to be read: an answer that we wait for, or something of one who does not say too much."""
        sender = stanza.get("from", "")
        awaited = (
            stanza.tag == _IQ and bare(sender) in self._asked and stanza.get("type") not in ("get", "set")
        )
        if awaited or self._lets(sender):
            return True
        text = "%s says more than it may: what is over its limit is dropped, unread and not acknowledged"
        rate_limited(log, f"{bare(sender)} too-fast", logging.WARNING, text, PeerRef(sender))
        return False

    def _take_message(self, message: Xml) -> None:
        """Hand it on, unless a room tells its subject or its state, or people talk there."""
        envelope = decode(message, own=self._jid, now=time.time())
        empty = envelope.body is None and envelope.element is None and not envelope.acks
        if empty and (envelope.kind == "groupchat" or envelope.sender.lower() in self._rooms):
            return
        self._deliver(Arrived(envelope))

    def _take_presence(self, presence: Xml) -> None:
        """Coming and going of full JIDs; of our own account's only ours is of interest, and only once."""
        sender, kind = presence.get("from", ""), presence.get("type", "available")
        if (room := bare(sender)) in self._rooms or presence.find(USER) is not None:
            self._take_room_presence(room, presence)
            return
        if (sender, kind) == (self._jid, "available"):
            self._on_own_presence()
        directed = "/" in sender and bare(sender) != bare(self._jid)
        if self.was_up and directed and kind in ("available", "unavailable"):
            self._deliver(PresenceChanged(sender, kind == "available"))

    def _take_room_presence(self, room: str, presence: Xml) -> None:
        """Our own coming and going, and that of others. A room that we are not to be in does not count."""
        nick, kind = presence.get("from", "").partition("/")[2], presence.get("type", "available")
        if not self.was_up or room not in self._rooms:
            return
        described = presence.find(USER)
        if kind == "error":
            self._deliver(RoomLeft(room, condition(presence)))
        elif described is not None and kind in ("available", "unavailable"):
            self._take_occupant(room, nick, described, available=kind == "available")

    def _take_occupant(self, room: str, nick: str, described: Xml, *, available: bool) -> None:
        codes = {child.get("code") for child in described}
        item = next((child for child in described if child.tag.endswith("}item")), described)
        if OURSELVES not in codes:
            self._deliver(OccupantChanged(room, nick, item.get("jid"), available))
        elif OTHER_NICK in codes:
            pass  # ours; we are in under that one in a moment
        elif not available:
            self._deliver(RoomLeft(room, "item-not-found" if room in self._made else "removed"))
            self._made.discard(room)
        elif ROOM_IS_NEW in codes and item.get("affiliation") == "owner":
            # Nobody has made it what it should be, and it is ours now. Without us it goes.
            self._made.add(room)
            self.leave(f"{room}/{nick}")
        else:
            self._deliver(RoomJoined(room, nick))

    def _take_stream_error(self, error: Xml) -> None:
        """Every stream error ends the stream (RFC 6120, 4.9.1.1).

        `policy-violation` mostly means a stanza over the server's limit. Smaller ones got through, so it is the
        biggest of this session; if that one arrived after all, it does no harm to set it aside.
        """
        condition = next((child.tag.rpartition("}")[2] for child in error), "undefined-condition")
        text = " ".join("".join(error.itertext()).split())
        reason = f"the server ended the stream: {condition}" + (f" ({text[:200]})" if text else "")
        if condition == "conflict" and text != ACCOUNT_GONE:
            return self._end(
                reason,
                fatal=SessionReplaced(
                    f"Another program logged in as {self._jid}, and the server ended our session. Give each program "
                    "its own resource (cloned machines share theirs), then start again."
                ),
            )
        biggest = self._biggest[1] if condition == "policy-violation" else None
        return self._end(reason, set_aside=() if biggest is None else (biggest,))
