"""Sessions of suite v2: who has opened one with whom, and what is sealed in it (protocol page, section 5). No I/O.

Who opens a session sends all that is needed to open it with every message, so any instance of the service can answer it, and
one that has just begun knows it again. What is needed is a text (`Opening.text`), which can be kept in the queue.

    opener:   <copilot suite kid session key sig time sealed/>     in answers:   <copilot suite session sealed/>

The sealed text is JSON: when it was said, what it acknowledges, whether it wants to be acknowledged, and the `<info>`.
"""

from __future__ import annotations

import base64
import json
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Any, Protocol

from copilot.errors import ProtocolError, SealError
from copilot.protocol import codec
from copilot.protocol.crypto import v2
from copilot.protocol.envelope import Element, Envelope, bare
from copilot.protocol.limits import Buckets, Rate
from copilot.protocol.security import Opened, Openings
from copilot.records import dataclass

LIFETIME = 24 * 3600.0  # s; then its opener opens another one
LIFETIME_LEFT = 3600.0  # s more for which it is taken: for answers and for agents that were parked before
MOST_MESSAGES = 2**20  # of its opener
# A copy is sealed anew, so no honest message is older; what was heard is remembered for longer (`acks.REMEMBERED`), so none
# that somebody kept and says again has any effect.
LONGEST_WAY = 600.0  # s
CLOCKS_APART = 120.0  # s that the two clocks may differ
KEPT_BEFORE = 2  # sessions of ours with one service, besides the present one: answers may be on their way
SESSIONS_REMEMBERED = 20_000  # that others have opened
OPENINGS = Rate(
    per_second=20.0, burst=200.0
)  # of one account; each costs a signature and an RSA decryption: 2 ms
UNANSWERED = 60.0  # s after which the next of several keys of a service is tried
ANY_KEY = ("any",)  # in place of keys: who has none registered yet, and asks to be let in
MAX_ACKS = 1024  # of one message; ours have 32 at most
LARGEST = 2 * codec.MAX_DECODED_BYTES  # bytes of a sealed text

_OPENER, _ANSWERER = "opener", "answerer"
_BASE64 = re.compile(r"[A-Za-z0-9+/]{1,700}={0,2}\Z")
_KID = re.compile(r"[0-9a-f]{16}\Z")
_SESSION = re.compile(r"[A-Za-z0-9_-]{22}\Z")
_TIME = re.compile(r"[0-9]{1,12}\Z")


@dataclass(frozen=True, slots=True)
class Pinned:
    """A key of a service, and its name."""

    kid: str
    key: v2.OpeningPublicKey


class KeyRing(Protocol):
    """The keys of a component, and those that it knows of services."""

    def signing(self) -> v2.SigningKey | None:
        """The newest key of ours that signs."""
        ...

    def opening(self, kid: str) -> v2.OpeningKey | None:
        """The key of ours with this kid that opens."""
        ...

    def pinned(self, jid: str) -> Sequence[Pinned]:
        """The keys of a service (bare JID) for which sessions are opened, the newest first."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How a session was opened: values as on the wire. `signer` is the public signing key of who has none registered yet."""

    kid: str
    session: str
    key: str
    sig: str
    time: str
    signer: str = ""

    @classmethod
    def read(cls, values: Mapping[str, str]) -> Opening:
        """Raises `SealError`."""
        found = {name: values.get(name, "") for name in ("kid", "session", "key", "sig", "time", "signer")}
        if not (
            _KID.match(found["kid"])
            and _SESSION.match(found["session"])
            and _TIME.match(found["time"])
            and all(_BASE64.match(found[name]) for name in ("key", "sig"))
            and (not found["signer"] or _BASE64.match(found["signer"]))
        ):
            raise SealError("what opens the session cannot be read")
        return cls(**found)

    @classmethod
    def of_text(cls, text: str) -> Opening:
        """Raises `SealError`."""
        words = text.split(":")
        if len(words) != 7 or words[0] != v2.SUITE:
            raise SealError("the text of the session cannot be read")
        return cls.read(dict(zip(("kid", "session", "key", "sig", "time", "signer"), words[1:], strict=True)))

    def text(self) -> str:
        """Without blanks."""
        return ":".join((v2.SUITE, self.kid, self.session, self.key, self.sig, self.time, self.signer))

    def attributes(self) -> dict[str, str]:
        """As on the wire."""
        signer = {"signer": self.signer} if self.signer else {}
        return {
            "suite": v2.SUITE,
            "kid": self.kid,
            "session": self.session,
            "key": self.key,
            **signer,
            "sig": self.sig,
            "time": self.time,
        }

    def signed(self, sender: str, receiver: str) -> tuple[str, ...]:
        """What the signature is over."""
        return (v2.SUITE, self.kid, self.session, self.key, self.time, sender, receiver)


