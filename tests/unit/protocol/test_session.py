"""Sealed sessions (suite v2): what is sealed is opened by who it is for, as it was, and by nobody else."""

from __future__ import annotations

import base64
import contextlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.errors import SealError
from copilot.protocol import codec, session
from copilot.protocol.commands import Ping
from copilot.protocol.crypto.keys import PrivateKeys, kid
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.session import ANY_KEY, LIFETIME, MOST_MESSAGES, V2, Opening
from tests.sealing import Ring, agent, agent_side, public, service, service_side

AGENT, MANAGER = "agent@x/a", "jm@x/one"
INFO = Element(
    "info",
    {"command": codec.encode_value("runJob"), "odd": codec.encode_value("_BASE64:aa é\n\0")},
    (Element("job", {"id": codec.encode_value("j1")}, (Element("input"),)),),
)


def said(message_id: str | None = "m1", **more: object) -> Envelope:
    return Envelope(**{"to": MANAGER, "id": message_id, "element": INFO, "acks": ("a", "b"), **more})  # type: ignore[arg-type]


def carried(envelope: Envelope | None, sender: str = AGENT) -> Envelope:
    assert envelope is not None
    return replace(envelope, sender=sender)


def asked(opener: V2, now: float = 0.0, **more: object) -> Envelope:
    return carried(opener.sealed(said(**more), now))


@pytest.fixture
def opener() -> V2:
    return agent_side()


@pytest.fixture
def answerer() -> V2:
    return service_side()


def test_a_message_arrives_as_it_was_and_so_does_the_answer(opener: V2, answerer: V2) -> None:
    opened = answerer.opened(asked(opener), 0.0)
    assert (opened.envelope.element, opened.envelope.acks, opened.envelope.id) == (INFO, ("a", "b"), "m1")
    assert (opened.sealed, opened.key, opened.only_enrols) == (True, public(agent()), False)
    answer = answerer.sealed(Envelope(to=AGENT, id="m2", element=INFO, noack=True), 0.0)
    assert answer is not None
    assert answer.sealed is not None
    assert set(answer.sealed) == {"suite", "session", "sealed"}
    back = opener.opened(carried(answer, MANAGER), 0.0).envelope
    assert (back.element, back.noack, back.acks) == (INFO, True, ())


def test_nothing_of_what_is_said_stands_outside(opener: V2) -> None:
    sealed = asked(opener)
    assert (sealed.element, sealed.body, sealed.acks, sealed.noack) == (None, None, (), False)
    assert set(sealed.sealed or ()) == {"suite", "kid", "session", "key", "sig", "time", "sealed"}


