"""What the transports carry: one message, taken apart no further than a transport has to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field

from copilot.records import dataclass


@dataclass(frozen=True, slots=True)
class Element:
    """An XML element as plain data; `tag` without name space, attribute values as they stand on the wire."""

    tag: str
    attributes: Mapping[str, str] = field(default_factory=dict)
    children: tuple[Element, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """One `<message>` (protocol page, section 1).

    The same command may ride in the report's `<body>`, in `<copilot xmlns='urn:copilot:1'>`, or in both.
    `sender` is what the server stamped; transports leave it empty on what they send. `acks` and `noack` are
    gathered from wherever they stood; in an envelope without a command `ack_carriage` says where the acks are
    written, with one they ride where it does. `age` is how long the server kept the message (XEP-0203), in
    seconds.

    In secure mode (section 5) a message on its way has neither, but the attributes of one that is `sealed`, in either
    carriage; what it says, acknowledges and asks for is inside.
    """

    to: str
    sender: str = ""
    id: str | None = None
    kind: str = "normal"  # the stanza's `type`: normal, chat, error, groupchat, headline
    body: Element | None = None  # the <info> inside <body>
    element: Element | None = None  # the <info> inside <copilot>
    acks: tuple[str, ...] = ()
    ack_carriage: str = "element"  # "element" or "body"; of use only without a command
    noack: bool = False
    age: float = 0.0
    error: str | None = None  # the condition of a stanza error (RFC 6120, 8.3.3)
    sealed: Mapping[str, str] | None = None  # the attributes of a <copilot> that is sealed
    sealed_body: Mapping[str, str] | None = None  # those of a <body>, as in 2011

    @property
    def is_sealed(self) -> bool:
        """Whether somebody has to open it before it says anything."""
        return self.sealed is not None or self.sealed_body is not None


def bare(jid: str) -> str:
    """The JID without its resource, in lower case (RFC 7622 compares local and domain parts so)."""
    return jid.partition("/")[0].lower()
