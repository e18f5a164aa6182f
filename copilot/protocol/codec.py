"""Commands to XML elements and back: the value encoding of section 1 of the protocol page.

Every value of `<info>` and below is `_BASE64:` + base64 of UTF-8 text. We write that form and no white space;
we read it with `__BASE64:`, without a prefix, and with white space anywhere in it.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from functools import lru_cache
from typing import Any

from copilot.errors import BadName, ProtocolError
from copilot.protocol.commands import COMMANDS, Command, Kind, Part
from copilot.protocol.envelope import Element
from copilot.records import dataclass

PREFIX = "_BASE64:"
MAX_DECODED_BYTES = 256 * 1024  # of one message, all values together
MAX_DEPTH = 4  # <info><job><input/></job></info> and one to spare
_ALIASES = {"jobId": "jobID"}
_DROP_SPACE = {ord(space): None for space in " \t\r\n"}


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where one field of a command lives in its element."""

    name: str
    attribute: str | None
    names: tuple[str, ...]
    kind: Kind | None
    child: type[Part] | None
    many: bool
    raw: bool
    required: bool


def encode_value(text: str) -> str:
    """`text` as an attribute value; what no UTF-8 can say (lone surrogates) becomes a question mark."""
    return PREFIX + b2a_base64(text.encode(errors="replace"), newline=False).decode("ascii")


def decode_value(value: str) -> str:
    """The text of an attribute value. Raises `ProtocolError` (`bad-value`) for broken base64 or UTF-8."""
    at = 0 if value.startswith(PREFIX) else 1 if value.startswith("_" + PREFIX) else -1
    if at < 0:
        return value
    encoded = value[at + len(PREFIX) :]
    try:
        return _plain_text(encoded)
    except ValueError:
        pass  # white space is allowed, and rare
    try:
        return _plain_text(encoded.translate(_DROP_SPACE))
    except ValueError as error:
        raise ProtocolError(
            "bad-value", f"value {value[:60]!r}: expected base64 of UTF-8 text: {error}"
        ) from error


def encode(command: Command, features: tuple[str, ...] = ()) -> Element:
    """The `<info>` of a command; `features` are announced with it (section 4), if any."""
    return _encode("info", command, dict(_head(command.NAME, features)))


def decode(info: Element) -> tuple[Command, frozenset[str] | None]:
    """The command in an `<info>`, and the features that its sender announced (None: a peer of 2011).

    Raises `ProtocolError` with code `malformed`, `unknown-command`, `missing-attribute`, `bad-value` or
    `too-large`; the peer is to blame.
    """
    _check_size(info)
    if info.tag != "info" or "command" not in info.attributes:
        raise ProtocolError("malformed", "expected an <info> element with the attribute 'command'")
    name = decode_value(info.attributes["command"])
    kind = COMMANDS.get(name)
    if kind is None:
        raise ProtocolError("unknown-command", f"unknown command {name[:60]!r}")
    return _decode(kind, info, name), features_of(info)


def features_of(info: Element) -> frozenset[str] | None:
    """The features announced in an `<info>`, whatever else is in it. Raises `ProtocolError` (`bad-value`)."""
    features = info.attributes.get("features")
    return None if features is None else frozenset(decode_value(features).split())


def parse(document: bytes) -> Element:
    """An `<info>` from text that did not come through the XMPP stream (opened secret messages, tests).

    Entities, DTDs and network are off, depth and size bounded. Raises `ProtocolError` (`malformed`).
    """
    from lxml import etree  # 4 MB that an agent does without as long as nothing is secret

    if len(document) > 2 * MAX_DECODED_BYTES:
        raise ProtocolError(
            "too-large", f"{len(document)} bytes of XML; at most {2 * MAX_DECODED_BYTES} are read"
        )
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, huge_tree=False)
    try:
        root = etree.fromstring(document, parser)
    except etree.XMLSyntaxError as error:
        raise ProtocolError("malformed", f"not well-formed XML: {error}") from error
    if root.getroottree().docinfo.doctype:
        raise ProtocolError("malformed", "a document type declaration is not allowed")
    return element_from_tree(root)


