"""What others may ask our session (XEP-0030, 0050, 0092, 0199), and the answers, as text of stanzas. No I/O.

Whatever a question is, it costs one answer of bounded size and nothing is remembered of it: the command `status` is over
with its first answer, and those of people (`adhoc.py`) with their second, so a flood of sessions leaves none. Who and what version we are everybody may know who has our full
JID; how we fare only those in `allow`, and others are not even told that there is a command.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from xml.etree.ElementTree import Element as Xml

from copilot.log import printable
from copilot.protocol.envelope import bare
from copilot.protocol.markup import escape
from copilot.protocol.people import Includes
from copilot.records import dataclass
from copilot.transport.adhoc import Answered, Command, Commands, Tickets, cancelled, form, read, result
from copilot.transport.stanza import NAMESPACE

INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
COMMANDS = "http://jabber.org/protocol/commands"
FORMS = "jabber:x:data"
VERSION = "jabber:iq:version"
PING = "urn:xmpp:ping"
STATUS = "status"  # the node of our command
FORM_TYPE = f"{NAMESPACE}:status"  # XEP-0068
MAX_ADDRESS = 3071 + 2  # bytes of a JID (RFC 7622, 3.1)
MAX_ID = 1024  # characters

_ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"
_ACTIONS = ("execute", "cancel", "prev", "next", "complete")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Who waits for our status, and the id under which: see `status`."""

    sender: str
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordered:
    """A command that somebody has given, ready to be carried out: see `ordered`."""

    asked: Asked
    command: Command
    said: Mapping[str, tuple[str, ...]]