def kid_of(session: str) -> str:
    """For which of our keys a session was opened, by its text; "" if it is none of `v2`."""
    suite, _, rest = session.partition(":")
    return rest.partition(":")[0] if suite == v2.SUITE else ""


@dataclass(slots=True)
class _Ours:
    """A session that we have opened."""

    opening: Opening
    pair: v2.Pair
    head: Mapping[str, str]  # as on the wire
    born: float
    sent: int = 0
    asked: float | None = None  # since when an answer is missing


@dataclass(slots=True)
class _Service:
    """Our sessions with one service, the present one last; which of its keys it was opened for."""

    sessions: OrderedDict[str, _Ours] = field(default_factory=OrderedDict)
    place: int = 0
    pinned: tuple[str, ...] = ()

    @property
    def present(self) -> _Ours | None:
        return next(reversed(self.sessions.values()), None)


@dataclass(frozen=True, slots=True)
class _Theirs:
    """A session that somebody has opened with us; `key` is his registered key or, for who has none yet, the one that he showed."""

    opening: Opening
    pair: v2.Pair
    key: str
    text: str
    head: Mapping[str, str]  # as on the wire


class V2:
    """Both ends: sessions that we open, and those that others open with us."""

    name = v2.SUITE
    uses_body = False

    def __init__(
        self,
        jid: str,
        ring: KeyRing,
        *,
        signers: Callable[[str], Sequence[str]] = lambda _: (),
        wall: Callable[[], float],
        shows_key: bool = False,
        openings: Openings | None = None,
    ) -> None:
        """`signers(bare JID)` are the keys (as in `copilot.roles.Account.key`) under which an account may open sessions with us,
        or `ANY_KEY`. `wall()` is in seconds since the epoch. `shows_key`: ours is registered nowhere yet. `openings` counts."""
        self._jid = bare(jid)
        self._ring = ring
        self._signers = signers
        self._wall = wall
        self._shows_key = shows_key
        self._services: dict[str, _Service] = {}  # by bare JID
        self._theirs: OrderedDict[tuple[str, str], _Theirs] = OrderedDict()  # by bare JID and session id
        self._latest: OrderedDict[str, _Theirs] = (
            OrderedDict()
        )  # the one in which a full or bare JID has spoken last
        self._openings = Buckets(OPENINGS, SESSIONS_REMEMBERED)
        self.openings = openings or Openings()

    def recognises(self, envelope: Envelope) -> bool:
        """See `Suite.recognises`."""
        return envelope.sealed is not None and envelope.sealed.get("suite") == v2.SUITE

    def opened(self, envelope: Envelope, now: float) -> Opened:
        """See `Suite.opened`."""
        values, sender = envelope.sealed or {}, bare(envelope.sender)
        if "key" not in values:
            ours = self._ours(sender, values.get("session", ""))
            inside = self._read(envelope, values, ours.opening, _ANSWERER, ours.pair)
            ours.asked = None
            return Opened(envelope=self._plain(envelope, inside))
        theirs = self._heard_before(sender, values) or self._known(sender, Opening.read(values), now)
        plain = self._plain(envelope, self._read(envelope, values, theirs.opening, _OPENER, theirs.pair))
        self._speaks(envelope.sender, theirs)
        return Opened(
            envelope=plain,
            session=theirs.text,
            key=theirs.key,
            only_enrols=self._signers(sender) == ANY_KEY,
        )

    def sealed(self, envelope: Envelope, now: float) -> Envelope | None:
        """See `Suite.sealed`. In the session in which the receiver has spoken to us last, else in one that we open."""
        theirs = self._latest.get(envelope.to.lower())
        if theirs is not None and self._counts(bare(envelope.to), theirs):
            head = {"suite": v2.SUITE, "session": theirs.opening.session}
            return self._written(envelope, theirs.opening, _ANSWERER, theirs.pair.answerer, head)
        ours = self._session_with(bare(envelope.to), now)
        if ours is None:
            return None
        ours.sent += 1
        if ours.asked is None and envelope.id is not None and not envelope.noack:
            ours.asked = now
        return self._written(envelope, ours.opening, _OPENER, ours.pair.opener, ours.head)

    def in_clear(self, envelope: Envelope) -> Envelope | None:  # noqa: ARG002  # as the port has it
        """See `Suite.in_clear`."""
        return None

    def adopt(self, to: str, session: str, now: float) -> bool:
        """See `Suite.adopt`."""
        if session.partition(":")[0] != v2.SUITE:
            return False
        latest = self._latest.get(to.lower())
        if latest is not None and latest.text == session and self._counts(bare(to), latest):
            return True
        opening = Opening.of_text(session)
        if (
            latest is None
            or int(latest.opening.time) < int(opening.time)
            or not self._counts(bare(to), latest)
        ):
            self._speaks(to, self._known(bare(to), opening, now))
        return True

    # -- sessions that we open

    def _session_with(self, jid: str, now: float) -> _Ours | None:
        """The present one, or a new one when its time is over or nobody answers in it."""
        signing, pinned = self._ring.signing(), self._ring.pinned(jid)
        if signing is None or not pinned:
            return None
        service = self._services.setdefault(jid, _Service())
        kids = tuple(one.kid for one in pinned)
        if kids != service.pinned:
            service.pinned, service.place = kids, 0
        present = service.present
        silent = present is not None and present.asked is not None and now - present.asked >= UNANSWERED
        if silent and len(pinned) > 1:  # it may have lost that key
            service.place = (service.place + 1) % len(pinned)
        wanted = pinned[service.place]
        if (
            present is not None
            and present.opening.kid == wanted.kid
            and now - present.born < LIFETIME
            and present.sent < MOST_MESSAGES
        ):
            return present
        ours = self._open(jid, wanted, signing, now)
        service.sessions[ours.opening.session] = ours
        while len(service.sessions) > KEPT_BEFORE + 1:
            service.sessions.popitem(last=False)
        return ours

    def _open(self, jid: str, wanted: Pinned, signing: v2.SigningKey, now: float) -> _Ours:
        secret, session = v2.new_secret(), base64.urlsafe_b64encode(os.urandom(16))[:22].decode("ascii")
        unsigned = Opening(
            kid=wanted.kid,
            session=session,
            key=_text(v2.wrap(secret, wanted.key)),
            sig="",
            time=f"{self._wall():.0f}",
            signer=v2.public_form(signing) if self._shows_key else "",
        )
        signature = v2.sign_session(signing, *unsigned.signed(self._jid, jid))
        opening = replace(unsigned, sig=_text(signature))
        return _Ours(opening, v2.pair(secret, session), opening.attributes(), born=now)

    def _ours(self, jid: str, session: str) -> _Ours:
        service = self._services.get(jid)
        found = None if service is None else service.sessions.get(session)
        if found is None:
            raise SealError("an answer in a session that we have not opened, or not in this life")
        return found

    # -- sessions that others open

    def _counts(self, jid: str, theirs: _Theirs) -> bool:
        """Whether the key under which a session was opened is still its opener's, and we still have the one for which it was."""
        signers = self._signers(jid)
        ours = self._ring.opening(theirs.opening.kid) is not None
        return ours and (theirs.key in signers or signers == ANY_KEY)

    def _heard_before(self, sender: str, values: Mapping[str, str]) -> _Theirs | None:
        """The session, if just this one is open: what most messages need."""
        found = self._theirs.get((sender, values.get("session", "")))
        if found is None or not self._counts(sender, found):
            return None
        if values != {**found.head, "sealed": values.get("sealed", "")}:
            return None
        self._theirs.move_to_end((sender, found.opening.session))
        self._in_time(found.opening)
        return found

    def _known(self, sender: str, opening: Opening, now: float) -> _Theirs:
        """The session, opened now if it is new to us."""
        found = self._theirs.get((sender, opening.session))
        if found is None or found.opening != opening or not self._counts(sender, found):
            try:
                found = self._checked(sender, opening, now)
            except SealError:
                self.openings.refused += 1
                raise
            self._theirs[sender, opening.session] = found
            while len(self._theirs) > SESSIONS_REMEMBERED:
                self._theirs.popitem(last=False)
        else:
            self._theirs.move_to_end((sender, opening.session))
        self._in_time(opening)
        return found

    def _checked(self, sender: str, opening: Opening, now: float) -> _Theirs:
        """What is cheap comes first: whoever sends rubbish makes us verify a signature at most, and so many in a second."""
        signers = self._signers(sender)
        if not signers:
            raise SealError("no key is registered for its sender")
        self._in_time(opening)
        if not self._openings.take(sender, now):
            raise SealError("its sender opens sessions too fast")
        parts = opening.signed(sender, self._jid)
        candidates = (opening.signer,) if signers == ANY_KEY else signers
        signature = _data(opening.sig)
        key = next((one for one in candidates if v2.signed_session(signature, one, *parts)), None)
        if key is None:
            raise SealError("the session was not signed with a key that is registered for its sender")
        private = self._ring.opening(opening.kid)
        if private is None:
            raise SealError(
                f"the session was opened for a key of ours that we do not have any more ({opening.kid}): its sender "
                "needs our present public keys"
            )
        secret = v2.unwrap(_data(opening.key), private)
        self.openings.opened += 1
        return _Theirs(opening, v2.pair(secret, opening.session), key, opening.text(), opening.attributes())

    def _in_time(self, opening: Opening) -> None:
        age = self._wall() - int(opening.time)
        if age < -CLOCKS_APART:
            raise SealError(_apart("the session was opened", -age))
        if age > LIFETIME + LIFETIME_LEFT + CLOCKS_APART:
            raise SealError(f"the session was opened {age / 3600:.0f} h ago: too old, or a clock is wrong")

    def _speaks(self, sender: str, theirs: _Theirs) -> None:
        for name in {sender.lower(), bare(sender)}:
            self._latest[name] = theirs
            self._latest.move_to_end(name)
        while len(self._latest) > 2 * SESSIONS_REMEMBERED:
            self._latest.popitem(last=False)

    # -- what is inside

    def _written(
        self, envelope: Envelope, opening: Opening, direction: str, key: Any, head: Mapping[str, str]
    ) -> Envelope:
        info = envelope.element or envelope.body
        inside = json.dumps(
            [
                round(self._wall(), 3),
                envelope.acks,
                int(envelope.noack),
                None if info is None else _told(info),
            ],
            ensure_ascii=False,
            separators=(",", ":"),
        )
        data = _bound(opening, direction, self._jid, bare(envelope.to), envelope.id)
        try:
            sealed = v2.seal(inside.encode(), key, data)
        except UnicodeEncodeError:
            raise SealError("the message holds characters that no UTF-8 can say") from None
        return Envelope(
            to=envelope.to,
            id=envelope.id,
            kind=envelope.kind,
            sealed={**head, "sealed": _text(sealed)},
        )

    def _read(
        self, envelope: Envelope, values: Mapping[str, str], opening: Opening, direction: str, pair: v2.Pair
    ) -> Any:
        key = pair.opener if direction == _OPENER else pair.answerer
        data = _bound(opening, direction, bare(envelope.sender), self._jid, envelope.id)
        sealed = _data(values.get("sealed", ""))
        if len(sealed) > LARGEST:
            raise SealError(f"{len(sealed)} bytes are sealed, at most {LARGEST} are read")
        try:
            return json.loads(v2.unseal(sealed, key, data))
        except (ValueError, RecursionError):
            raise SealError("what was sealed cannot be read") from None

    def _plain(self, envelope: Envelope, inside: Any) -> Envelope:
        """As it was before it was sealed, and how long it was on its way."""
        try:
            said, acks, noack, told = inside
            age = self._wall() - float(said)
            acks = tuple(map(str, acks))[:MAX_ACKS]
            info = None if told is None else _untold(told, 0)
        except (TypeError, ValueError, KeyError, OverflowError, RecursionError) as error:
            raise SealError(f"what was sealed makes no message: {error}") from None
        if age < -CLOCKS_APART:
            raise SealError(_apart("it was said", -age))
        if not age <= LONGEST_WAY + CLOCKS_APART:
            raise SealError(
                f"it was said {age:.0f} s ago: a copy of an old message, or a clock that is wrong; {CLOCKS_APART:.0f} s are "
                "allowed besides the way"
            )
        return replace(
            envelope,
            element=info,
            acks=acks,
            noack=bool(noack),
            age=max(envelope.age, age - CLOCKS_APART),
            sealed=None,
        )


