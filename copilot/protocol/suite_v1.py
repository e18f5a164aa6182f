"""Suite v1 between transport and endpoint: sealed messages of 2011 to plain ones, and back (protocol page, section 5).

In 2011 only `<info>` is sealed; ids and acknowledgements stay outside, in clear. A program of 2011 in secure mode ends on an
acknowledgement, so we send it none.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import replace

from copilot.errors import ProtocolError, SealError
from copilot.protocol import codec
from copilot.protocol.crypto import v1
from copilot.protocol.crypto.v1_sessions import INFO, SESSION_KEY, SESSIONS_REMEMBERED, Answering, Opening
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.security import HEARD_IN_CLEAR, Opened, Unsaid

ACKS = "ack"  # ours: attribute of a sealed `<info>` that acknowledges something, to peers with features


class V1:
    """Either end, as a `Suite`."""

    name = v1.SUITE
    uses_body = True

    def __init__(self, end: Opening | Answering, *, acks: bool = False) -> None:
        """`acks`: programs of 2011 get acknowledgements, too, whatever becomes of them."""
        self._end = end
        self._acks = acks
        self._ours: OrderedDict[str, bool] = (
            OrderedDict()
        )  # whether a full JID has announced features, so is none of 2011

    def recognises(self, envelope: Envelope) -> bool:
        """As `Suite.recognises`: the attributes of 2011, and not the name of another suite."""
        attributes = envelope.sealed_body if envelope.sealed_body is not None else envelope.sealed
        return attributes is not None and INFO in attributes and "suite" not in attributes

    def opened(self, envelope: Envelope, now: float) -> Opened:  # noqa: ARG002  # as the port has it
        """As `Suite.opened`."""
        in_body = envelope.sealed_body is not None
        attributes = _plain(envelope.sealed_body or envelope.sealed or {})
        info = self._end.opened(envelope.sender, attributes)
        self._remember(envelope.sender, ours="features" in info.attributes)
        acks = _text(info, ACKS).split()
        info = replace(
            info, attributes={name: text for name, text in info.attributes.items() if name != ACKS}
        )
        clear = replace(
            envelope,
            sealed=None,
            sealed_body=None,
            body=info if in_body else None,
            element=None if in_body else info,
            acks=tuple(acks),
        )
        wrapped = "".join(attributes.get(SESSION_KEY, "").split())
        theirs = isinstance(self._end, Answering)
        session = f"{v1.SUITE}:{wrapped}" if theirs else ""
        return Opened(envelope=clear, sealed=False, in_v1=True, session=session)

    def in_clear(self, envelope: Envelope) -> Envelope | None:
        """As `Suite.in_clear`: acknowledgements, and nothing else, of those with whom a session is open."""
        if not envelope.acks or not self._end.knows(envelope.sender):
            return None
        return replace(envelope, body=None, element=None)

    def adopt(self, to: str, session: str, now: float) -> bool:  # noqa: ARG002  # as the port has it
        """As `Suite.adopt`."""
        suite, _, wrapped = session.partition(":")
        if suite != v1.SUITE or not isinstance(self._end, Answering):
            return False
        self._end.adopt(to, wrapped)
        return True

    def sealed(self, envelope: Envelope, now: float) -> Envelope | None:  # noqa: ARG002  # as the port has it
        """As `Suite.sealed`."""
        info = envelope.body if envelope.body is not None else envelope.element
        if not self._end.reaches(envelope.to) or _text(info, "command") == HEARD_IN_CLEAR:
            return None
        if info is not None:
            return self._sealed(envelope, info)
        if self._acks or self._ours.get(envelope.to.lower(), False):
            return envelope
        raise Unsaid("a program of 2011 gets no acknowledgements in secure mode")

    def _sealed(self, envelope: Envelope, info: Element) -> Envelope:
        """In one carriage: the body, where the server lets it through."""
        if envelope.acks:
            told = codec.encode_value(" ".join(envelope.acks))
            info = replace(info, attributes={**info.attributes, ACKS: told})
        texts = self._end.seal(envelope.to, info)
        attributes = {name: codec.encode_value(text) for name, text in texts.items()}
        in_body = envelope.body is not None
        return replace(
            envelope,
            body=None,
            element=None,
            acks=(),
            sealed_body=attributes if in_body else None,
            sealed=None if in_body else attributes,
        )

    def _remember(self, jid: str, *, ours: bool) -> None:
        self._ours[jid.lower()] = ours
        self._ours.move_to_end(jid.lower())
        if len(self._ours) > SESSIONS_REMEMBERED:
            self._ours.popitem(last=False)


def _plain(attributes: Mapping[str, str]) -> dict[str, str]:
    """Raises `SealError` if one of them is not coded."""
    try:
        return {name: codec.decode_value(value) for name, value in attributes.items()}
    except ProtocolError:
        raise SealError(v1.UNREADABLE) from None


def _text(info: Element | None, name: str) -> str:
    with contextlib.suppress(ProtocolError):
        return "" if info is None else codec.decode_value(info.attributes.get(name, ""))
    return ""
