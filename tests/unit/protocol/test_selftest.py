"""The self-test at log-in: what it decides, and that nobody but the session takes notice of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest

from copilot.protocol import codec
from copilot.protocol.commands import GetJob, Pong
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.events import Acked, BodyStripped, Dropped, ProtocolEvent
from copilot.protocol.rules import Role
from copilot.protocol.selftest import SELF_TEST_ID
from tests.unit.protocol.wire import carry, endpoint, stamped

JID, PEER = "agent@x/a", "jm@x/one"
GET = GetJob(agent_host="h", jdl="[]")


@pytest.fixture
def agent() -> Endpoint:
    """One whose session has just come up."""
    made = endpoint(Role.AGENT, JID)
    made.offline()
    made.online(JID)
    return made


def own_test(source: Endpoint) -> Envelope:
    """The self-test, which must be all that goes out."""
    (envelope,) = source.outgoing(0.0)
    return stamped(envelope, source.jid)


def stripped(envelope: Envelope) -> Envelope:
    """As ejabberd delivers it."""
    return replace(envelope, body=None, noack=False)


def carriages(source: Endpoint, to: str, now: float = 1.0) -> tuple[bool, bool]:
    """Does a command to `to` ride in the body, does it ride in the element?"""
    source.send(to, GET, now)
    (envelope,) = source.outgoing(now)
    return envelope.body is not None, envelope.element is not None


def test_it_is_one_message_to_ourselves_in_the_body_carriage_that_wants_no_ack(agent: Endpoint) -> None:
    sent = own_test(agent)
    assert (sent.to, sent.element, sent.noack) == (JID, None, True)
    assert sent.body is not None


def test_it_goes_out_once_a_session(agent: Endpoint) -> None:
    own_test(agent)
    assert agent.outgoing(1.0) == []
    agent.offline()
    assert agent.outgoing(2.0) == []
    agent.online("agent@x/b")
    assert own_test(agent).to == "agent@x/b"


@pytest.mark.parametrize("answer", [None, lambda sent: sent])
def test_while_bodies_pass_or_nothing_came_back_both_carriages_are_used(
    agent: Endpoint, answer: object
) -> None:
    sent = own_test(agent)
    if callable(answer):
        assert agent.receive(answer(sent), 0.0) == []
    assert carriages(agent, PEER) == (True, True)


@pytest.mark.parametrize(
    "change", [{"body": None, "noack": False}, {"body": None}, {"noack": False}, {"body": Element("x")}]
)
def test_when_something_is_missing_the_element_alone_is_used(
    agent: Endpoint, change: dict[str, object]
) -> None:
    answer = replace(own_test(agent), **change)  # type: ignore[arg-type]
    assert agent.receive(answer, 0.0) == [BodyStripped(jid=JID)]
    assert carriages(agent, PEER) == (False, True)


def test_what_was_sent_in_both_is_sent_again_in_the_element_alone(agent: Endpoint) -> None:
    agent.send(PEER, GET, 0.0)
    sent, first = agent.outgoing(0.0)
    agent.receive(stripped(stamped(sent, JID)), 0.0)
    (again,) = agent.outgoing(60.0)
    assert (again.id, again.body, again.element) == (first.id, None, first.element)


def test_a_peer_that_spoke_the_body_before_gets_the_element_too(agent: Endpoint) -> None:
    sent = own_test(agent)
    agent.receive(Envelope(to=JID, sender=PEER, id="old", noack=True, body=codec.encode(GET)), 0.0)
    assert carriages(agent, PEER) == (True, False)
    agent.receive(stripped(sent), 0.0)
    assert carriages(agent, PEER) == (False, True)


def test_it_is_told_once_however_often_it_is_found(agent: Endpoint) -> None:
    told: list[ProtocolEvent] = []
    for _ in range(3):
        answer = stripped(own_test(agent))
        told += agent.receive(answer, 0.0)
        told += agent.receive(answer, 0.0)  # the network doubles it
        agent.offline()
        agent.online(JID)
    assert told == [BodyStripped(jid=JID)]


def test_a_finding_outlives_the_session_until_the_next_one_says_otherwise(agent: Endpoint) -> None:
    agent.receive(stripped(own_test(agent)), 0.0)
    agent.offline()
    agent.online(JID)
    sent = own_test(agent)
    assert carriages(agent, PEER) == (False, True)
    assert agent.receive(sent, 1.0) == []  # another server answers now
    assert carriages(agent, PEER) == (True, True)
    assert agent.receive(stripped(sent), 2.0) == [BodyStripped(jid=JID)]


def test_it_is_nobodys_event_is_not_acknowledged_and_not_counted(agent: Endpoint) -> None:
    sent = own_test(agent)
    assert agent.receive(sent, 0.0) == []
    assert agent.outgoing(100.0) == []
    assert agent.next_wakeup() is None
    assert (agent.counts.sent, agent.counts.received, agent.counts.dropped) == (
        Counter(),
        Counter(),
        Counter(),
    )


def test_a_stanza_error_that_brings_it_back_decides_nothing(agent: Endpoint) -> None:
    own_test(agent)
    error = Envelope(to=JID, sender=JID, id=SELF_TEST_ID, kind="error", error="service-unavailable")
    assert agent.receive(error, 0.0) == []
    assert carriages(agent, PEER) == (True, True)


def test_nobody_else_can_answer_it(agent: Endpoint) -> None:
    answer = stripped(own_test(agent))
    (dropped,) = agent.receive(replace(answer, sender="evil@x/a"), 0.0)
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "no-command"
    assert carriages(agent, PEER) == (True, True)


def test_one_of_a_session_that_broke_counts_in_the_next_and_for_another_instance(agent: Endpoint) -> None:
    answer = stripped(own_test(agent))
    agent.offline()
    agent.online("agent@x/b")
    own_test(agent)
    assert agent.receive(answer, 0.0) == [BodyStripped(jid="agent@x/b")]


def test_a_peers_message_with_that_id_is_a_message_like_any_other(agent: Endpoint) -> None:
    own_test(agent)
    message = Envelope(to=JID, sender=PEER, id=SELF_TEST_ID, element=codec.encode(Pong()))
    (event,) = agent.receive(message, 0.0)
    assert not isinstance(event, Dropped | BodyStripped)


def test_two_ends_on_a_server_that_strips_still_understand_each_other(agent: Endpoint) -> None:
    manager = endpoint(Role.JOB_MANAGER, PEER)
    for end in (agent, manager):
        end.online(end.jid)
        end.receive(stripped(own_test(end)), 0.0)
    agent.send(PEER, GET, 0.0)
    carry(agent, manager)
    assert [type(event) for event in carry(manager, agent)] == [Acked]