def element_from_tree(node: Any, depth: int = 0) -> Element:
    """Plain data from an ElementTree or lxml element, without name spaces. Raises `ProtocolError` if too deep."""
    if depth > MAX_DEPTH:
        raise ProtocolError("malformed", f"elements nested more than {MAX_DEPTH} deep")
    return Element(
        node.tag.rpartition("}")[2],
        {name.rpartition("}")[2]: value for name, value in node.attrib.items()},
        tuple(element_from_tree(item, depth + 1) for item in node if isinstance(item.tag, str)),
    )


def _check_size(info: Element) -> None:
    size, todo, depth = 0, [(info, 0)], 0
    while todo:
        element, depth = todo.pop()
        size += sum(map(len, element.attributes.values()))
        todo.extend((item, depth + 1) for item in element.children)
        if size * 3 // 4 > MAX_DECODED_BYTES:
            raise ProtocolError(
                "too-large", f"a message may hold {MAX_DECODED_BYTES} bytes; send large things as files"
            )
        if depth > MAX_DEPTH:
            raise ProtocolError("malformed", f"elements nested more than {MAX_DEPTH} deep")


def _slot(item: Field[Any]) -> _Slot:
    meta: Mapping[str, Any] = item.metadata
    name = meta.get("attribute")
    return _Slot(
        name=item.name,
        attribute=name,
        names=(name, *meta["aliases"]) if name else (),
        kind=meta.get("kind"),
        child=meta.get("child"),
        many=meta.get("many", False),
        raw=meta.get("raw", False),
        required=item.default is MISSING,
    )


_SLOTS: dict[type[Any], tuple[_Slot, ...]] = {
    kind: tuple(_slot(item) for item in fields(kind))
    for kind in (*COMMANDS.values(), *Part.__subclasses__())
    if is_dataclass(kind)  # the class before it got slots may be there still
}


def _plain_text(encoded: str) -> str:
    return a2b_base64(encoded, strict_mode=True).decode()


@lru_cache(maxsize=256)  # the commands with our features, and without
def _head(name: str, features: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """The attributes with which every `<info>` begins."""
    command = ("command", encode_value(name))
    return (command, ("features", encode_value(" ".join(features)))) if features else (command,)


def _encode(tag: str, value: object, head: dict[str, str]) -> Element:
    children: list[Element] = []
    for slot in _SLOTS[type(value)]:
        content = getattr(value, slot.name)
        if slot.kind is not None and slot.attribute is not None:
            if content is not None:
                head[slot.attribute] = encode_value(slot.kind.format(content))
        elif slot.raw:
            children.append(content)
        else:
            parts = content if slot.many else (content,)
            children.extend(_encode(part.TAG, part, {}) for part in parts)
    return Element(tag, head, tuple(children))


def _decode(kind: type[Any], element: Element, where: str) -> Any:
    attributes = element.attributes
    if not attributes.keys().isdisjoint(_ALIASES):
        attributes = {_ALIASES.get(name, name): value for name, value in attributes.items()}
    values: dict[str, Any] = {}
    for slot in _SLOTS[kind]:
        if slot.kind is None:
            found = _read_children(slot, element, where)
        else:
            found = _read_attribute(slot, slot.kind, attributes, where)
        if found is not MISSING:
            values[slot.name] = found
        elif slot.required:
            raise ProtocolError("missing-attribute", f"{where}: {slot.attribute or slot.name!r} is missing")
    return kind(**values)


def _read_attribute(slot: _Slot, kind: Kind, attributes: Mapping[str, str], where: str) -> Any:
    for name in slot.names:
        if name in attributes:
            text = decode_value(attributes[name])
            try:
                return kind.parse(text)
            except (BadName, ValueError) as error:
                raise ProtocolError("bad-value", f"{where}: {name}: {error}") from error
    return MISSING


def _read_children(slot: _Slot, element: Element, where: str) -> Any:
    tag = "info" if slot.raw else slot.child.TAG if slot.child else ""
    found = [item for item in element.children if item.tag == tag]
    if slot.many and slot.child:
        return tuple(_decode(slot.child, item, f"{where}: <{tag}>") for item in found)
    if not found:
        return MISSING
    if len(found) > 1:
        raise ProtocolError("malformed", f"{where}: one <{tag}> expected, found {len(found)}")
    return found[0] if slot.child is None else _decode(slot.child, found[0], f"{where}: <{tag}>")
