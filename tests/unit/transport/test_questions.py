"""Questions of others to a session: each gets one answer, whatever it is; the status only those who may know."""

from __future__ import annotations

import itertools
from xml.etree import ElementTree
from xml.etree.ElementTree import Element as Xml

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.protocol.people import People
from copilot.transport.questions import COMMANDS, FORMS, INFO, ITEMS, PING, VERSION, Asked, Questions
from tests.unit.transport.wire import iq

OWN = "agent@x/one"
OPERATOR = "op@x/phone"
STRANGER = "somebody@y/z"
ERRORS = "urn:ietf:params:xml:ns:xmpp-stanzas"


def questions(*, has_status: bool = True) -> Questions:
    numbers = itertools.count(1)
    return Questions(
        kind="bot",
        name="Co-Pilot <agent>",
        version="1&2",
        features=("lease", "slots"),
        allow=People.of("op@x"),
        has_status=has_status,
        new_id=lambda: f"s{next(numbers)}",
    )


def answered(question: Xml, desk: Questions | None = None) -> Xml:
    answer = (desk or questions()).answer(question, OWN)
    assert isinstance(answer, str)
    stanza = ElementTree.fromstring(answer)
    assert stanza.get("to") == question.get("from")
    assert stanza.get("id") == question.get("id")
    return stanza


def condition(stanza: Xml) -> tuple[str, ...]:
    """The conditions of an error, ours behind the general one."""
    assert stanza.get("type") == "error"
    return tuple(child.tag.rpartition("}")[2] for child in stanza[0])


def command(sender: str = OPERATOR, content: str = "", **attributes: str) -> Xml:
    written = "".join(f" {name}='{value}'" for name, value in attributes.items())
    return iq("set", sender, f"<command xmlns='{COMMANDS}'{written}>{content}</command>")


def test_everybody_is_told_what_we_are_and_can() -> None:
    told = answered(iq("get", STRANGER, f"<query xmlns='{INFO}'/>"))[0]
    assert [child.attrib for child in told if child.tag.endswith("identity")] == [
        {"category": "client", "type": "bot", "name": "Co-Pilot <agent>"}
    ]
    features = [child.attrib["var"] for child in told if child.tag.endswith("feature")]
    assert features == sorted(features)
    assert {INFO, ITEMS, COMMANDS, FORMS, VERSION, PING, "urn:copilot:1", "urn:copilot:1#lease"} < set(
        features
    )


def test_everybody_is_told_the_version_but_not_the_system() -> None:
    told = answered(iq("get", STRANGER, f"<query xmlns='{VERSION}'/>"))[0]
    assert [(child.tag.rpartition("}")[2], child.text) for child in told] == [
        ("name", "Co-Pilot <agent>"),
        ("version", "1&2"),
    ]


def test_a_ping_is_answered() -> None:
    assert answered(iq("get", STRANGER, f"<ping xmlns='{PING}'/>")).attrib["type"] == "result"


def test_the_server_asks_without_an_address() -> None:
    question = iq("get", "", f"<ping xmlns='{PING}'/>")
    del question.attrib["from"]
    answer = questions().answer(question, OWN)
    assert isinstance(answer, str)
    assert "to='agent@x'" in answer