def test_a_time_that_no_number_can_be_is_refused(
    opener: V2, answerer: V2, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Found by `make fuzz`."""
    monkeypatch.setattr(session, "round", lambda *_: 10**400, raising=False)
    with pytest.raises(SealError, match="makes no message"):
        answerer.opened(asked(opener), 0.0)


def test_a_pure_acknowledgement_is_sealed_too(opener: V2, answerer: V2) -> None:
    opened = answerer.opened(carried(opener.sealed(Envelope(to="jm@x", acks=("m1",)), 0.0)), 0.0)
    assert (opened.envelope.acks, opened.envelope.element) == (("m1",), None)


@pytest.mark.parametrize("name", ["suite", "kid", "session", "key", "sig", "time", "sealed"])
@pytest.mark.parametrize("known", [False, True])
def test_no_attribute_can_be_changed_or_left_out(opener: V2, answerer: V2, name: str, known: bool) -> None:
    sealed = asked(opener)
    if known:
        answerer.opened(asked(opener, message_id="m0"), 0.0)
    values = dict(sealed.sealed or {})
    changed = dict(values)
    if name in ("suite", "kid", "session", "time"):
        changed[name] = values[name][:-1] + ("0" if values[name][-1] != "0" else "1")
    else:
        data = bytearray(base64.b64decode(values[name]))
        data[-1] ^= 1
        changed[name] = base64.b64encode(data).decode()
    missing = {key: value for key, value in values.items() if key != name}
    for one in (changed, missing):
        envelope = replace(sealed, sealed=one)
        if answerer.recognises(envelope):
            with pytest.raises(SealError):
                answerer.opened(envelope, 0.0)
    assert answerer.opened(sealed, 0.0).envelope.element == INFO


@pytest.mark.parametrize(
    "elsewhere", [{"id": "m2"}, {"id": None}, {"sender": "other@x/a"}, {"sender": "agent@y/a"}]
)
def test_what_is_bound_cannot_be_changed(opener: V2, elsewhere: dict[str, str | None]) -> None:
    own = (public(agent()),)
    answerer = service_side(agents={"agent@x": own, "other@x": own, "agent@y": own})
    sealed = asked(opener)
    answerer.opened(sealed, 0.0)
    with pytest.raises(SealError):
        answerer.opened(replace(sealed, **elsewhere), 0.0)  # type: ignore[arg-type]


def test_another_service_with_the_same_key_cannot_be_taken_in(opener: V2) -> None:
    with pytest.raises(SealError, match="not signed"):
        service_side("sm@x").opened(asked(opener), 0.0)


def test_what_an_opener_says_cannot_be_said_back_to_it(opener: V2, answerer: V2) -> None:
    sealed = asked(opener)
    answerer.opened(sealed, 0.0)
    values = sealed.sealed or {}
    answer = {name: values[name] for name in ("suite", "session", "sealed")}
    with pytest.raises(SealError):
        opener.opened(Envelope(to=AGENT, sender=MANAGER, id="m1", sealed=answer), 0.0)
    back = answerer.sealed(Envelope(to=AGENT, id="m3", element=INFO), 0.0)
    assert back is not None
    assert back.sealed is not None
    both = {**values, "sealed": back.sealed["sealed"]}
    with pytest.raises(SealError):
        answerer.opened(replace(sealed, id="m3", sealed=both), 0.0)


def test_sessions_are_not_mixed(opener: V2, answerer: V2) -> None:
    first, second = asked(opener), asked(agent_side())
    for one in (first, second):
        answerer.opened(one, 0.0)
    mixed = {**(first.sealed or {}), "sealed": (second.sealed or {})["sealed"]}
    with pytest.raises(SealError):
        answerer.opened(replace(first, sealed=mixed), 0.0)


def test_only_the_key_that_is_registered_opens_a_session(opener: V2) -> None:
    for signers in ((), (public(agent(1)),)):
        with pytest.raises(SealError):
            service_side(agents={"agent@x": signers}).opened(asked(opener), 0.0)


def test_a_key_that_is_no_longer_registered_ends_its_sessions(opener: V2) -> None:
    known = {"agent@x": (public(agent()),)}
    answerer = service_side(agents=known)
    answerer.opened(asked(opener), 0.0)
    known["agent@x"] = ()
    with pytest.raises(SealError, match="no key"):
        answerer.opened(asked(opener), 0.0)
    assert answerer.sealed(Envelope(to=AGENT, element=INFO), 0.0) is None


def test_a_key_of_ours_that_was_dropped_ends_the_sessions_that_were_opened_for_it(opener: V2) -> None:
    ring = Ring(service())
    answerer = V2("jm@x", ring, signers=lambda _: (public(agent()),), wall=lambda: 1e9)
    answerer.opened(asked(opener), 0.0)
    ring.keys = service(1)
    with pytest.raises(SealError, match="do not have any more"):
        answerer.opened(asked(opener), 0.0)
    assert answerer.sealed(Envelope(to=AGENT, element=INFO), 0.0) is None


def test_who_has_no_key_yet_shows_one_and_may_only_ask_to_be_let_in() -> None:
    ring = Ring(agent(3), {"jm@x": service().public})
    new = V2("bundle@x", ring, wall=lambda: 1e9, shows_key=True)
    answerer = service_side(agents={"bundle@x": ANY_KEY})
    opened = answerer.opened(carried(new.sealed(said(), 0.0), "bundle@x/1"), 0.0)
    assert (opened.key, opened.only_enrols) == (public(agent(3)), True)
    forged = carried(new.sealed(said(), 0.0), "bundle@x/1")
    changed = {**(forged.sealed or {}), "signer": public(agent(1)), "session": "A" * 22}
    with pytest.raises(SealError):
        answerer.opened(replace(forged, sealed=changed), 0.0)


def test_a_service_without_the_key_says_which_one_it_was() -> None:
    with pytest.raises(SealError, match=kid(service().public.opening[0])):
        service_side(keys=service(1)).opened(asked(agent_side()), 0.0)


def test_old_keys_go_on_opening() -> None:
    keys = service().with_new(service(1))
    assert service_side(keys=keys).opened(asked(agent_side()), 0.0).envelope.element == INFO


@pytest.mark.parametrize(("late", "taken"), [(-130.0, False), (-110.0, True), (700.0, True), (730.0, False)])
def test_what_was_kept_is_not_heard(late: float, taken: bool) -> None:
    answerer = service_side(wall=lambda: 1e9 + late)
    sealed = asked(agent_side())
    if taken:
        assert answerer.opened(sealed, 0.0).envelope.age == max(0.0, late - session.CLOCKS_APART)
    else:
        with pytest.raises(SealError, match="clock"):
            answerer.opened(sealed, 0.0)


def test_an_old_opening_is_not_heard_however_young_the_message() -> None:
    time = 1e9
    opener = agent_side(wall=lambda: time)
    first = asked(opener)
    time += LIFETIME + session.LIFETIME_LEFT + 200.0
    late = asked(opener)
    assert late.sealed is not None
    assert first.sealed is not None
    with pytest.raises(SealError, match="h ago"):
        service_side(wall=lambda: time).opened(late, 0.0)


def test_a_session_has_its_time_and_its_number_of_messages(opener: V2) -> None:
    def name(now: float) -> str:
        return (asked(opener, now).sealed or {})["session"]

    first = name(0.0)
    assert name(LIFETIME - 1) == first
    second = name(LIFETIME)
    assert second != first
    ours = opener._services["jm@x"].present
    assert ours is not None
    ours.sent = MOST_MESSAGES
    assert name(LIFETIME + 1) not in (first, second)


def test_answers_in_the_session_before_are_still_opened(opener: V2, answerer: V2) -> None:
    answerer.opened(asked(opener), 0.0)
    answer = answerer.sealed(Envelope(to=AGENT, id="x", element=INFO), 0.0)
    asked(opener, LIFETIME)
    assert opener.opened(carried(answer, MANAGER), LIFETIME).envelope.element == INFO


def test_another_instance_goes_on_where_the_first_has_heard(opener: V2, answerer: V2) -> None:
    text = answerer.opened(asked(opener), 0.0).session
    assert not set(text) & set(" \t\n,")
    assert len(text) < 1024
    other = service_side()
    assert other.adopt(AGENT, text, 0.0)
    pushed = other.sealed(Envelope(to=AGENT, id="p", element=INFO), 0.0)
    assert opener.opened(carried(pushed, "jm@x/two"), 0.0).envelope.element == INFO
    assert not other.adopt(AGENT, "v1:something", 0.0)
    with pytest.raises(SealError):
        other.adopt("other@x/a", text, 0.0)
    with pytest.raises(SealError):
        other.adopt(AGENT, "v2:a:b", 0.0)


def test_the_next_key_is_tried_when_nobody_answers() -> None:
    both = PrivateKeys(service().opening + service(1).opening).public
    opener = V2("agent@x", Ring(agent(), {"jm@x": both}), wall=lambda: 1e9)
    kids = [kid(key) for key in both.opening]

    def used(now: float) -> str:
        return (asked(opener, now).sealed or {})["kid"]

    assert [used(0.0), used(59.0), used(60.0), used(61.0)] == [kids[0], kids[0], kids[1], kids[1]]
    answerer = service_side(keys=service(1))
    answerer.opened(asked(opener, 62.0), 62.0)
    opener.opened(carried(answerer.sealed(Envelope(to=AGENT, id="x", element=INFO), 62.0), MANAGER), 62.0)
    assert used(1000.0) == kids[1]


def test_new_keys_are_used_at_once() -> None:
    ring = Ring(agent(), {"jm@x": service().public})
    opener = V2("agent@x", ring, wall=lambda: 1e9)
    asked(opener)
    ring.services = {"jm@x": service(1).public}
    assert (asked(opener).sealed or {})["kid"] == kid(service(1).public.opening[0])


def test_forged_openings_cost_no_decryption_and_are_counted(opener: V2, answerer: V2) -> None:
    forger = V2("agent@x", Ring(agent(9), {"jm@x": service().public}), wall=lambda: 1e9)
    for number in range(300):
        forged = asked(forger) if number < 3 else replace(asked(forger), id=str(number))
        with pytest.raises(SealError):
            answerer.opened(forged, 0.0)
    assert (answerer.openings.opened, answerer.openings.refused) == (0, 300)
    with pytest.raises(SealError, match="too fast"):
        answerer.opened(asked(opener), 0.0)
    assert answerer.opened(asked(opener), 1.0).envelope.element == INFO  # the honest one says it again


def test_a_flood_in_the_name_of_one_stops_nobody_else(answerer: V2) -> None:
    known = {"agent@x": (public(agent()),), "other@x": (public(agent(1)),)}
    answerer = service_side(agents=known)
    forger = V2("other@x", Ring(agent(9), {"jm@x": service().public}), wall=lambda: 1e9)
    for _ in range(201):
        with pytest.raises(SealError):
            answerer.opened(carried(forger.sealed(said(), 0.0), "other@x/a"), 0.0)
    assert answerer.opened(asked(agent_side()), 0.0).envelope.element == INFO


def test_what_nobody_can_open_is_not_sealed(opener: V2) -> None:
    assert opener.sealed(Envelope(to="stranger@x", element=INFO), 0.0) is None
    assert V2("agent@x", Ring(), wall=lambda: 1e9).sealed(said(), 0.0) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=5), lambda inner: st.lists(inner, max_size=4)
)


@settings(max_examples=60)
@given(json_values)
def test_whatever_is_sealed_makes_a_message_or_a_clear_error(inside: object) -> None:
    suite = agent_side()
    with contextlib.suppress(SealError):
        suite._plain(Envelope(to=AGENT), inside)


def test_what_is_nested_without_end_is_a_clear_error_too() -> None:
    nested: object = []
    for _ in range(5000):
        nested = [nested]
    with pytest.raises(SealError):
        agent_side()._plain(Envelope(to=AGENT), [1e9, [nested], 0, None])


attributes = st.dictionaries(
    st.sampled_from(["suite", "kid", "session", "key", "signer", "sig", "time", "sealed"]),
    st.text(max_size=30) | st.sampled_from(["v2", "0" * 16, "A" * 22, "AAAA", "1000000000"]),
)


@settings(max_examples=100)
@given(attributes)
def test_attributes_of_any_kind_are_refused_and_break_nothing(values: dict[str, str]) -> None:
    for suite in (agent_side(), service_side()):
        with pytest.raises(SealError):
            suite.opened(Envelope(to=MANAGER, sender=AGENT, id="m", sealed=values), 0.0)


def test_texts_of_sessions_are_read_back(opener: V2) -> None:
    opening = Opening.read(asked(opener).sealed or {})
    assert Opening.of_text(opening.text()) == opening
    assert session.kid_of(opening.text()) == opening.kid
    assert session.kid_of("v1:0123456789abcdef") == ""


def test_a_ping_fits(opener: V2, answerer: V2) -> None:
    info = codec.encode(Ping())
    sealed = carried(opener.sealed(said(element=info), 0.0))
    assert answerer.opened(sealed, 0.0).envelope.element == info