class Questions:
    """The answers of one session. `new_id()` is for the ids of the sessions of commands."""

    def __init__(
        self,
        *,
        kind: str,
        name: str,
        version: str,
        features: Collection[str],
        allow: Includes,
        has_status: bool,
        new_id: Callable[[], str],
        commands: Commands | None = None,
    ) -> None:
        """`kind` is our type of the category `client`, `features` are words of ours, `commands` what people may want besides `status`."""
        self._commands = commands
        self._tickets = Tickets()
        self._identity = f"<identity category='client' type='{escape(kind)}' name='{escape(name)}'/>"
        self._name, self._version = name, version
        known = [INFO, ITEMS, VERSION, PING, NAMESPACE, *(f"{NAMESPACE}#{word}" for word in features)]
        self._features = sorted([*known, COMMANDS, FORMS] if has_status else known)
        self._allow = allow
        self._has_status = has_status
        self._new_id = new_id
        self._known: dict[tuple[str | None, str], Callable[[Asked, Xml, str], str | Asked | Ordered]] = {
            ("get", f"{{{PING}}}ping"): lambda asked, *_: _result(asked, ""),
            ("get", f"{{{VERSION}}}query"): self._software,
            ("get", f"{{{INFO}}}query"): self._info,
            ("get", f"{{{ITEMS}}}query"): self._items,
        }
        if has_status:
            self._known["set", f"{{{COMMANDS}}}command"] = self._command

    def answer(self, iq: Xml, own: str) -> str | Asked | Ordered | None:
        """The answer to an `<iq>` of type `get` or `set` that came to us, whose JID is `own`; `Asked` for what our status
        answers, `Ordered` for a command to be carried out, None for what cannot be answered. Never raises for what a peer can send."""
        sender, ident, kind = iq.get("from") or bare(own), iq.get("id", ""), iq.get("type")
        if not 0 < len(ident) <= MAX_ID or len(sender.encode()) > MAX_ADDRESS:
            return None
        asked = Asked(sender=sender, id=ident)
        question = iq[0] if len(iq) == 1 else None
        if question is None:
            return refusal(asked, "modify", "bad-request")
        known = self._known.get((kind, question.tag))
        if known is None:
            return refusal(asked, "cancel", "service-unavailable")
        return known(asked, question, own)

    def status(self, asked: Asked, fields: Mapping[str, str]) -> str:
        """The answer to a command that was carried out: a form of named fields."""
        shown = "".join(
            f"<field var='{escape(name)}' type='text-single' label='{escape(name.replace('-', ' '))}'>"
            f"<value>{escape(printable(value))}</value></field>"
            for name, value in fields.items()
        )
        form = (
            f"<x xmlns='{FORMS}' type='result'><title>{escape(self._name)}</title>"
            f"<field var='FORM_TYPE' type='hidden'><value>{FORM_TYPE}</value></field>{shown}</x>"
        )
        return _result(
            asked,
            f"<command xmlns='{COMMANDS}' node='{STATUS}' sessionid='{escape(self._new_id())}' "
            f"status='completed'>{form}</command>",
        )

    def _software(self, asked: Asked, *_: object) -> str:
        said = f"<name>{escape(self._name)}</name><version>{escape(self._version)}</version>"
        return _result(asked, f"<query xmlns='{VERSION}'>{said}</query>")

    def _info(self, asked: Asked, query: Xml, _: str) -> str:
        node, may = query.get("node"), self._may(asked)
        theirs = self._of(asked)
        if not node:
            return _result(asked, _described(self._identity, self._features, ""))
        if node == COMMANDS and (may or theirs):
            listed = "<identity category='automation' type='command-list' name='Commands'/>"
            return _result(asked, _described(listed, (), f" node='{COMMANDS}'"))
        if node == STATUS and may:
            command = "<identity category='automation' type='command-node' name='Status'/>"
            return _result(asked, _described(command, (COMMANDS, FORMS), f" node='{STATUS}'"))
        if node in theirs:
            name = escape(theirs[node].name)
            command = f"<identity category='automation' type='command-node' name='{name}'/>"
            return _result(asked, _described(command, (COMMANDS, FORMS), f" node='{escape(node)}'"))
        return refusal(asked, "cancel", "item-not-found")

    def _items(self, asked: Asked, query: Xml, own: str) -> str:
        node = query.get("node")
        if not node:
            return _result(asked, f"<query xmlns='{ITEMS}'/>")
        if node != COMMANDS or not self._has_status:
            return refusal(asked, "cancel", "item-not-found")
        item = f"<item jid='{escape(own)}' node='{STATUS}' name='Status'/>" if self._may(asked) else ""
        more = "".join(
            f"<item jid='{escape(own)}' node='{escape(node)}' name='{escape(one.name)}'/>"
            for node, one in self._of(asked).items()
        )
        return _result(asked, f"<query xmlns='{ITEMS}' node='{COMMANDS}'>{item}{more}</query>")

    def _command(self, asked: Asked, command: Xml, _: str) -> str | Asked | Ordered:
        """`status` is one step, and no session that one could go on with (XEP-0050, 3.4 and 4.4)."""
        theirs = self._of(asked)
        if (known := theirs.get(command.get("node", ""))) is not None:
            return self._order(asked, known, command)
        if not self._may(asked) and not theirs:
            return refusal(asked, "auth", "forbidden")
        if command.get("node") != STATUS:
            return refusal(asked, "cancel", "item-not-found")
        if not self._may(asked):
            return refusal(asked, "auth", "forbidden")
        action = command.get("action") or "execute"
        if action not in _ACTIONS:
            return refusal(asked, "modify", "bad-request", "malformed-action")
        if command.get("sessionid"):
            return refusal(asked, "modify", "bad-request", "bad-sessionid")
        if action != "execute":
            return refusal(asked, "modify", "bad-request", "bad-action")
        if len(command):
            return refusal(asked, "modify", "bad-request", "bad-payload")
        return asked

    def _order(self, asked: Asked, known: Command, command: Xml) -> str | Ordered:
        """The form first, and then what was filled in."""
        action, session = command.get("action") or "execute", command.get("sessionid")
        if action not in _ACTIONS:
            return refusal(asked, "modify", "bad-request", "malformed-action")
        if session and not self._tickets.fits(session, asked.sender, known.node):
            return refusal(asked, "modify", "bad-request", "bad-sessionid")
        if session and action == "cancel":
            return _result(asked, cancelled(known.node, session))
        if action == "prev" or (not session and action != "execute"):
            return refusal(asked, "modify", "bad-request", "bad-action")
        payload = command.find(f"{{{FORMS}}}x")
        if not session and known.fields:
            if len(command):
                return refusal(asked, "modify", "bad-request", "bad-payload")
            return _result(asked, form(known, self._tickets.new(asked.sender, known.node)))
        said = read(known, payload) if known.fields else {}
        if said is None:
            return refusal(asked, "modify", "bad-request", "bad-payload")
        return Ordered(asked=asked, command=known, said=said)

    def ordered(self, order: Ordered, answered: Answered) -> str:
        """The answer to a command that was carried out."""
        ident = self._tickets.new(order.asked.sender, order.command.node)
        return _result(order.asked, result(order.command, ident, answered))

    def _of(self, asked: Asked) -> Mapping[str, Command]:
        return {} if self._commands is None else self._commands.of(asked.sender)

    def _may(self, asked: Asked) -> bool:
        return self._has_status and self._allow.include(asked.sender)


def refusal(asked: Asked, kind: str, condition: str, detail: str = "") -> str:
    """An error (RFC 6120, 8.3); `detail` is a condition of XEP-0050."""
    more = f"<{detail} xmlns='{COMMANDS}'/>" if detail else ""
    return _iq(asked, "error", f"<error type='{kind}'><{condition} xmlns='{_ERRORS}'/>{more}</error>")


def _result(asked: Asked, content: str) -> str:
    return _iq(asked, "result", content)


def _iq(asked: Asked, kind: str, content: str) -> str:
    return f"<iq type='{kind}' to='{escape(asked.sender)}' id='{escape(asked.id)}'>{content}</iq>"


def _described(identity: str, features: Collection[str], node: str) -> str:
    shown = "".join(f"<feature var='{escape(feature)}'/>" for feature in features)
    return f"<query xmlns='{INFO}'{node}>{identity}{shown}</query>"