def test_the_command_is_listed_for_those_who_may_use_it() -> None:
    listed = iq("get", OPERATOR, f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>")
    assert [child.attrib for child in answered(listed)[0]] == [
        {"jid": OWN, "node": "status", "name": "Status"}
    ]
    listed.set("from", STRANGER)
    assert list(answered(listed)[0]) == []


@pytest.mark.parametrize("node", [COMMANDS, "status"])
def test_what_is_told_of_a_node_of_commands(node: str) -> None:
    question = iq("get", OPERATOR, f"<query xmlns='{INFO}' node='{node}'/>")
    told = answered(question)[0]
    assert (told[0].get("category"), told.get("node")) == ("automation", node)
    question.set("from", STRANGER)
    assert condition(answered(question)) == ("item-not-found",)


@pytest.mark.parametrize("kind", [INFO, ITEMS])
def test_there_are_no_other_nodes(kind: str) -> None:
    assert condition(answered(iq("get", OPERATOR, f"<query xmlns='{kind}' node='x'/>"))) == (
        "item-not-found",
    )
    assert answered(iq("get", OPERATOR, f"<query xmlns='{kind}'/>")).get("type") == "result"


def test_who_may_gets_the_status_as_a_form() -> None:
    desk = questions()
    asked = desk.answer(command(node="status", action="execute"), OWN)
    assert asked == Asked(sender=OPERATOR, id="q1")
    told = ElementTree.fromstring(desk.status(asked, {"jobs-held": "1", "host": "<a\x00\n'"}))[0]
    assert told.attrib == {"node": "status", "sessionid": "s1", "status": "completed"}
    (form,) = told
    assert (form.tag, form.get("type")) == (f"{{{FORMS}}}x", "result")
    fields = {child.attrib["var"]: child[0].text for child in form if child.tag == f"{{{FORMS}}}field"}
    assert fields == {"FORM_TYPE": "urn:copilot:1:status", "jobs-held": "1", "host": "<a\\x00\\n'"}
    assert 'sessionid="s2"' in ElementTree.tostring(
        ElementTree.fromstring(desk.status(asked, {})), encoding="unicode"
    )


@pytest.mark.parametrize(
    "attributes", [{"node": "status"}, {"node": "x"}, {"node": "status", "action": "?"}, {}]
)
def test_others_are_not_even_told_whether_there_is_such_a_command(attributes: dict[str, str]) -> None:
    assert condition(answered(command(STRANGER, **attributes))) == ("forbidden",)


@pytest.mark.parametrize(
    ("question", "conditions"),
    [
        (command(), ("item-not-found",)),
        (command(node="reboot"), ("item-not-found",)),
        (command(node="status", action="destroy"), ("bad-request", "malformed-action")),
        (command(node="status", action="next"), ("bad-request", "bad-action")),
        (command(node="status", action="cancel"), ("bad-request", "bad-action")),
        (command(node="status", sessionid="s1"), ("bad-request", "bad-sessionid")),
        (
            command(node="status", content=f"<x xmlns='{FORMS}' type='submit'/>"),
            ("bad-request", "bad-payload"),
        ),
        (iq("get", OPERATOR, f"<command xmlns='{COMMANDS}' node='status'/>"), ("service-unavailable",)),
        (iq("set", OPERATOR, f"<query xmlns='{VERSION}'/>"), ("service-unavailable",)),
        (iq("get", OPERATOR, "<query xmlns='jabber:iq:roster'/>"), ("service-unavailable",)),
        (iq("get", OPERATOR, ""), ("bad-request",)),
        (iq("get", OPERATOR, f"<ping xmlns='{PING}'/><ping xmlns='{PING}'/>"), ("bad-request",)),
    ],
)
def test_what_makes_no_sense_is_refused(question: Xml, conditions: tuple[str, ...]) -> None:
    assert condition(answered(question)) == conditions


def test_a_session_without_a_status_has_no_commands() -> None:
    desk = questions(has_status=False)
    assert condition(answered(command(node="status"), desk)) == ("service-unavailable",)
    listed = iq("get", OPERATOR, f"<query xmlns='{ITEMS}' node='{COMMANDS}'/>")
    assert condition(answered(listed, desk)) == ("item-not-found",)
    features = [one.get("var") for one in answered(iq("get", OPERATOR, f"<query xmlns='{INFO}'/>"), desk)[0]]
    assert COMMANDS not in features


@pytest.mark.parametrize("ident", ["", "x" * 1025])
def test_what_cannot_be_answered_is_not(ident: str) -> None:
    question = iq("get", STRANGER, f"<ping xmlns='{PING}'/>")
    question.set("id", ident)
    assert questions().answer(question, OWN) is None


NAMES = st.sampled_from([INFO, ITEMS, COMMANDS, FORMS, VERSION, PING, "", "urn:x"])
# What a parser lets through of texts; it never gives us characters that XML does not know.
TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
)


@given(
    kind=st.sampled_from(["get", "set"]),
    sender=st.sampled_from([OPERATOR, STRANGER, "", "@", "a@b/<&'\">"]) | TEXTS,
    ident=TEXTS,
    children=st.lists(
        st.builds(
            lambda space, name, attributes: Xml(f"{{{space}}}{name}", attributes),
            NAMES,
            st.sampled_from(["query", "command", "ping", "x"]),
            st.dictionaries(st.sampled_from(["node", "action", "sessionid"]), TEXTS | st.just("status")),
        ),
        max_size=2,
    ),
)
def test_nothing_that_can_be_parsed_makes_trouble(
    kind: str, sender: str, ident: str, children: list[Xml]
) -> None:
    question = Xml("{jabber:client}iq", {"type": kind, "from": sender, "id": ident})
    question.extend(children)
    desk = questions()
    answer = desk.answer(question, OWN)
    if isinstance(answer, Asked):
        answer = desk.status(answer, {"a": ident})
    if answer is not None:
        stanza = ElementTree.fromstring(answer)
        assert stanza.get("id") == ident
        assert stanza.get("type") in ("result", "error")
        assert len(answer) < 10 * len(ident) + 10 * len(sender) + 4000
