"""Messages to text and back, and what hostile ones become."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.errors import ProtocolError
from copilot.protocol import codec
from copilot.protocol.envelope import Element, Envelope
from copilot.transport.stanza import MAX_DEPTH, decode, encode, encode_bounded

CAPTURED = Path(__file__).parents[2] / "wire" / "2011"
OWN = "jm@site.org/one"
NOW = 1_300_000_000.0  # 2011-03-13T07:06:40Z
INFO = Element("info", {"command": "_BASE64:Z2V0Sm9i"})


def parse(text: str) -> ElementTree.Element:
    """As slixmpp hands it over: a child of the stream, whose name space is jabber:client."""
    return ElementTree.fromstring(f"<stream xmlns='jabber:client'>{text}</stream>")[0]


def read(text: str) -> Envelope:
    return decode(parse(text), own=OWN, now=NOW)


def delayed(stamp: str, sender: str = "") -> float:
    mark = f" from='{sender}'" if sender else ""
    return read(f"<message><delay xmlns='urn:xmpp:delay' stamp='{stamp}'{mark}/></message>").age


# What comes in


def test_the_report_s_carriage_is_read_with_its_marks() -> None:
    envelope = read(
        "<message from='a@x/1' to='jm@site.org/one' id='i' ack='j' noack='1'><body><info command='c'/></body></message>"
    )
    assert envelope == Envelope(
        to=OWN,
        sender="a@x/1",
        id="i",
        body=Element("info", {"command": "c"}),
        acks=("j",),
        ack_carriage="body",
        noack=True,
    )


def test_the_element_carriage_is_read_with_several_acks() -> None:
    envelope = read(
        "<message from='a@x/1' to='jm@site.org/one' id='i' type='normal'>"
        "<copilot xmlns='urn:copilot:1' ack='j k' noack='1'><info command='c'><job id='7'/></info></copilot></message>"
    )
    assert envelope.element == Element("info", {"command": "c"}, (Element("job", {"id": "7"}),))
    assert envelope.body is None
    assert (envelope.acks, envelope.noack, envelope.ack_carriage) == (("j", "k"), True, "element")


def test_acks_of_both_carriages_count_once() -> None:
    envelope = read("<message ack='j'><copilot xmlns='urn:copilot:1' ack='k j'/></message>")
    assert envelope.acks == ("j", "k")


@pytest.mark.parametrize("body", ["<body/>", "<body>hello</body>", "<body><other/></body>", "", "<info/>"])
def test_a_message_without_info_has_no_command(body: str) -> None:
    envelope = read(f"<message from='a@x/1' id='i'>{body}</message>")
    assert (envelope.body, envelope.element, envelope.id) == (None, None, "i")


@pytest.mark.parametrize("namespace", ["urn:copilot:2", "jabber:client", ""])
def test_copilot_of_another_name_space_is_not_ours(namespace: str) -> None:
    envelope = read(f"<message><copilot xmlns='{namespace}' ack='j'><info command='c'/></copilot></message>")
    assert (envelope.element, envelope.acks) == (None, ())


def test_values_stay_as_they_stand_on_the_wire() -> None:
    envelope = read("<message><body><info command='_BASE64:Z2V0 Sm9i&#10;'/></body></message>")
    assert envelope.body == Element("info", {"command": "_BASE64:Z2V0 Sm9i\n"})


def test_attributes_of_other_name_spaces_are_dropped() -> None:
    envelope = read("<message><body><info xml:lang='en' command='c'/></body></message>")
    assert envelope.body == Element("info", {"command": "c"})


def test_a_stanza_error_carries_its_condition_and_nothing_of_the_echo() -> None:
    envelope = read(
        "<message from='a@x/1' type='error' id='i' ack='j'><body><info command='c'/></body><error type='cancel'>"
        "<text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'>gone</text>"
        "<service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></message>"
    )
    assert envelope == Envelope(
        to="jm@site.org", sender="a@x/1", id="i", kind="error", error="service-unavailable"
    )


@pytest.mark.parametrize("error", ["", "<error/>", "<error><gone/></error>"])
def test_an_error_without_a_condition_is_undefined(error: str) -> None:
    assert read(f"<message type='error'>{error}</message>").error == "undefined-condition"


def test_a_type_that_nobody_knows_is_normal() -> None:
    assert read("<message type='strange'/>").kind == "normal"


def test_addresses_that_the_server_left_out_are_our_account() -> None:
    envelope = read("<message/>")
    assert (envelope.sender, envelope.to) == ("jm@site.org", "jm@site.org")


@pytest.mark.parametrize("ident", ["", "a b", "a&#10;b", " a", "x" * 257])
def test_an_id_that_no_list_of_acks_can_hold_is_none(ident: str) -> None:
    assert read(f"<message id='{ident}'/>").id is None


def test_an_info_nested_too_deep_is_cut_where_the_codec_still_sees_that_it_is_too_deep() -> None:
    def nested(depth: int) -> Element | None:
        return read(f"<message id='i'><body>{'<info>' * depth}{'</info>' * depth}</body></message>").body

    assert codec.MAX_DEPTH < MAX_DEPTH - 1
    assert nested(MAX_DEPTH - 1) != nested(MAX_DEPTH)
    assert nested(MAX_DEPTH + 1) == nested(MAX_DEPTH) == nested(50_000)


@pytest.mark.parametrize("sender", ["", "site.org", "jm@site.org"])
def test_a_delay_of_our_own_server_gives_the_age(sender: str) -> None:
    assert delayed("2011-03-13T07:05:40Z", sender) == 60.0
    assert delayed("2011-03-13T08:05:40.5+01:00", sender) == 59.5


@pytest.mark.parametrize("sender", ["evil.org", "a@site.org", "jm@site.org/one"])
def test_a_delay_of_anybody_else_counts_for_nothing(sender: str) -> None:
    assert delayed("2011-03-13T07:05:40Z", sender) == 0.0


@pytest.mark.parametrize(
    "stamp",
    [
        "",
        "yesterday",
        "2011-03-13",
        "2011-03-13T07:05:40",
        "2012-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
    ],
)
def test_a_bad_stamp_or_one_from_the_future_is_no_delay_or_an_old_one(stamp: str) -> None:
    assert delayed(stamp) == (0.0 if not stamp.startswith("0001") else pytest.approx(NOW + 62_135_683_140))


def test_the_oldest_of_several_delays_counts() -> None:
    marks = "".join(f"<delay xmlns='urn:xmpp:delay' stamp='2011-03-13T07:0{m}:40Z'/>" for m in (5, 4))
    assert read(f"<message>{marks}</message>").age == 120.0


RAW = st.recursive(
    st.just("<info/>"),
    lambda inner: st.lists(inner, max_size=3).map(lambda parts: f"<info a=' '>{''.join(parts)}</info>"),
)


@given(RAW, st.sampled_from(["body", "copilot xmlns='urn:copilot:1'", "error", "x"]))
def test_no_shape_of_message_raises(inner: str, carriage: str) -> None:
    read(f"<message><{carriage}>{inner}</{carriage.partition(' ')[0]}></message>")


# What goes out


def test_a_command_in_the_body_looks_as_in_the_report() -> None:
    text = encode(Envelope(to="jm@site.org", id="i", body=INFO, acks=("j",), noack=True))
    assert text == (
        "<message to='jm@site.org' id='i' ack='j' noack='1'><body><info command='_BASE64:Z2V0Sm9i'/></body></message>"
    )


def test_a_command_in_the_element_carries_acks_there() -> None:
    text = encode(Envelope(to="jm@site.org/one", id="i", element=INFO, acks=("j", "k"), noack=True))
    assert text == (
        "<message to='jm@site.org/one' id='i' type='normal'><copilot xmlns='urn:copilot:1' ack='j k' noack='1'>"
        "<info command='_BASE64:Z2V0Sm9i'/></copilot></message>"
    )


def test_with_both_carriages_one_ack_stands_in_both() -> None:
    text = encode(Envelope(to="x@y", body=INFO, element=INFO, acks=("j",)))
    assert text.count("ack='j'") == 2


def test_with_both_carriages_several_acks_stand_in_the_element_alone() -> None:
    text = encode(Envelope(to="x@y", body=INFO, element=INFO, acks=("j", "k")))
    assert text.count("ack=") == 1
    assert "<copilot xmlns='urn:copilot:1' ack='j k'>" in text


@pytest.mark.parametrize(
    ("carriage", "text"),
    [
        ("body", "<message to='x@y' ack='j'></message>"),
        (
            "element",
            "<message to='x@y' type='normal'><copilot xmlns='urn:copilot:1' ack='j'></copilot></message>",
        ),
    ],
)
def test_a_mere_ack_goes_where_it_is_told_to(carriage: str, text: str) -> None:
    assert encode(Envelope(to="x@y", acks=("j",), ack_carriage=carriage)) == text


@pytest.mark.parametrize("envelope", [{"body": INFO}, {"ack_carriage": "body"}])
def test_the_body_carriage_takes_one_ack_only(envelope: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="carries one ack, not 2"):
        encode(Envelope(to="x@y", acks=("j", "k"), **envelope))  # type: ignore[arg-type]


@pytest.mark.parametrize("ack", ["", "a b", "a\n"])
def test_an_ack_that_would_be_read_as_two_is_refused(ack: str) -> None:
    with pytest.raises(ValueError, match="list of acks"):
        encode(Envelope(to="x@y", element=INFO, acks=(ack,)))


def test_the_sender_is_left_to_the_server() -> None:
    assert "from" not in encode(Envelope(to="x@y", sender="me@y", body=INFO))


@pytest.mark.parametrize("bad", ["\0", "\x1b", "\x0b", "\ud800", "\ufffe", "\uffff"])
def test_characters_that_xml_does_not_allow_never_go_out(bad: str) -> None:
    for envelope in (
        Envelope(to="x@y", body=Element("info", {"a": f"good{bad}"})),
        Envelope(to=f"x@y/{bad}"),
        Envelope(to="x@y", id=bad),
        Envelope(to="x@y", acks=(f"i{bad}",), ack_carriage="body"),
    ):
        with pytest.raises(ValueError, match="allowed in XML"):
            encode(envelope)


@pytest.mark.parametrize("name", ["", "1a", "a b", "a='x'", "a>", "xmlns", "xmlns:a", "a\n"])
def test_names_that_are_none_are_refused(name: str) -> None:
    for element in (Element(name), Element("info", {name: ""}), Element("info", {}, (Element(name),))):
        with pytest.raises(ValueError, match="cannot be the name"):
            encode(Envelope(to="x@y", element=element))


@pytest.mark.parametrize("kind", ["error", "' evil='"])
def test_stanza_errors_and_unknown_types_are_not_ours_to_send(kind: str) -> None:
    with pytest.raises(ValueError, match="cannot be sent"):
        encode(Envelope(to="x@y", kind=kind))


def test_too_much_is_refused_before_the_server_ends_the_stream() -> None:
    envelope = Envelope(to="x@y", id="big", body=Element("info", {"a": "é" * 100}))
    size = len(encode(envelope).encode())
    assert len(encode_bounded(envelope, size)) == size
    with pytest.raises(
        ProtocolError, match=rf"big to x@y has {size} bytes .* {size - 1} are allowed"
    ) as refused:
        encode_bounded(envelope, size - 1)
    assert refused.value.code == "too-large"


NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.-]{0,8}", fullmatch=True).filter(lambda name: name != "xmlns")
VALUES = st.text(st.characters(exclude_categories=("Cs", "Cc"), exclude_characters="\ufffe\uffff")) | st.just(
    "\t\r\n'\"<&>"
)
IDS = st.text(st.characters(categories=("L", "N", "P")), min_size=1, max_size=40)
ELEMENTS = st.recursive(
    st.builds(Element, NAMES, st.dictionaries(NAMES, VALUES, max_size=3)),
    lambda inner: st.builds(
        Element, NAMES, st.dictionaries(NAMES, VALUES, max_size=2), st.lists(inner, max_size=2).map(tuple)
    ),
    max_leaves=5,
)
INFOS = st.builds(lambda element: Element("info", element.attributes, element.children), ELEMENTS)


@st.composite
def envelopes(draw: st.DrawFn) -> Envelope:
    body, element = draw(st.none() | INFOS), draw(st.none() | INFOS)
    bodily = element is None and (body is not None or draw(st.booleans()))
    acks = draw(st.lists(IDS, max_size=1 if bodily else 3, unique=True))
    return Envelope(
        to=draw(VALUES.filter(bool)),
        sender="a@x/1",
        id=draw(st.none() | IDS),
        kind=draw(st.sampled_from(["normal", "chat", "headline"])),
        body=body,
        element=element,
        acks=tuple(acks),
        ack_carriage="body" if bodily and acks else "element",
        noack=draw(st.booleans()) and (body is not None or element is not None),
    )


@given(envelopes())
def test_what_goes_out_comes_in_as_it_was(envelope: Envelope) -> None:
    message = parse(encode(envelope))
    message.set("from", "a@x/1")
    assert decode(message, own=OWN, now=NOW) == envelope


# What was on the wire in 2011


@pytest.mark.parametrize("path", sorted(CAPTURED.glob("*.xml")), ids=lambda path: path.stem)
def test_stanzas_of_2011_survive_a_round_trip(path: Path) -> None:
    envelope = read(path.read_bytes().decode())
    again = parse(encode(envelope))
    again.set("from", envelope.sender)
    assert decode(again, own=OWN, now=NOW) == envelope
    assert envelope.body is not None or envelope.acks
    if path.name.startswith("ack.of-"):
        assert (envelope.body, envelope.ack_carriage, len(envelope.acks)) == (None, "body", 1)
