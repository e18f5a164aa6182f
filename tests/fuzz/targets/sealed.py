"""Sealed messages: what a stranger writes is refused by `SealError`, and so is what an agent with a good key has sealed and is no
message."""

from __future__ import annotations

import contextlib
from xml.etree import ElementTree

from copilot.errors import ProtocolError, SealError
from copilot.protocol import codec, session
from copilot.protocol.crypto import v2
from copilot.protocol.envelope import Envelope, bare
from copilot.transport.stanza import decode
from tests.sealing import agent_side, service_side

MOST = 4096
AGENT, MANAGER = "agent@x/a", "jm@x/one"
_OPENER, _ANSWERER = agent_side(), service_side()


def run(data: bytes) -> None:
    """XML as it comes from the server; or, behind a nul, what stands inside the seal of an honest session."""
    if data[:1] == b"\0":
        envelope = _sealed(data[1:])
    else:
        try:
            envelope = decode(ElementTree.fromstring(data), own=MANAGER, now=1e9)
        except (ElementTree.ParseError, ValueError, LookupError):
            return
    if not _ANSWERER.recognises(envelope):
        return
    with contextlib.suppress(SealError, ProtocolError):
        opened = _ANSWERER.opened(envelope, 0.0)
        if opened.envelope.element is not None:
            codec.decode(opened.envelope.element)


def _sealed(inside: bytes) -> Envelope:
    ours = _OPENER._session_with(bare(MANAGER), 0.0)
    assert ours is not None
    bound = session._bound(ours.opening, "opener", bare(AGENT), bare(MANAGER), "m1")
    values = {**ours.opening.attributes(), "sealed": session._text(v2.seal(inside, ours.pair.opener, bound))}
    return Envelope(to=MANAGER, sender=AGENT, id="m1", sealed=values)
