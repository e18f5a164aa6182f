"""Messages as XML: a parsed `<message>` to an Envelope, an Envelope to the text that goes out.

What comes in is hostile: nothing here raises on it, and what does not fit is left out, so that the endpoint sees
a message without a command. What goes out is ours: whatever would not arrive exactly as it is raises ValueError.
"""

from __future__ import annotations

from datetime import datetime
from xml.etree.ElementTree import Element as Xml

from copilot.errors import ProtocolError
from copilot.protocol.envelope import Element, Envelope, bare
from copilot.protocol.markup import escape, write

NAMESPACE = "urn:copilot:1"
MAX_DEPTH = 8  # levels of <info> that are read, more than the codec takes: it finds out and says so
MAX_ID = 256  # characters; ours are UUIDs of 36
MAX_ACKS = 1024  # of one message; ours have 32 at most
MAX_STANZA_BYTES = 60 * 1024  # protocol page, section 1, "Large things"
# Attributes of a sealed message (section 5) in either carriage, and which one of them says that it is one.
SEALED_IN_ELEMENT = (
    "suite",
    "kid",
    "session",
    "key",
    "signer",
    "sig",
    "time",
    "sealed",
    "session_key",
    "info",
)
SEALED_IN_BODY = ("session_key", "info")
_SAYS_SEALED = ("sealed", "info")

_CLIENT = "{jabber:client}"
_BODY, _ERROR = f"{_CLIENT}body", f"{_CLIENT}error"
_COPILOT = f"{{{NAMESPACE}}}copilot"
_DELAY = "{urn:xmpp:delay}delay"
_CONDITION = "{urn:ietf:params:xml:ns:xmpp-stanzas}"
_KINDS = frozenset({"normal", "chat", "error", "groupchat", "headline"})


def decode(message: Xml, *, own: str, now: float) -> Envelope:
    """Take a `<message>` apart, whichever carriages it has.

    `own` is our JID, full or bare: it stands in where the server left out an address (RFC 6120, 8.1), and tells
    whose `<delay/>` to trust. `now` is the wall clock, seconds since the epoch. A stanza error carries its
    condition and nothing else: what it echoes of ours must not count. An id that cannot stand in a list of acks
    (blank inside, longer than 256 characters) is none. Never raises on what a peer can send.
    """
    kind = message.get("type", "normal")
    to, sender = message.get("to") or bare(own), message.get("from") or bare(own)
    ident = _usable_id(message.get("id"))
    if kind == "error":
        return Envelope(to=to, sender=sender, id=ident, kind=kind, error=condition(message))
    copilot = message.find(_COPILOT)
    body = message.find(_BODY)
    sealed, sealed_body = _sealed(copilot, SEALED_IN_ELEMENT), _sealed(body, SEALED_IN_BODY)
    if sealed is not None or sealed_body is not None:  # what else stands there counts for nothing
        return Envelope(
            to=to,
            sender=sender,
            id=ident,
            kind=kind if kind in _KINDS else "normal",
            age=_age(message, own, now),
            sealed=sealed,
            sealed_body=sealed_body,
        )
    in_attribute = message.get("ack", "")
    in_element = "" if copilot is None else copilot.get("ack", "")
    return Envelope(
        to=to,
        sender=sender,
        id=ident,
        kind=kind if kind in _KINDS else "normal",
        body=_info(body),
        element=_info(copilot),
        acks=_acks(in_attribute, in_element),
        ack_carriage="body" if in_attribute and not in_element else "element",
        noack="1" in (message.get("noack"), None if copilot is None else copilot.get("noack")),
        age=_age(message, own, now),
    )


def encode(envelope: Envelope) -> str:
    """Write a message as the text of one stanza, without `from` (the server stamps it).

    A command rides in each carriage that the envelope fills. Acks stand in `<copilot ack='ID ID …'>`; without it,
    or with exactly one beside a body, in `<message ack='ID'>`, the report's form, which takes one id only.

    Raises ValueError if the envelope cannot be written exactly: characters that XML does not allow, names that
    are none, several acks without `<copilot>`, an id with a blank in a list of acks, or a stanza error.
    """
    if envelope.kind == "error" or envelope.kind not in _KINDS:
        raise ValueError(
            f"a message of type {envelope.kind!r} cannot be sent; use one of normal, chat, headline"
        )
    if envelope.is_sealed:
        return _encode_sealed(envelope)
    elemental = envelope.element is not None or (
        envelope.body is None and bool(envelope.acks) and envelope.ack_carriage == "element"
    )
    parts = ["<message to='", escape(envelope.to), "'"]
    if envelope.id is not None:
        parts += [" id='", escape(envelope.id), "'"]
    if elemental or envelope.kind != "normal":
        parts += [" type='", envelope.kind, "'"]
    if envelope.body is not None or not elemental:
        parts.append(_report_marks(envelope, elemental))
    parts.append(">")
    if envelope.body is not None:
        parts.append("<body>")
        write(envelope.body, parts)
        parts.append("</body>")
    if elemental:
        parts += [f"<copilot xmlns='{NAMESPACE}'", _list_of_acks(envelope.acks)]
        parts.append(" noack='1'>" if envelope.noack else ">")
        if envelope.element is not None:
            write(envelope.element, parts)
        parts.append("</copilot>")
    parts.append("</message>")
    return "".join(parts)


