"""Stanzas without a parser: found by regular expressions, written by filling in templates that our own codec has made.

Good enough for what two known servers hand on of what our managers say, and for nothing else.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode

from copilot.protocol import codec
from copilot.protocol.commands import Command
from copilot.protocol.envelope import Envelope
from copilot.transport.stanza import encode

# 1 the kind, 2 its attributes, 3 what is in it (None: nothing).
STANZA = re.compile(rb"<(message|presence|iq)\b([^>]*?)(?:/>|>(.*?)</\1>)", re.DOTALL)
SENDER = re.compile(rb"\bfrom=['\"]([^'\"]*)")
ID = re.compile(rb"\bid=['\"]([^'\"]*)")
TYPE_GET = re.compile(rb"\btype=['\"]get")
TYPE_ERROR = re.compile(rb"\btype=['\"]error")
ACKS = re.compile(rb"<copilot\b[^>]*?\back=['\"]([^'\"]*)")  # of ours
ACK = re.compile(rb"\back=['\"]([^'\"]*)")  # of 2011, among the attributes of <message>
COMMAND = re.compile(rb"<info\b[^>]*?\bcommand=['\"]_BASE64:([^'\"]*)")
CLAIM = re.compile(rb"\bjmJobData=['\"]_BASE64:([^'\"]*)")
JOB = re.compile(rb"<job\b[^>]*?\bid=['\"]_BASE64:([^'\"]*)")
ATTEMPT = re.compile(rb"<job\b[^>]*?\battempt=['\"]_BASE64:([^'\"]*)")
LEASE = re.compile(rb"<job\b[^>]*?\blease=['\"]_BASE64:([^'\"]*)")
RETRY_AFTER = re.compile(rb"\bretryAfter=['\"]_BASE64:([^'\"]*)")
CODE = re.compile(rb"\bcode=['\"]_BASE64:([^'\"]*)")
IN_REPLY_TO = re.compile(rb"\binReplyTo=['\"]_BASE64:([^'\"]*)")


def encoded(text: str) -> bytes:
    """A value as it stands behind `_BASE64:`."""
    return b64encode(text.encode())


def template(
    command: Command | None, *, features: tuple[str, ...] = (), acks: bool = False, carriage: str = "element"
) -> bytes:
    """A message to be filled in with `%`: `to`, `id` (if there is a command), `ack` (if `acks`), and `value(name)` for
    values that are `mark(name)` in `command`. None: acknowledgements alone."""
    info = None if command is None else codec.encode(command, features)
    envelope = Envelope(
        to="-to-",
        id=None if info is None else "-id-",
        body=info if carriage == "body" else None,
        element=info if carriage == "element" else None,
        acks=("-ack-",) if acks else (),
        ack_carriage=carriage,
    )
    text = encode(envelope)
    for name in ("to", "id", "ack"):
        text = text.replace(f"-{name}-", f"%({name})s")
    return re.sub(
        rb"_BASE64:LS0t[A-Za-z0-9+/]*=*", lambda found: b"_BASE64:%%(%s)s" % _name(found[0]), text.encode()
    )


def mark(name: str) -> str:
    """Stands in a command for a value that is filled in later."""
    return f"---{name}---"


def _name(value: bytes) -> bytes:
    return b64decode(value.removeprefix(b"_BASE64:")).strip(b"-")