def _bound(opening: Opening, direction: str, sender: str, receiver: str, message_id: str | None) -> bytes:
    """What a sealed text is bound to."""
    parts = (v2.SUITE, opening.kid, opening.session, direction, sender, receiver)
    return v2.joined(*parts, "" if message_id is None else f"id {message_id}")


def _told(element: Element) -> list[Any]:
    """An element as JSON: values decoded, for base64 within base64 would be a third longer."""
    values = {name: _decoded(value) for name, value in element.attributes.items()}
    return [element.tag, values, [_told(child) for child in element.children]]


def _decoded(value: str) -> str:
    try:
        return codec.decode_value(value)
    except ProtocolError:
        raise SealError("a value of the message cannot be read") from None


def _untold(told: Any, depth: int) -> Element:
    """Raises `ValueError` or `TypeError` if it is none."""
    tag, values, children = told
    if depth > codec.MAX_DEPTH:
        raise ValueError(f"elements nested more than {codec.MAX_DEPTH} deep")
    if not isinstance(tag, str) or not isinstance(values, dict):
        raise TypeError("expected an element")
    if not all(isinstance(value, str) for value in values.values()):
        raise TypeError("expected text")
    attributes = {name: codec.encode_value(value) for name, value in values.items()}
    return Element(tag, attributes, tuple(_untold(child, depth + 1) for child in children))


def _apart(what: str, seconds: float) -> str:
    return f"{what} {seconds:.0f} s in the future: one of the two clocks is wrong by that; {CLOCKS_APART:.0f} s are allowed"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _data(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        raise SealError("base64 cannot be read") from None
