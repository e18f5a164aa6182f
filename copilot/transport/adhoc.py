"""Commands that people give from any XMPP client (XEP-0050), with forms (XEP-0004): what is asked for, what is said. No I/O.

A command has at most two steps, the form and what came of it. Nothing is remembered between them: the id of a session is signed for who
has it and for which command, so a made-up one is refused, and a flood of sessions leaves none.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping, Sequence
from typing import Protocol
from xml.etree.ElementTree import Element as Xml

from copilot.log import printable
from copilot.protocol.markup import escape
from copilot.records import dataclass

COMMANDS = "http://jabber.org/protocol/commands"
FORMS = "jabber:x:data"
MOST_FIELDS = 20  # of a form that comes in
MOST_VALUES = 60  # of one of its fields
LONGEST = 1200  # characters of a value
MOST_LINES = 100  # of an answer
LONGEST_LINE = 600  # characters


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """What a form asks for. `kind`: a type of XEP-0004, 3.3; `options` of a list."""

    name: str
    label: str
    kind: str = "text-single"
    options: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """What can be wanted: its node, its name for people, and what it asks for; without fields it is one step."""

    node: str
    name: str
    fields: tuple[Field, ...] = ()
    instructions: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came of it, line by line; `ok`: as it was wanted."""

    lines: Sequence[str]
    ok: bool = True


class Commands(Protocol):
    """The commands of a component."""

    def of(self, jid: str) -> Mapping[str, Command]:
        """Those that this full JID may give, by their nodes."""
        ...

    async def run(self, node: str, jid: str, said: Mapping[str, tuple[str, ...]]) -> Answered:
        """Carry one out in the name of a full JID. What is wrong with what was said, or that it may not, is an answer, too."""
        ...


class Tickets:
    """Ids of sessions of one connection."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def new(self, jid: str, node: str) -> str:
        """For this full JID, and this command."""
        nonce = secrets.token_hex(8)
        return f"{nonce}{self._sign(nonce, jid, node)}"

    def fits(self, ident: str, jid: str, node: str) -> bool:
        """Whether it is one of ours, for them."""
        nonce, signed = ident[:16], ident[16:]
        return hmac.compare_digest(self._sign(nonce, jid, node).encode(), signed.encode("utf-8", "replace"))

    def _sign(self, *words: str) -> str:
        return hmac.new(self._key, "\0".join(words).encode("utf-8", "replace"), hashlib.sha256).hexdigest()[
            :32
        ]


def form(command: Command, ident: str) -> str:
    """The first answer: what is to be filled in."""
    fields = "".join(map(_field, command.fields))
    told = f"<instructions>{escape(command.instructions)}</instructions>" if command.instructions else ""
    return (
        f"<command xmlns='{COMMANDS}' node='{escape(command.node)}' sessionid='{escape(ident)}' status='executing'>"
        f"<actions execute='complete'><complete/></actions>"
        f"<x xmlns='{FORMS}' type='form'><title>{escape(command.name)}</title>{told}{fields}</x></command>"
    )


def result(command: Command, ident: str, answered: Answered) -> str:
    """The last answer: what came of it, as a note for clients that show no forms, and as a form."""
    lines = [printable(line)[:LONGEST_LINE] for line in answered.lines[:MOST_LINES]]
    if len(answered.lines) > MOST_LINES:
        lines.append(f"… and {len(answered.lines) - MOST_LINES} more")
    values = "".join(f"<value>{escape(line)}</value>" for line in lines)
    note = f"<note type='{'info' if answered.ok else 'error'}'>{escape(chr(10).join(lines))}</note>"
    return (
        f"<command xmlns='{COMMANDS}' node='{escape(command.node)}' sessionid='{escape(ident)}' status='completed'>{note}"
        f"<x xmlns='{FORMS}' type='result'><title>{escape(command.name)}</title>"
        f"<field var='said' type='text-multi' label='Answer'>{values}</field></x></command>"
    )


def cancelled(node: str, ident: str) -> str:
    """Somebody has thought better of it."""
    return (
        f"<command xmlns='{COMMANDS}' node='{escape(node)}' sessionid='{escape(ident)}' status='canceled'/>"
    )


def read(command: Command, payload: Xml | None) -> dict[str, tuple[str, ...]] | None:
    """What a form says for the fields of `command`, without blanks around it; None if it is no form that was filled in."""
    if payload is None or payload.tag != f"{{{FORMS}}}x" or payload.get("type") != "submit":
        return None
    known, said = {field.name: field for field in command.fields}, dict[str, tuple[str, ...]]()
    fields = payload.findall(f"{{{FORMS}}}field")
    if len(fields) > MOST_FIELDS:
        return None
    for one in fields:
        name = one.get("var", "")
        values = [value.text or "" for value in one.findall(f"{{{FORMS}}}value")]
        if len(values) > MOST_VALUES or any(len(value) > LONGEST for value in values) or name in said:
            return None
        if name in known:
            said[name] = tuple(value.strip() for value in values if value.strip())
    for field in command.fields:
        given = said.setdefault(field.name, ())
        if (field.required and not given) or (field.options and not set(given) <= set(field.options)):
            return None
    return said


def _field(field: Field) -> str:
    options = "".join(
        f"<option label='{escape(one)}'><value>{escape(one)}</value></option>" for one in field.options
    )
    first = f"<value>{escape(field.options[0])}</value>" if field.options else ""
    required = "<required/>" if field.required else ""
    return f"<field var='{escape(field.name)}' type='{field.kind}' label='{escape(field.label)}'>{required}{first}{options}</field>"
