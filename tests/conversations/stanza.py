"""Stanzas as programs of 2011 wrote them, and as a test reads them.

What the captured stanzas in tests/wire/2011 show: single quotes, attributes in the order of a Perl hash, `_BASE64:` and
lines of 76 characters with a line end after the last, nothing after the prefix for an empty value, a bare `from`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Self
from xml.etree.ElementTree import Element
from xml.sax.saxutils import escape

from tests.conversations.secure import Secured

CAPTURED = Path(__file__).parents[1] / "wire" / "2011"
COPILOT = "urn:copilot:1"
CARRIAGES = {
    "body": "<body>{0}</body>",
    "element": f"<copilot xmlns='{COPILOT}'>{{0}}</copilot>",
    "both": f"<body>{{0}}</body><copilot xmlns='{COPILOT}'>{{0}}</copilot>",
}
_PREFIX = re.compile(r"__?BASE64:")
_ADDRESS = re.compile(r"(?<= )(from|to)='[^']*'")

Values = Mapping[str, str]  # of <info> by name; those of its child by `child.name`


@dataclass(frozen=True, slots=True, kw_only=True)
class Stanza:
    """One message that came in. `values` are empty for a pure acknowledgement."""

    sender: str
    to: str
    id: str | None
    acks: tuple[str, ...]
    carriage: str
    values: Values
    text: str = ""
    sealed: bool = False

    @classmethod
    def read(cls, message: Element, text: str = "", secured: Secured | None = None) -> Self:
        """The message as the parser made it; `text` is for people who look for a mistake. `secured` opens what is sealed."""
        body, element = message.find("{*}body"), message.find(f"{{{COPILOT}}}copilot")
        carried = [
            info
            for part in (body, element)
            if part is not None and (info := _info(part, message.get("from", ""), secured)) is not None
        ]
        acks = (message if element is None else element).get("ack", "")
        return cls(
            sender=message.get("from", ""),
            to=message.get("to", ""),
            id=message.get("id"),
            acks=tuple(acks.split()),
            carriage="both" if len(carried) == 2 else "body" if element is None else "element",
            values=_values(carried[0]) if carried else {},
            text=text,
            sealed=body is not None and "info" in body.attrib,
        )

    @property
    def command(self) -> str:
        """What it says; empty for a pure acknowledgement."""
        return self.values.get("command", "")


def _info(part: Element, sender: str, secured: Secured | None) -> Element | None:
    if secured is None or "info" not in part.attrib:
        return part.find("{*}info")
    return secured.opened(sender, {name: plain(value) for name, value in part.attrib.items()})


def _values(info: Element) -> dict[str, str]:
    values = {name: plain(value) for name, value in info.items()}
    for child in info:
        tag = child.tag.rpartition("}")[2]
        values |= {f"{tag}.{name}": plain(value) for name, value in child.items()}
    return values


def plain(value: str) -> str:
    """What an attribute says."""
    prefix = _PREFIX.match(value)
    return base64.b64decode(value[prefix.end() :]).decode() if prefix else value


def coded(value: str, prefix: str = "_BASE64:") -> str:
    """An attribute's value as 2011 coded it; an empty `prefix` leaves it as it is."""
    if not prefix:
        return escape(value, {"'": "&apos;", "\n": "&#10;"})
    return prefix + base64.encodebytes(value.encode()).decode()


@dataclass(frozen=True, slots=True, kw_only=True)
class Writing:
    """How a program of 2011 writes. `random` shuffles attributes."""

    random: Random
    prefix: str = "_BASE64:"
    carriage: str = "body"
    delay: str = ""  # an element of the server's
    secured: Secured | None = None

    def message(self, attributes: Mapping[str, str], values: Values) -> str:
        """A command."""
        own = {name: value for name, value in values.items() if "." not in name}
        children: dict[str, dict[str, str]] = {}
        for name, value in values.items():
            if "." in name:
                tag, _, attribute = name.partition(".")
                children.setdefault(tag, {})[attribute] = value
        inside = "".join(self._element(tag, some) for tag, some in children.items())
        info = self._element("info", own, inside)
        if self.secured is not None:
            sealed = self.secured.sealed(attributes["to"], values.get("command", ""), info)
            return (
                self._open("message", attributes) + f">{self._element('body', sealed)}{self.delay}</message>"
            )
        content = CARRIAGES[self.carriage].format(info)
        return self._open("message", attributes) + f">{content}{self.delay}</message>"

    def ack(self, attributes: Mapping[str, str]) -> str:
        """An acknowledgement: no body."""
        return self._open("message", attributes) + "/>"

    def _element(self, tag: str, values: Mapping[str, str], inside: str = "") -> str:
        opened = self._open(tag, {name: coded(value, self.prefix) for name, value in values.items()})
        return f"{opened}>{inside}</{tag}>" if inside else f"{opened}/>"

    def _open(self, tag: str, attributes: Mapping[str, str]) -> str:
        pairs = [f"{name}='{value}'" for name, value in attributes.items()]
        self.random.shuffle(pairs)
        return f"<{tag} {' '.join(pairs)}"


def captured(name: str, side: str) -> str:
    """What a program of 2011 really sent; `side` is `agent` or `jm`."""
    return (CAPTURED / f"{name}.sent-by-{side}.xml").read_bytes().decode()


def readdressed(text: str, addresses: Mapping[str, str], values: Values) -> str:
    """A captured stanza with other JIDs and, byte for byte as it was besides, other values in some attributes."""
    head, end, rest = text.partition(">")
    head = _ADDRESS.sub(lambda match: f"{match[1]}='{escape(addresses[match[1]])}'", head)
    for name, value in values.items():
        attribute = re.compile(rf"(?<=[ \n]){name.rpartition('.')[2]}='[^']*'")
        assert attribute.search(rest), f"the captured stanza has no {name}"
        rest = attribute.sub(f"{name.rpartition('.')[2]}='{coded(value)}'", rest)
    return head + end + rest


def namespaced(text: str) -> str:
    """A captured stanza as a parser wants it that has not seen the stream's start."""
    return f"<stream xmlns='jabber:client'>{text}</stream>"
