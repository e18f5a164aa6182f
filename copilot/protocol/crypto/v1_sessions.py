"""Who speaks suite v1 with whom, under which K: the two ends of a session of 2011.

Who opens a session (an agent) sends K, wrapped for the service, with every message; who answers seals with the K that came last
from that full JID. In 2011 one K served an agent for all services, which could then read each other's messages; here each
service gets one of its own.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from copilot.errors import ProtocolError, SealError
from copilot.protocol import codec
from copilot.protocol.crypto import tickets, v1
from copilot.protocol.envelope import Element, bare

SESSION_KEY, INFO = "session_key", "info"  # attributes of `<body>`
TICKET = "componentAuthenticationTicket"  # attribute of the sealed `<info>`
ASKS_FOR_TICKET, BRINGS_TICKET = "getTicket", "storeTicket"
SESSIONS_REMEMBERED = 50_000

Attributes = Mapping[str, str]  # text, before and after the value encoding of the wire


class Opening:
    """The end that opens sessions. `keys(JID)` is the public key of a service, as the file of public keys has it."""

    def __init__(self, keys: Callable[[str], RSAPublicKey | None], *, key_manager: str | None = None) -> None:
        """`key_manager`: bare JID of who gives tickets; None: there are none."""
        self._keys = keys
        self._key_manager = None if key_manager is None else bare(key_manager)
        self._sessions: dict[str, bytes] = {}  # by the bare JID of the service
        self.ticket = tickets.NO_TICKET if key_manager is None else ""

    def knows(self, jid: str) -> bool:
        """Whether a session with this service is open."""
        return bare(jid) in self._sessions

    def reaches(self, jid: str) -> bool:
        """Whether we could open one."""
        return (self._keys(jid) or self._keys(bare(jid))) is not None

    def seal(self, to: str, info: Element) -> Attributes:
        """The attributes that say `info` to `to`. Raises `SealError` if we have no key of theirs, or no ticket yet."""
        key = self._keys(to) or self._keys(bare(to))
        if key is None:
            raise SealError(
                f"the file of public keys has none of {to}: suite v1 needs a line for it, and for each of its instances"
            )
        if not self.ticket and _command(info) != ASKS_FOR_TICKET:
            raise SealError("our key manager has not given us a ticket yet")
        secret = self._sessions.setdefault(bare(to), v1.new_secret())
        if _command(info) != ASKS_FOR_TICKET:
            info = replace(info, attributes={**info.attributes, TICKET: codec.encode_value(self.ticket)})
        return {SESSION_KEY: v1.wrap(secret, key), INFO: v1.seal(v1.written(info), secret)}

    def opened(self, sender: str, attributes: Attributes) -> Element:
        """What a service answers. Raises `SealError`."""
        secret = self._sessions.get(bare(sender))
        if secret is None or INFO not in attributes:
            raise SealError(v1.UNREADABLE)
        return v1.opened(attributes[INFO], secret)


class Answering:
    """The end that answers: a manager, or the key manager itself."""

    def __init__(
        self,
        keys: Callable[[], Sequence[RSAPrivateKey]],
        *,
        jid: str,
        wall: Callable[[], float],
        belongs: Callable[[str], bool] = lambda _: True,
        ticket_keys: Sequence[RSAPublicKey] = (),
        gives_tickets: bool = False,
    ) -> None:
        """`keys()` open what is sealed for us, all of them that we still have. `belongs(bare JID)` is False for whom this suite
        is not good enough. `ticket_keys` are those of the key manager; none: nobody needs a ticket. `wall()` is in seconds
        since the epoch."""
        self._keys = keys
        self._jid = bare(jid)
        self._wall = wall
        self._belongs = belongs
        self._ticket_keys = ticket_keys
        self._gives_tickets = gives_tickets
        self._sessions: OrderedDict[str, bytes] = OrderedDict()  # by the full JID of who opened it

    def knows(self, jid: str) -> bool:
        """Whether a session with this full JID is open."""
        return jid.lower() in self._sessions

    reaches = knows  # nobody is spoken to who has not opened one

    def opened(self, sender: str, attributes: Attributes) -> Element:
        """The `<info>`, without its ticket. Raises `SealError`; its text may name the cause, for the log alone."""
        if not self._belongs(bare(sender)):
            raise SealError("an account that is enrolled for suite v2 must not speak v1")
        if SESSION_KEY not in attributes or INFO not in attributes:
            raise SealError(v1.UNREADABLE)
        secret = v1.unwrap(attributes[SESSION_KEY], self._keys())
        info = v1.opened(attributes[INFO], secret)
        shown = info.attributes.get(TICKET)
        if self._ticket_keys and not (self._gives_tickets and _command(info) == ASKS_FOR_TICKET):
            self._check(sender, shown)
        self._remember(sender, secret)
        others = {name: value for name, value in info.attributes.items() if name != TICKET}
        return replace(info, attributes=others)

    def seal(self, to: str, info: Element) -> Attributes:
        """The attributes that answer `info` to `to`. Raises `SealError` if no session with it is open."""
        secret = self._sessions.get(to.lower())
        if secret is None:
            raise SealError(f"{to} has not opened a session of suite v1 with us")
        return {INFO: v1.seal(v1.written(info), secret)}

    def adopt(self, to: str, wrapped: str) -> None:
        """Answer `to` (full JID) under the K that it has sent to another instance, unless we have one. Raises `SealError`."""
        if not self._belongs(bare(to)):
            raise SealError("an account that is enrolled for suite v2 is not spoken to in v1")
        if not self.knows(to):
            self._remember(to, v1.unwrap(wrapped, self._keys()))

    def _check(self, sender: str, shown: str | None) -> None:
        ticket = tickets.read(_text(shown or ""), self._ticket_keys)
        refusal = (
            "no ticket of our key manager"
            if ticket is None
            else ticket.refusal(sender, self._jid, self._wall())
        )
        if refusal is not None:
            raise SealError(refusal)

    def _remember(self, sender: str, secret: bytes) -> None:
        self._sessions[sender.lower()] = secret
        self._sessions.move_to_end(sender.lower())
        if len(self._sessions) > SESSIONS_REMEMBERED:
            self._sessions.popitem(last=False)


def _command(info: Element) -> str:
    return _text(info.attributes.get("command", ""))


def _text(value: str) -> str:
    try:
        return codec.decode_value(value)
    except ProtocolError:
        return ""
