"""New keys of a service reach its agents: who opens a session for an old one is told the new ones (protocol page, section 5).

The word is signed with every older signing key that the service still has, and heard only inside a session, which nobody but
the service can write in. An agent keeps them before it acknowledges.
"""

from __future__ import annotations

import base64
import logging
from collections import OrderedDict
from collections.abc import Callable

from copilot.log import PeerRef
from copilot.protocol.commands import NewKeys
from copilot.protocol.crypto import v2
from copilot.protocol.crypto.keys import PublicKeys, kid, public_text, read_public
from copilot.protocol.envelope import bare
from copilot.protocol.events import Acked, Received
from copilot.protocol.rules import RULES, Role
from copilot.protocol.session import kid_of
from copilot.records import dataclass
from copilot.runtime.component import Actions, Event, Perform, Refuse, Send, Tick
from copilot.runtime.keyring import FileRing

log = logging.getLogger("copilot.keys")

TELL_AGAIN = 600.0  # s, to one agent
AGENTS_REMEMBERED = 20_000
LOOK_EVERY = 5.0  # s


class KeyTeller:
    """The part of a manager that looks whether its key file has changed, and tells agents."""

    def __init__(self, ring: Callable[[], FileRing | None], jid: str) -> None:
        """`ring()` is None as long as there are no keys."""
        self._ring = ring
        self._jid = bare(jid)
        self._told: OrderedDict[tuple[str, str], float] = OrderedDict()  # (full JID, newest kid) → when
        self._next_look = 0.0

    def wakeup(self) -> float | None:
        """As `Component.wakeup`."""
        return self._next_look

    def handle(self, event: Event, now: float) -> Actions:
        """As `Component.handle`."""
        match event:
            case Tick():
                self._look(now)
            case Received(session=session) if session and RULES[event.command.NAME].sender == Role.AGENT:
                return self._tell(event, now)
            case Acked(command=NewKeys(), to=to):
                log.info("%s has our new keys", PeerRef(to))
        return []

    def _look(self, now: float) -> None:
        if now >= self._next_look:
            self._next_look = now + LOOK_EVERY
            ring = self._ring()
            if ring is not None:
                ring.refresh()

    def _tell(self, received: Received, now: float) -> Actions:
        ring, used = self._ring(), kid_of(received.session)
        if ring is None or not used or not ring.private.opening or not ring.private.signing:
            return []
        newest = kid(ring.private.opening[0].public_key())
        key = (received.sender, newest)
        if used == newest or now < self._told.get(key, float("-inf")) + TELL_AGAIN:
            return []
        self._told[key] = now
        self._told.move_to_end(key)
        if len(self._told) > AGENTS_REMEMBERED:
            self._told.popitem(last=False)
        return [Send(to=received.sender, command=new_keys(ring, self._jid))]


def new_keys(ring: FileRing, jid: str) -> NewKeys:
    """The newest keys of a service (bare JID), signed with all others that it has."""
    private, public = ring.private, ring.private.public
    text = public_text({jid: PublicKeys(public.opening[:1], public.signing[:1])})
    signatures = (
        base64.b64encode(v2.sign_keys(key, jid, text)).decode("ascii") for key in reversed(private.signing)
    )
    return NewKeys(keys=text, signatures=tuple(signatures))


@dataclass(frozen=True, slots=True, kw_only=True)
class KeepKeys:
    """An effect: from now on a service (bare JID) has these keys."""

    jid: str
    keys: PublicKeys


class KeyLearner:
    """The part of an agent that hears of new keys, and its performer, which keeps them."""

    def __init__(self, ring: FileRing) -> None:
        self._ring = ring

    def wakeup(self) -> float | None:
        """As `Component.wakeup`."""
        return None

    def handle(self, event: Event, now: float) -> Actions:  # noqa: ARG002  # as the port has it
        """As `Component.handle`."""
        match event:
            case Received(command=NewKeys() as news):
                return self._heard(event, news)
        return []

    def _heard(self, received: Received, news: NewKeys) -> Actions:
        jid = bare(received.sender)
        if not received.sealed or not self._signed(jid, news):
            text = "new keys that were not sealed and signed by the holder of a key that we know"
            return [Refuse(received=received, code="bad-signature", text=text)]
        try:
            keys = read_public(news.keys).get(jid, PublicKeys())
        except ValueError as error:
            return [Refuse(received=received, code="bad-value", text=f"new keys: {error}")]
        if not keys.opening or not keys.signing:
            text = "new keys without one that opens and one that signs"
            return [Refuse(received=received, code="bad-value", text=text)]
        return [Perform(effect=KeepKeys(jid=jid, keys=keys))]

    def _signed(self, jid: str, news: NewKeys) -> bool:
        return any(
            v2.signed_keys(_data(signature), key, jid, news.keys)
            for key in self._ring.signers(jid)
            for signature in news.signatures[:8]
        )

    def perform(self, effect: KeepKeys) -> None:
        """As `Performer.perform`; the keys are on the disk when it returns. Raises `OSError`."""
        self._ring.learn(effect.jid, effect.keys)
        names = ", ".join(kid(key) for key in effect.keys.opening)
        log.info("%s has new keys (%s); they are kept and used from now on", PeerRef(effect.jid), names)


def _data(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except ValueError:
        return b""