def encode_bounded(envelope: Envelope, limit: int) -> bytes:
    """`encode`, as the bytes of the wire.

    Raises ValueError as `encode` does, and ProtocolError `too-large` beyond `limit` bytes: a server would end the
    stream over it.
    """
    data = encode(envelope).encode()
    if len(data) > limit:
        raise ProtocolError(
            "too-large",
            f"The message {envelope.id} to {envelope.to} has {len(data)} bytes on the wire; {limit} are allowed. "
            "Send large things by reference (a file's URL), or split them.",
        )
    return data


def nests_deeper(xml: Xml, limit: int) -> bool:
    """Has this element more levels than that, itself included? By loops: it may have a hundred thousand."""
    level = [xml]
    for _ in range(limit):
        level = [child for parent in level for child in parent]
        if not level:
            return False
    return True


def _encode_sealed(envelope: Envelope) -> str:
    """With its id outside, which is sealed with the rest: it cannot be changed."""
    parts = ["<message to='", escape(envelope.to), "'"]
    if envelope.id is not None:
        parts += [" id='", escape(envelope.id), "'"]
    if envelope.sealed is not None or envelope.kind != "normal":
        parts += [" type='", envelope.kind, "'"]
    parts.append(">")
    if envelope.sealed_body is not None:
        write(Element("body", envelope.sealed_body), parts)
    if envelope.sealed is not None:
        parts.append(f"<copilot xmlns='{NAMESPACE}'")
        for name, value in envelope.sealed.items():
            parts += [" ", name, "='", escape(value), "'"]
        parts.append("/>")
    parts.append("</message>")
    return "".join(parts)


def _sealed(carriage: Xml | None, names: tuple[str, ...]) -> dict[str, str] | None:
    """The attributes of a carriage that is sealed; None if it is not."""
    if carriage is None or not any(carriage.get(name) for name in _SAYS_SEALED):
        return None
    return {name: value for name in names if (value := carriage.get(name)) is not None}


def _info(carriage: Xml | None) -> Element | None:
    """The `<info>` inside `<body>` or `<copilot>`; None if there is none."""
    if carriage is None:
        return None
    for child in carriage:
        if _local(child.tag) == "info":
            return _plain(child, MAX_DEPTH)
    return None


def _plain(xml: Xml, depth: int) -> Element:
    """Plain data, cut below `depth` levels."""
    attributes = {
        name: value for name, value in xml.items() if name[0] != "{"
    }  # xml:lang and such are not ours
    children = tuple(_plain(child, depth - 1) for child in xml) if depth > 1 else ()
    return Element(_local(xml.tag), attributes, children)


def _local(tag: str) -> str:
    return tag.rpartition("}")[2]


def _acks(*lists: str) -> tuple[str, ...]:
    """Ids that we may have said; no more of them than anybody has a reason to send."""
    return tuple(dict.fromkeys(one for text in lists for one in text.split(None, MAX_ACKS)[:MAX_ACKS]))


def _usable_id(ident: str | None) -> str | None:
    return ident if ident and len(ident) <= MAX_ID and ident.split() == [ident] else None


def condition(stanza: Xml) -> str:
    """The condition of a stanza error (RFC 6120, 8.3.3)."""
    error = stanza.find(_ERROR)
    for child in () if error is None else error:
        if child.tag.startswith(_CONDITION) and _local(child.tag) != "text":
            return _local(child.tag)
    return "undefined-condition"


def _age(message: Xml, own: str, now: float) -> float:
    """Seconds since the oldest stamp of our own server; 0 without one (XEP-0203; a peer can forge others)."""
    delays = [child for child in message if child.tag == _DELAY]
    if not delays:
        return 0.0
    ours = (None, "", bare(own), bare(own).partition("@")[2])
    stamps = [_instant(delay.get("stamp", "")) for delay in delays if delay.get("from") in ours]
    return max((now - stamp for stamp in stamps if stamp is not None and stamp < now), default=0.0)


def _instant(stamp: str) -> float | None:
    try:
        instant = datetime.fromisoformat(stamp)
        return None if instant.tzinfo is None else instant.timestamp()
    except (ValueError, OverflowError):
        return None


def _report_marks(envelope: Envelope, elemental: bool) -> str:
    """`ack` and `noack` as attributes of `<message>`, the report's way."""
    marks = " noack='1'" if envelope.noack else ""
    if len(envelope.acks) == 1:
        return f" ack='{escape(envelope.acks[0])}'{marks}"
    if envelope.acks and not elemental:
        raise ValueError(
            f"a message without <copilot> carries one ack, not {len(envelope.acks)}; send one each"
        )
    return marks


def _list_of_acks(acks: tuple[str, ...]) -> str:
    for ack in acks:
        if ack.split() != [ack]:
            raise ValueError(f"the id {ack!r} cannot stand in a list of acks: it is empty or has blanks")
    return f" ack='{escape(' '.join(acks))}'" if acks else ""
