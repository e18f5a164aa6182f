"""One end of the conversation, without I/O: envelopes in, events out; commands in, envelopes out.

It knows both carriages, acknowledgements, resends, copies, void messages, malformed ones, and who may order an
agent about. It knows nothing of jobs, sockets or clocks; `now` is in seconds of a clock that never jumps.

    receive(envelope) ─▶ events ─▶ (the component works) ─▶ done() or failed()
    send(command)     ─▶ ...    ─▶ outgoing(now) ─▶ envelopes for the transport

`done` is what acknowledges a message, so an acknowledgement of ours is a promise that the work is safe.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter, OrderedDict
from collections.abc import Callable, Collection
from dataclasses import field

from copilot.errors import ProtocolError, SealError
from copilot.protocol import codec
from copilot.protocol.acks import Outbox, Pending, Seen, Sight
from copilot.protocol.commands import Command, Error, Secret, SecurityError
from copilot.protocol.envelope import Element, Envelope, bare
from copilot.protocol.events import (
    Acked,
    BodyStripped,
    Dropped,
    Expired,
    ProtocolEvent,
    Received,
    Refused,
    Undeliverable,
)
from copilot.protocol.limits import NO_ROOM, Throttle
from copilot.protocol.rules import MANAGER, RULES, Role
from copilot.protocol.security import IN_CLEAR, NOT_OPENED, NOT_SEALED, UNREADABLE, Opened, Security, Unsaid
from copilot.protocol.selftest import SelfTest
from copilot.records import dataclass

PEERS_REMEMBERED = 50_000
SECONDS_BETWEEN_ERRORS = 1.0  # to one peer
NOT_ALLOWED = "not-allowed"  # the code of a refusal by standing (decision 17)
SECONDS_BETWEEN_SECURITY_ERRORS = 10.0
ENROL = "enrol"  # what alone may be said under a key that is not registered (decision 17)
_SAYS_SECURITY_ERROR = MANAGER | Role.MONITOR | Role.KEY_MANAGER  # services; see `rules.py`
MOST_ACKS = 32  # in one message: they must not make it too large, least of all one that carries a command


@dataclass(slots=True)
class _Peer:
    """What we know of one full JID."""

    element: bool | None = None  # it speaks the element carriage; None: never heard of
    features: frozenset[str] | None = None
    last_error: float = float("-inf")
    last_security_error: float = float("-inf")


@dataclass(slots=True)
class Counts:
    """Messages since the start, for metrics and for tests that count."""

    sent: Counter[str] = field(default_factory=Counter)  # by command; "ack" for pure acknowledgements
    received: Counter[str] = field(default_factory=Counter)
    resent: int = 0
    copies: int = 0
    dropped: Counter[str] = field(default_factory=Counter)  # by reason
    refused: Counter[str] = field(default_factory=Counter)  # by code; what the component would not do
    unanswered: Callable[[], int] = int
    """How many messages of ours are said again now until somebody answers."""


class Endpoint:
    """The conversation of one component with all its peers."""

    def __init__(
        self,
        role: Role,
        *,
        new_id: Callable[[], str],
        random: Callable[[], float],
        features: Collection[str] = (),
        trusts: Callable[[str], bool] = lambda _: True,
        permits: Callable[[str, str], bool] = lambda _, __: True,
        throttle: Throttle | None = None,
        security: Security | None = None,
    ) -> None:
        """`trusts(bare JID)` says from whom orders are taken, `permits(bare JID, command)` who may say what to us; `features`
        are announced with requests and answers; `throttle` says who speaks too much (None: nobody), `security` opens and seals
        (None: all is said in clear)."""
        self.role = role
        self.jid = ""
        self._features = tuple(sorted(features))
        self._new_id = new_id
        self._trusts = trusts
        self._throttle = throttle
        self._permits = permits
        self._security = security
        self._outbox = Outbox(random)
        self.counts = Counts(unanswered=self._outbox.__len__)
        self._seen = Seen()
        self._peers: OrderedDict[str, _Peer] = OrderedDict()
        self._owed: dict[
            tuple[str, bool], list[str]
        ] = {}  # (full JID, element carriage) → ids to acknowledge
        self._patient: dict[
            str, tuple[float, list[str]]
        ] = {}  # the same, with the time until which they may wait
        self._patience_ends = float(
            "inf"
        )  # not before that for any of them: so nobody looks at all of them all the time
        self._once: list[Pending] = []  # said once, never again
        self._clear: list[Envelope] = []  # what is said in clear, whatever the mode
        self._void: list[ProtocolEvent] = []
        self._online = False
        self._selftest = SelfTest()
        self._rooms: set[str] = set()  # bare JIDs of chat rooms

    @property
    def body_stripped(self) -> bool:
        """Whether the self-test found that our server empties the body carriage."""
        return self._selftest.stripped

    # -- the session

    def entered(self, room: str) -> None:
        """We are in this chat room: what comes from it comes from its occupants, not from an account."""
        self._rooms.add(bare(room))

    def online(self, jid: str) -> None:
        """The session is up: everything unacknowledged goes out again at once, and the self-test."""
        self.jid = jid
        self._online = True
        self._outbox.due_now()
        if self._security is None or self._security.uses_body:
            self._selftest.begin(jid)

    def offline(self, set_aside: Collection[str] = ()) -> None:
        """The session is gone. `set_aside`: ids that made the server end the stream; they are never sent again."""
        self._online = False
        self._once.clear()
        self._clear.clear()
        self._owed.clear()  # a peer that misses an acknowledgement sends a copy, and gets one then
        self._patient.clear()
        for message_id in set_aside:
            self.give_up(message_id)

    # -- what we say

    def send(
        self,
        to: str,
        command: Command,
        now: float,
        *,
        void_at: float | None = None,
        info: Element | None = None,
        session: str = "",
    ) -> str:
        """Say `command` to a JID; returns the message's id.

        Where the rule says so it is sent again until acknowledged or void; `void_at` (absolute) comes first.
        `info` is the same command as somebody else has put it: it goes out unchanged (a redirect that is followed).
        Whoever gets that may be of 2011 and is sent no more copies than such a peer: then we ask again who takes it.
        `session`: the one that `to` has opened, with us or with another instance, as in `Received`: then it is said sealed or not
        at all.
        """
        rule = RULES[command.NAME]
        peer = self._peers.get(to.lower())
        ends = [] if rule.void_after is None else [now + rule.void_after]
        message = Pending(
            id=self._new_id(),
            to=to,
            command=command,
            void_at=min([*ends, *([] if void_at is None else [void_at])], default=float("inf")),
            due=now,
            legacy=info is not None
            or (peer is not None and peer.element is not None and peer.features is None),
            info=info,
            session=session,
        )
        if rule.resend:
            self._outbox.add(message)
        elif self._online:
            self._once.append(message)
        return message.id

    def withdraw(self, to: str, command: Command) -> None:
        """Stop saying `command` to `to`; nothing is told of it any more."""
        for message in self._outbox:
            if (message.to, message.command) == (to, command):
                self._outbox.forget(message.id)

    def give_up(self, message_id: str | None) -> Command | None:
        """It cannot be said (too large for the server): forget it and tell the component that it is void. Returns what it
        was, if anybody waits for it to be acknowledged."""
        message = self._outbox.get(message_id or "")
        if message is None:
            return None
        self._outbox.forget(message.id)
        self._void.append(Expired(id=message.id, to=message.to, command=message.command))
        return message.command

    def outgoing(self, now: float) -> list[Envelope]:
        """Everything that should be on the wire by now; acknowledgements ride on answers where they can."""
        if not self._online:
            return []
        due, void = self._outbox.take_due(now)
        self._void.extend(Expired(id=item.id, to=item.to, command=item.command) for item in void)
        envelopes = [(self._envelope(message), message.session) for message in (*self._once, *due)]
        self._once.clear()
        self._end_patience(now)
        acks = [
            item for (to, element), ids in self._owed.items() for item in _pure_acks(to, ids, element=element)
        ]
        self.counts.sent["ack"] += len(acks)
        self._owed.clear()
        sealed = self._sealed([*envelopes, *((ack, "") for ack in acks)], now)
        return [*self._selftest.outgoing(), *sealed]

    def unsent(self, envelope: Envelope, due: float) -> None:
        """The transport would not take it: it is due again at `due`, or as soon as the session is back."""
        self._outbox.postpone(envelope.id or "", due)

    def next_wakeup(self) -> float | None:
        """When to call `outgoing` and `events` again if nothing else happens."""
        if not self._online:
            return None
        times = (self._outbox.next_due(), self._patience_ends if self._patient else None)
        return min((when for when in times if when is not None), default=None)

    def events(self) -> list[ProtocolEvent]:
        """Events that time has made; call after `outgoing` and `offline`."""
        events, self._void = self._void, []
        return events

    # -- what we hear

    def lost(self) -> None:
        """A message was read, and there was no room to keep it until its turn."""
        self.counts.dropped[NO_ROOM] += 1

    def lets(self, sender: str, now: float) -> bool:
        """Whether a stanza of this full JID is to be read at all; the transport asks before it does. One that is not is
        counted, and else costs nothing."""
        if self._throttle is None:
            return True
        reason = self._throttle.refuses(sender, now, in_room=bare(sender) in self._rooms)
        if reason is not None:
            self.counts.dropped[reason] += 1
        return reason is None

    def receive(self, envelope: Envelope, now: float) -> list[ProtocolEvent]:
        """Take a message apart. Never raises for what a peer may do."""
        if envelope.kind == "error":
            return self._stanza_error(envelope)
        if self._selftest.is_answer(envelope):
            return [BodyStripped(jid=self.jid)] if self._selftest.hear(envelope) else []
        opened = self._opened(envelope, now)
        if isinstance(opened, Dropped):
            return [opened]
        envelope = opened.envelope
        # What a message acknowledges comes first: a job must be known to be there before its report is.
        events = self._acknowledged(envelope)
        if envelope.body is not None or envelope.element is not None:
            try:
                events.extend(self._command(opened, now))
            except ProtocolError as error:
                events.append(self._malformed(envelope, error, now))
        elif not envelope.acks:
            events.append(self._drop(envelope, "no-command", "neither a command nor an acknowledgement"))
        return events

    def _acknowledged(self, envelope: Envelope) -> list[ProtocolEvent]:
        events: list[ProtocolEvent] = []
        for message_id in envelope.acks:
            message = self._outbox.settle(envelope.sender, message_id)
            if message is not None:
                on_receipt = self._acknowledges_on_receipt(envelope)
                events.append(
                    Acked(id=message_id, to=message.to, command=message.command, on_receipt=on_receipt)
                )
        return events

    def done(self, received: Received, now: float) -> None:
        """The work that `received` asked for is safe: acknowledge it."""
        if received.id is not None and received.wants_ack:
            self._seen.answered(received.sender, received.id, now)
            patience = RULES[received.command.NAME].ack_waits
            if patience and received.element and received.features is not None:
                until, ids = self._patient.get(received.sender, (math.inf, []))
                until = min(until, now + patience)
                self._patient[received.sender] = until, [*ids, received.id]
                full = len(ids) + 1 >= MOST_ACKS
                self._patience_ends = min(self._patience_ends, now if full else until)
            else:
                self._owe(received.sender, received.id, element=received.element)

    def failed(self, received: Received) -> None:
        """The work could not be done now: the next copy is worked on afresh."""
        if received.id is not None:
            self._seen.forget(received.sender, received.id)

    def refuse(
        self,
        received: Received,
        now: float,
        *,
        code: str,
        text: str,
        job: str | None = None,
        retry_after: float | None = None,
    ) -> bool:
        """Tell the peer that its message has had no effect; returns whether to acknowledge the message.

        Never one that `error` settles: that may be lost, or held back because the peer had one a moment ago, and an
        acknowledgement would then be taken for success. A peer of 2011 gets no `error` (it would end on it). Its
        request is acknowledged, for a copy would be no better; its order is not, for then it would count on us.
        """
        self.counts.refused[code] += 1
        if received.features is None:
            return not RULES[received.command.NAME].orders
        error = Error(
            error_string=text, code=code, in_reply_to=received.id, job_id=job, retry_after=retry_after
        )
        self._error(received.sender, error, now)
        return False

    def ignore(self, received: Received, *, reason: str, text: str) -> Dropped:
        """The component makes nothing of it; the event is for the log."""
        self.counts.dropped[reason] += 1
        return Dropped(
            sender=received.sender, id=received.id, reason=reason, text=text, command=received.command
        )

    # -- inside

    def _opened(self, envelope: Envelope, now: float) -> Opened | Dropped:
        """A message in clear, as it came or opened. Who sent one that cannot be opened, or that must not be heard in clear, is
        told so in always the same words, and not often."""
        if self._security is None and not envelope.is_sealed:
            return Opened(envelope=envelope, sealed=False)
        try:
            if self._security is None:
                raise SealError("it is sealed, and secure mode is not in use here")
            return self._security.opened(envelope, now)
        except SealError as error:
            if self.role & _SAYS_SECURITY_ERROR:
                self._security_error(envelope, now)
            return self._drop(envelope, NOT_OPENED if envelope.is_sealed else IN_CLEAR, str(error))

    def _security_error(self, envelope: Envelope, now: float) -> None:
        through_room = envelope.kind == "groupchat" or bare(envelope.sender) in self._rooms
        said = envelope.is_sealed or envelope.body is not None or envelope.element is not None
        if through_room or not said or envelope.noack:
            return
        peer = self._peer(envelope.sender)
        if now - peer.last_security_error >= SECONDS_BETWEEN_SECURITY_ERRORS:
            peer.last_security_error = now
            told = codec.encode(SecurityError(error_string=UNREADABLE))
            in_body = envelope.sealed_body is not None or envelope.body is not None
            self._clear.append(
                Envelope(
                    to=envelope.sender,
                    id=self._new_id(),
                    body=told if in_body else None,
                    element=None if in_body else told,
                    noack=True,
                )
            )
            self.counts.sent[SecurityError.NAME] += 1

    def _sealed(self, envelopes: list[tuple[Envelope, str]], now: float) -> list[Envelope]:
        """As they go out, each in its session if there is one. What cannot be sealed for anybody does not; what is said again
        until it is acknowledged may yet."""
        clear, self._clear = self._clear, []
        sealed: list[Envelope] = []
        for envelope, session in envelopes:
            try:
                sealed.append(self._as_it_goes_out(envelope, session, now))
            except Unsaid:
                continue
            except SealError as error:
                self.counts.dropped[NOT_SEALED] += 1
                self._void.append(
                    Dropped(sender=envelope.to, id=envelope.id, reason=NOT_SEALED, text=str(error))
                )
        return [*sealed, *clear]

    def _as_it_goes_out(self, envelope: Envelope, session: str, now: float) -> Envelope:
        ready = envelope
        if self._security is not None:
            ready = self._security.sealed(envelope, now, session=session)
        if not ready.is_sealed and (session or _is_confidential(ready)):
            raise SealError(f"it must be sealed, and there is no session with {envelope.to}")
        return ready

    def _command(self, opened: Opened, now: float) -> list[ProtocolEvent]:
        envelope = opened.envelope
        info = self._info(envelope)
        command, features = codec.decode(info)
        rule = RULES[command.NAME]
        to_all = envelope.kind == "groupchat"
        through_room = bare(envelope.sender) in self._rooms  # anybody can send the kind `groupchat`
        if (to_all or through_room) and not rule.in_rooms:
            return [self._drop(envelope, "in-room", f"{command.NAME} must not come through a chat room")]
        peer = self._peer(envelope.sender)
        if not rule.noack:  # what asks for no acknowledgement announces no features
            peer.element, peer.features = envelope.element is not None, features
        self.counts.received[command.NAME] += 1
        if self.role & Role.AGENT and "/" in envelope.to and envelope.to.lower() != self.jid.lower():
            text = f"{command.NAME} was meant for {envelope.to}, which is gone"
            return [self._drop(envelope, "not-for-us", text, command)]
        if not rule.receiver & self.role:
            text = f"{command.NAME} is not for this component"
            return [self._drop(envelope, "wrong-role", text, command)]
        # Who is behind a nick is known to those who answer in rooms.
        if not through_room and not self._may_say(opened, command.NAME):
            return [self._not_allowed(envelope, command, now)]
        if rule.orders and self.role & Role.AGENT and not self._trusts(bare(envelope.sender)):
            text = f"{command.NAME} from a JID that this agent does not obey"
            return [self._drop(envelope, "not-trusted", text, command)]
        if rule.void_after is not None and envelope.age > rule.void_after:
            text = f"{command.NAME} was kept by the server for {envelope.age:.0f} s"
            return [self._drop(envelope, "void", text, command)]
        if envelope.id is None and not (rule.noack or envelope.noack):
            text = f"{command.NAME} without an id cannot be acknowledged"
            return [self._drop(envelope, "no-id", text, command)]
        if isinstance(command, Error) and (refused := self._refused(envelope.sender, command)) is not None:
            return [refused]
        received = Received(
            command=command,
            sender=envelope.sender,
            id=envelope.id,
            features=features,
            element=envelope.element is not None,
            wants_ack=not (envelope.noack or rule.noack or to_all),
            info=info,
            at=now,
            sealed=opened.sealed,
            in_v1=opened.in_v1,
            session=opened.session,
            key=opened.key,
        )
        return [received] if self._is_new(received, now) else []

    def _may_say(self, opened: Opened, command: str) -> bool:
        permitted = self._permits(bare(opened.envelope.sender), command)
        return permitted and (command == ENROL or not opened.only_enrols)

    def _info(self, envelope: Envelope) -> Element:
        body, element = envelope.body, envelope.element
        if (
            body is not None
            and element is not None
            and body != element
            and codec.decode(body)[0] != codec.decode(element)[0]
        ):
            raise ProtocolError("malformed", "the two carriages of this message say different things")
        info = element if element is not None else body
        assert info is not None
        return info

    def _is_new(self, received: Received, now: float) -> bool:
        if received.id is None or not (received.wants_ack or received.sealed):
            return True
        sight = self._seen.look(received.sender, received.id, now)
        if sight is Sight.NEW:
            if not received.wants_ack:  # nobody says it twice but who has kept it: that must count nothing
                self._seen.answered(received.sender, received.id, now)
            return True
        self.counts.copies += 1
        if sight is Sight.ANSWERED and received.wants_ack:
            self._owe(received.sender, received.id, element=received.element)
        return False

    def _refused(self, sender: str, error: Error) -> Refused | None:
        """What this error settles; None if nothing that waits for an answer."""
        message = self._outbox.settle(sender, error.in_reply_to or "")
        if message is None:
            return None
        return Refused(id=message.id, to=message.to, command=message.command, error=error)

    def _stanza_error(self, envelope: Envelope) -> list[ProtocolEvent]:
        message = self._outbox.get(envelope.id or "")
        if message is None or bare(message.to) != bare(envelope.sender):
            return []
        return [Undeliverable(id=message.id, to=message.to, command=message.command)]

    def _malformed(self, envelope: Envelope, error: ProtocolError, now: float) -> ProtocolEvent:
        """Count it; tell a peer that knows of features, which settles it there; acknowledge it to all others, for a
        copy would be no better."""
        if envelope.id is not None and not envelope.noack:
            if self._knows_of_features(envelope):
                told = Error(error_string=str(error), code=error.code, in_reply_to=envelope.id)
                self._error(envelope.sender, told, now)
            else:
                self._owe(envelope.sender, envelope.id, element=envelope.element is not None)
        return self._drop(envelope, error.code, str(error))

    def _not_allowed(self, envelope: Envelope, command: Command, now: float) -> ProtocolEvent:
        """It has no effect. A peer that knows of features is told so; another one gets no acknowledgement either: what it says is
        said again, and not lost if somebody lets it in."""
        text = f"{envelope.sender} may not say {command.NAME} here"
        waits = envelope.id is not None and not (envelope.noack or RULES[command.NAME].noack)
        if waits and self._peer(envelope.sender).features is not None:
            told = Error(error_string=text, code=NOT_ALLOWED, in_reply_to=envelope.id)
            self._error(envelope.sender, told, now)
        self.counts.refused[NOT_ALLOWED] += 1
        return Dropped(sender=envelope.sender, id=envelope.id, reason=NOT_ALLOWED, text=text, command=command)

    def _acknowledges_on_receipt(self, envelope: Envelope) -> bool:
        """Whether its acknowledgements are those of a peer of 2011: in the body carriage, the only one that it has."""
        peer = self._peers.get(envelope.sender.lower())
        return envelope.ack_carriage == "body" and (peer is None or peer.features is None)

    def _knows_of_features(self, envelope: Envelope) -> bool:
        """By what it said before or, if it can be read, by this message."""
        if self._peer(envelope.sender).features is not None:
            return True
        with contextlib.suppress(ProtocolError):
            return any(
                info is not None and codec.features_of(info) is not None
                for info in (envelope.element, envelope.body)
            )
        return False

    def _error(self, to: str, error: Error, now: float) -> None:
        peer = self._peer(to)
        if now - peer.last_error >= SECONDS_BETWEEN_ERRORS:
            peer.last_error = now
            self.send(to, error, now)

    def _drop(self, envelope: Envelope, reason: str, text: str, command: Command | None = None) -> Dropped:
        self.counts.dropped[reason] += 1
        return Dropped(sender=envelope.sender, id=envelope.id, reason=reason, text=text, command=command)

    def _owe(self, to: str, message_id: str, *, element: bool) -> None:
        self._owed.setdefault((to, element), []).append(message_id)

    def _peer(self, jid: str) -> _Peer:
        key = jid.lower()
        peer = self._peers.get(key)
        if peer is None:
            peer = self._peers[key] = _Peer()
            if len(self._peers) > PEERS_REMEMBERED:
                self._peers.popitem(last=False)
        else:
            self._peers.move_to_end(key)
        return peer

    def _envelope(self, message: Pending) -> Envelope:
        """In the carriage that the peer speaks, if the server lets it through; in both while we do not know."""
        command = message.command
        rule = RULES[command.NAME]
        peer = self._peers.get(message.to.lower())
        speaks = True if self._selftest.stripped else None if peer is None else peer.element
        info = message.info or codec.encode(command, () if rule.noack else self._features)
        self.counts.sent[command.NAME] += 1
        self.counts.resent += message.sent > 1
        return Envelope(
            to=message.to,
            id=message.id,
            body=info if speaks is not True else None,
            element=info if speaks is not False else None,
            acks=self._riding(message.to),
            noack=rule.noack,
        )

    def hurry(self) -> None:
        """No acknowledgement is to wait for anything any more: we are about to leave."""
        self._end_patience(float("inf"))

    def _end_patience(self, now: float) -> None:
        """What has waited for long enough, or more of them than one message takes, is owed from now on."""
        if now < self._patience_ends:
            return
        for to, (until, ids) in list(self._patient.items()):
            if until <= now or len(ids) >= MOST_ACKS:
                del self._patient[to]
                self._owed.setdefault((to, True), []).extend(ids)
        self._patience_ends = min((until for until, _ in self._patient.values()), default=float("inf"))

    def _riding(self, to: str) -> tuple[str, ...]:
        """Acknowledgements that go with a command; the rest follow."""
        if to in self._patient:
            self._owed.setdefault((to, True), []).extend(self._patient.pop(to)[1])
        owed = self._owed.get((to, True), [])
        riding, owed[:] = tuple(owed[:MOST_ACKS]), owed[MOST_ACKS:]
        return riding


def _pure_acks(to: str, ids: list[str], *, element: bool) -> list[Envelope]:
    """The element carriage takes many in one message, the report's form one."""
    if element:
        parts = range(0, len(ids), MOST_ACKS)
        return [Envelope(to=to, acks=tuple(ids[start : start + MOST_ACKS])) for start in parts]
    return [Envelope(to=to, acks=(message_id,), ack_carriage="body") for message_id in ids]


def _is_confidential(envelope: Envelope) -> bool:
    """Whether nobody on the way may read it, whatever the settings say: it has secrets of a job."""
    info = envelope.element or envelope.body
    parts = () if info is None else info.children
    return any(one.tag == Secret.TAG for part in parts for one in part.children)
