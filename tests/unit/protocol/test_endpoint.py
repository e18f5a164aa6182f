"""The endpoint: carriages, acknowledgements, copies, void and malformed messages, and who may order an agent about."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from copilot.protocol import codec
from copilot.protocol.acks import RESENDS_TO_2011
from copilot.protocol.commands import (
    COMMANDS,
    Command,
    Error,
    GetJob,
    HaveGetJob,
    Job,
    JobDone,
    Ping,
    ReportEvent,
    RunJob,
    Sleep,
    WantGetJob,
)
from copilot.protocol.endpoint import MOST_ACKS, SECONDS_BETWEEN_ERRORS, Endpoint
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.events import Acked, Dropped, Expired, Received, Refused, Undeliverable
from copilot.protocol.rules import RULES, Role
from copilot.protocol.selftest import SELF_TEST_ID
from copilot.transport.stanza import encode
from tests.unit.protocol.wire import carry, endpoint, stamped

AGENT, MANAGER = "agent@x/a", "jm@x/one"
WANT = WantGetJob(agent_host="h", jdl="[]")
GET = GetJob(agent_host="h", jdl="[]")
RUN = RunJob(job=Job(id="j1", command="run.sh"), jm_job_data="claim")
DONE = JobDone(job_id="j1", exit_code=0, state="done")


@pytest.fixture
def agent() -> Endpoint:
    return endpoint(Role.AGENT, AGENT, trusts=lambda jid: jid == "jm@x")


@pytest.fixture
def manager() -> Endpoint:
    return endpoint(Role.JOB_MANAGER | Role.STORAGE_MANAGER, MANAGER)


def old(
    command: Command, *, sender: str = AGENT, message_id: str | None = "old-1", to: str = MANAGER
) -> Envelope:
    """As a peer of 2011 says it: in the body alone, without features."""
    return Envelope(to=to, sender=sender, id=message_id, body=codec.encode(command))


def said(source: Endpoint, now: float) -> list[Command]:
    """What goes out now, without the self-test."""
    due = [envelope for envelope in source.outgoing(now) if envelope.id != SELF_TEST_ID]
    return [codec.decode(info)[0] for one in due if (info := one.element or one.body) is not None]


def received(events: list[object]) -> list[Command]:
    return [event.command for event in events if isinstance(event, Received)]


def test_the_first_message_to_an_unknown_peer_rides_in_both_carriages(agent: Endpoint) -> None:
    agent.send("jm@x", WANT, 0.0)
    (envelope,) = agent.outgoing(0.0)
    assert envelope.body == envelope.element is not None


def test_a_peer_that_speaks_the_element_gets_only_that(agent: Endpoint, manager: Endpoint) -> None:
    agent.send(MANAGER, GET, 0.0)
    carry(agent, manager)
    manager.send(AGENT, RUN, 0.0)
    (envelope,) = manager.outgoing(0.0)
    assert envelope.body is None
    assert envelope.element is not None


def test_a_peer_of_2011_gets_the_body_alone_and_one_ack_a_message(manager: Endpoint) -> None:
    for number in (1, 2):
        (event,) = manager.receive(old(GET, message_id=f"old-{number}"), 0.0)
        assert isinstance(event, Received)
        assert event.features is None
        manager.done(event, 0.0)
    manager.send(AGENT, RUN, 0.0)
    run, first, second = manager.outgoing(0.0)
    assert run.element is None
    assert (first.acks, second.acks) == (("old-1",), ("old-2",))
    assert {first.ack_carriage, second.ack_carriage} == {"body"}


def test_carriages_that_differ_are_malformed(manager: Endpoint) -> None:
    envelope = replace(old(GET), element=codec.encode(WANT))
    (event,) = manager.receive(envelope, 0.0)
    assert isinstance(event, Dropped)
    assert event.reason == "malformed"


def test_both_carriages_count_once(manager: Endpoint) -> None:
    envelope = replace(old(GET), element=codec.encode(GET, ("storage",)))
    assert received(manager.receive(envelope, 0.0)) == [GET]


def test_an_ack_rides_on_the_answer(agent: Endpoint, manager: Endpoint) -> None:
    message_id = agent.send(MANAGER, GET, 0.0)
    (event,) = carry(agent, manager, done=False)
    assert isinstance(event, Received)
    manager.send(AGENT, RUN, 0.0)
    manager.done(event, 0.0)
    (envelope,) = manager.outgoing(0.0)
    assert envelope.acks == (message_id,)
    events = agent.receive(stamped(envelope, MANAGER), 0.0)
    assert received(events) == [RUN]
    assert [event.command for event in events if isinstance(event, Acked)] == [GET]


def test_acks_never_make_a_message_too_large(agent: Endpoint, manager: Endpoint) -> None:
    owed = [agent.send(MANAGER, GET, 0.0) for _ in range(3 * MOST_ACKS)]
    for event in carry(agent, manager, done=False):
        assert isinstance(event, Received)
        manager.done(event, 0.0)
    manager.send(AGENT, RUN, 0.0)
    envelopes = manager.outgoing(0.0)
    assert [len(envelope.acks) for envelope in envelopes] == [MOST_ACKS] * 3
    assert sorted(ident for envelope in envelopes for ident in envelope.acks) == sorted(owed)
    assert [envelope.element is not None for envelope in envelopes] == [True, False, False]
    assert manager.counts.sent["ack"] == 2


def test_nothing_is_acknowledged_before_the_work_is_done(agent: Endpoint, manager: Endpoint) -> None:
    agent.send(MANAGER, GET, 0.0)
    carry(agent, manager, done=False)
    assert manager.outgoing(0.0) == []


def test_an_unacknowledged_message_is_sent_again_and_its_copy_acknowledged_but_not_worked_on(
    agent: Endpoint, manager: Endpoint
) -> None:
    agent.send(MANAGER, GET, 0.0)
    assert received(carry(agent, manager)) == [GET]
    manager.outgoing(0.0)  # the acknowledgement is lost
    assert agent.next_wakeup() == 10.0
    assert agent.counts.unanswered() == 1
    assert carry(agent, manager, 10.0) == []
    assert [type(event) for event in carry(manager, agent, 10.0)] == [Acked]
    assert agent.next_wakeup() is None
    assert (agent.counts.resent, manager.counts.copies, agent.counts.unanswered()) == (1, 1, 0)


def test_a_copy_of_what_is_still_in_work_is_ignored(agent: Endpoint, manager: Endpoint) -> None:
    agent.send(MANAGER, GET, 0.0)
    carry(agent, manager, done=False)
    assert carry(agent, manager, 10.0, done=False) == []
    assert manager.outgoing(10.0) == []


def test_work_that_failed_is_done_when_the_copy_comes(agent: Endpoint, manager: Endpoint) -> None:
    agent.send(MANAGER, GET, 0.0)
    (event,) = carry(agent, manager, done=False)
    assert isinstance(event, Received)
    manager.failed(event)
    assert received(carry(agent, manager, 10.0)) == [GET]


def test_everything_unacknowledged_goes_out_again_after_a_reconnect(agent: Endpoint) -> None:
    agent.send(MANAGER, GET, 0.0)
    agent.send("jm@x", WANT, 0.0)
    assert len(agent.outgoing(0.0)) == 2
    agent.offline()
    agent.send("jm@x", WANT, 1.0)  # said to nobody: the next request replaces it
    agent.send(MANAGER, DONE, 1.0)
    assert agent.outgoing(1.0) == []
    assert agent.next_wakeup() is None
    agent.online(AGENT)
    assert said(agent, 2.0) == [GET, DONE]


def test_a_message_that_became_void_is_told(agent: Endpoint) -> None:
    agent.send(MANAGER, GET, 0.0, void_at=3.0)
    agent.outgoing(0.0)
    agent.outgoing(3.0)
    (event,) = agent.events()
    assert isinstance(event, Expired)
    assert event.command == GET


def test_what_made_the_server_end_the_stream_is_never_sent_again(agent: Endpoint) -> None:
    message_id = agent.send(MANAGER, GET, 0.0)
    agent.outgoing(0.0)
    agent.offline(set_aside=[message_id, "unknown"])
    assert [event.id for event in agent.events() if isinstance(event, Expired)] == [message_id]
    agent.online(AGENT)
    assert said(agent, 1.0) == []


def test_what_the_transport_did_not_take_is_due_soon(agent: Endpoint) -> None:
    agent.send(MANAGER, GET, 0.0)
    (envelope,) = agent.outgoing(0.0)
    agent.unsent(envelope, 0.05)
    assert agent.next_wakeup() == 0.05


def test_a_stanza_error_says_that_nobody_is_there(agent: Endpoint) -> None:
    message_id = agent.send(MANAGER, GET, 0.0)
    agent.outgoing(0.0)
    bounced = Envelope(to=AGENT, sender=MANAGER, id=message_id, kind="error", error="service-unavailable")
    (event,) = agent.receive(bounced, 1.0)
    assert isinstance(event, Undeliverable)
    assert agent.receive(replace(bounced, sender="thief@x"), 1.0) == []
    assert agent.next_wakeup() == 10.0


def test_an_ack_from_somebody_else_settles_nothing(agent: Endpoint) -> None:
    message_id = agent.send(MANAGER, GET, 0.0)
    agent.outgoing(0.0)
    assert agent.receive(Envelope(to=AGENT, sender="thief@x/r", acks=(message_id,)), 0.0) == []
    assert agent.next_wakeup() == 10.0


@pytest.mark.parametrize(
    "name", sorted(name for name, rule in RULES.items() if rule.orders and name != "error")
)
def test_an_agent_takes_orders_only_from_whom_it_trusts(agent: Endpoint, name: str) -> None:
    command = {
        "runJob": RUN,
        "have_getJob": HaveGetJob(),
        "sleep": Sleep(),
    }.get(name)
    if command is None:
        attributes = {
            "command": name,
            "jobID": "j",
            "referral": "a@b",
            "errorString": "e",
            "ticket": "t",
            "jid": "a@b",
            "attempt": "1",
            "stream": "stdout",
            "keys": "k",
            "signatures": "s",
        }
        element = Element("info", attributes, (Element("info", {"command": "pong"}),))
    else:
        element = codec.encode(command)
    envelope = Envelope(to=AGENT, sender="thief@x/r", id="t1", body=element)
    (event,) = agent.receive(envelope, 0.0)
    assert isinstance(event, Dropped)
    assert event.reason == "not-trusted"
    assert agent.outgoing(0.0) == []
    (event,) = agent.receive(replace(envelope, sender="JM@x/r"), 0.0)
    assert isinstance(event, Received)


def test_a_command_for_another_kind_of_component_is_dropped(agent: Endpoint, manager: Endpoint) -> None:
    for target, command in ((agent, GET), (manager, RUN)):
        (event,) = target.receive(Envelope(to="", sender=MANAGER, id="1", body=codec.encode(command)), 0.0)
        assert isinstance(event, Dropped)
        assert event.reason == "wrong-role"


def test_every_command_has_somebody_who_takes_it() -> None:
    for name in COMMANDS:
        assert RULES[name].receiver


def test_an_agent_drops_what_is_meant_for_another_resource(agent: Endpoint) -> None:
    envelope = Envelope(to="agent@x/clone", sender=MANAGER, id="1", body=codec.encode(RUN))
    (event,) = agent.receive(envelope, 0.0)
    assert isinstance(event, Dropped)
    assert event.reason == "not-for-us"


def test_a_message_that_the_server_kept_too_long_is_void(manager: Endpoint) -> None:
    (event,) = manager.receive(replace(old(WANT), age=61.0), 0.0)
    assert isinstance(event, Dropped)
    assert event.reason == "void"
    assert received(manager.receive(replace(old(WANT, message_id="2"), age=59.0), 0.0)) == [WANT]


def test_a_message_without_id_counts_only_with_noack(manager: Endpoint) -> None:
    (event,) = manager.receive(old(GET, message_id=None), 0.0)
    assert isinstance(event, Dropped)
    assert event.reason == "no-id"
    assert received(manager.receive(replace(old(GET, message_id=None), noack=True), 0.0)) == [GET]


def test_noack_is_kept(agent: Endpoint) -> None:
    monitor = endpoint(Role.MONITOR, "mon@x/m")
    agent.send("mon@x", ReportEvent(component="agent", event="job.start"), 0.0)
    (envelope,) = agent.outgoing(0.0)
    assert envelope.noack
    (event,) = monitor.receive(stamped(envelope, AGENT), 0.0)
    assert isinstance(event, Received)
    monitor.done(event, 0.0)
    assert monitor.outgoing(0.0) == []


def malformed(sender: str = AGENT, message_id: str = "bad-1") -> Envelope:
    return Envelope(
        to=MANAGER, sender=sender, id=message_id, element=Element("info", {"command": "makeCoffee"})
    )


def test_a_peer_with_features_is_told_of_a_malformed_message_and_that_settles_it(
    agent: Endpoint, manager: Endpoint
) -> None:
    agent.send(MANAGER, GET, 0.0)
    carry(agent, manager)
    manager.outgoing(0.0)
    (event,) = manager.receive(malformed(), 0.0)
    assert isinstance(event, Dropped)
    assert event.reason == "unknown-command"
    (envelope,) = manager.outgoing(0.0)
    assert envelope.acks == ()
    assert envelope.element is not None
    error, _ = codec.decode(envelope.element)
    assert isinstance(error, Error)
    assert (error.code, error.in_reply_to) == ("unknown-command", "bad-1")


def test_an_old_or_unknown_peer_is_never_sent_an_error(manager: Endpoint) -> None:
    manager.receive(malformed(), 0.0)
    (envelope,) = manager.outgoing(0.0)
    assert envelope.acks == ("bad-1",)
    assert envelope.element is envelope.body is None


@pytest.mark.parametrize("features", ["storage", "_BASE64:%"])
def test_a_malformed_message_of_an_unknown_peer_is_judged_by_its_own_features(
    manager: Endpoint, features: str
) -> None:
    element = Element("info", {"command": "makeCoffee", "features": features})
    manager.receive(replace(malformed(), element=element), 0.0)
    (envelope,) = manager.outgoing(0.0)
    assert (envelope.acks == ()) == (features == "storage")


def test_at_most_one_error_a_second_goes_to_a_peer(agent: Endpoint, manager: Endpoint) -> None:
    agent.send(MANAGER, GET, 0.0)
    carry(agent, manager)
    for number in range(10):
        manager.receive(malformed(message_id=f"bad-{number}"), 0.0)
    assert manager.counts.sent["error"] == 0
    manager.outgoing(0.0)
    assert manager.counts.sent["error"] == 1
    manager.receive(malformed(message_id="bad-later"), SECONDS_BETWEEN_ERRORS)
    manager.outgoing(SECONDS_BETWEEN_ERRORS)
    assert manager.counts.sent["error"] == 2


def test_a_refusal_settles_the_message_and_is_not_taken_for_an_ack(
    agent: Endpoint, manager: Endpoint
) -> None:
    agent.send(MANAGER, DONE, 0.0)
    (event,) = carry(agent, manager, done=False)
    assert isinstance(event, Received)
    assert not manager.refuse(event, 0.0, code="stale-attempt", text="too late", job="j1")
    manager.failed(event)
    events = carry(manager, agent)
    assert [type(item) for item in events] == [Refused]
    assert isinstance(events[0], Refused)
    assert (events[0].command, events[0].error.code) == (DONE, "stale-attempt")
    assert agent.next_wakeup() is None


def test_a_refusal_that_is_lost_is_made_again_when_the_copy_comes(agent: Endpoint, manager: Endpoint) -> None:
    agent.send(MANAGER, DONE, 0.0)
    (event,) = carry(agent, manager, done=False)
    assert isinstance(event, Received)
    manager.refuse(event, 0.0, code="output-mismatch", text="t")
    manager.failed(event)
    manager.outgoing(0.0)  # lost
    (event,) = carry(agent, manager, 10.0, done=False)
    assert isinstance(event, Received)
    manager.refuse(event, 10.0, code="output-mismatch", text="t")
    assert [type(item) for item in carry(manager, agent, 10.0)] == [Refused]


def test_a_peer_of_2011_is_acknowledged_instead_of_refused(manager: Endpoint) -> None:
    (event,) = manager.receive(old(DONE), 0.0)
    assert isinstance(event, Received)
    assert manager.refuse(event, 0.0, code="c", text="t")
    assert manager.outgoing(0.0) == []


def test_an_error_does_not_make_its_sender_a_peer_of_2011(agent: Endpoint, manager: Endpoint) -> None:
    agent.send(MANAGER, GET, 0.0)
    carry(agent, manager)
    agent.send(MANAGER, Error(error_string="e", code="c"), 0.0)
    carry(agent, manager)
    manager.send(AGENT, RUN, 0.0)
    for now in (0.0, 20.0, 100.0, 400.0, 1000.0, 2000.0):
        assert len(manager.outgoing(now)) == 1


def test_an_error_about_what_does_not_wait_for_an_answer_goes_to_the_component(agent: Endpoint) -> None:
    error = Error(error_string="e", code="c", in_reply_to="long-ago")
    (event,) = agent.receive(Envelope(to=AGENT, sender=MANAGER, id="1", body=codec.encode(error)), 0.0)
    assert isinstance(event, Received)
    assert event.command == error


def test_peers_are_forgotten_when_there_are_too_many(
    manager: Endpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("copilot.protocol.endpoint.PEERS_REMEMBERED", 2)
    for number in range(3):
        manager.receive(old(GET, sender=f"agent{number}@x/a"), 0.0)
    manager.send("agent0@x/a", Ping(), 0.0)
    manager.send("agent2@x/a", Ping(), 0.0)
    forgotten, known = manager.outgoing(0.0)
    assert forgotten.element is not None
    assert known.element is None


def test_giving_up_on_a_message_is_told(agent: Endpoint) -> None:
    message_id = agent.send(MANAGER, GET, 0.0)
    agent.give_up(message_id)
    agent.give_up(None)
    assert [type(event) for event in agent.events()] == [Expired]


# -- redirects, and peers of 2011 that acknowledge on receipt


def test_somebody_elses_words_go_out_as_they_are(agent: Endpoint) -> None:
    info = Element(
        "info", {"command": "getJob", "agentHost": "_BASE64:aA== ", "jdl": "[]", "unheard-of": "1"}
    )
    agent.send("sm@x", GET, 0.0, info=info)
    (envelope,) = agent.outgoing(0.0)
    assert envelope.body == envelope.element == info
    assert [event.command for event in acked(agent, envelope, "sm@x/one")] == [GET]


def test_what_was_redirected_is_sent_no_more_often_than_to_a_peer_of_2011(agent: Endpoint) -> None:
    agent.send("sm@x", DONE, 0.0, info=codec.encode(DONE))
    sent = [len(agent.outgoing(now)) for now in (0.0, 20.0, 100.0, 400.0, 1000.0, 2000.0)]
    assert sent == [1] * (1 + RESENDS_TO_2011) + [0, 0]
    assert [type(event) for event in agent.events()] == [Expired]


def test_what_is_withdrawn_is_not_sent_again_and_nothing_is_told_of_it(agent: Endpoint) -> None:
    agent.send(MANAGER, DONE, 0.0)
    agent.send(MANAGER, GET, 0.0)
    agent.outgoing(0.0)
    agent.withdraw("jm@x", DONE)
    agent.withdraw(MANAGER, GET)
    assert said(agent, 10.0) == [DONE]
    agent.withdraw(MANAGER, DONE)
    assert agent.next_wakeup() is None
    assert agent.events() == []


def acked(agent: Endpoint, envelope: Envelope, sender: str, carriage: str = "element") -> list[Acked]:
    """What comes of an acknowledgement of `envelope`."""
    ack = Envelope(to=AGENT, sender=sender, acks=(envelope.id or "",), ack_carriage=carriage)
    return [event for event in agent.receive(ack, 0.0) if isinstance(event, Acked)]


@pytest.mark.parametrize(("carriage", "on_receipt"), [("body", True), ("element", False)])
def test_an_acknowledgement_in_the_form_of_2011_is_one_of_receipt(
    agent: Endpoint, carriage: str, *, on_receipt: bool
) -> None:
    agent.send("sm@x", DONE, 0.0)
    (envelope,) = agent.outgoing(0.0)
    assert [event.on_receipt for event in acked(agent, envelope, "sm@x/one", carriage)] == [on_receipt]


def test_a_peer_with_features_that_speaks_the_body_promises_what_it_acknowledges(agent: Endpoint) -> None:
    offer = Envelope(to=AGENT, sender=MANAGER, id="o", body=codec.encode(HaveGetJob(), ("storage",)))
    agent.receive(offer, 0.0)
    agent.send(MANAGER, DONE, 0.0)
    (envelope,) = agent.outgoing(0.0)
    assert [event.on_receipt for event in acked(agent, envelope, MANAGER, "body")] == [False]


def test_an_order_of_2011_that_is_refused_is_not_acknowledged_for_it_would_count_on_us(
    agent: Endpoint,
) -> None:
    order = Envelope(to=AGENT, sender=MANAGER, id="run-1", body=codec.encode(RUN))
    for _ in range(2):
        (event,) = agent.receive(order, 0.0)
        assert isinstance(event, Received)
        assert not agent.refuse(event, 0.0, code="no-slot", text="full")
        agent.failed(event)
    assert agent.outgoing(0.0) == []


def test_what_the_component_makes_nothing_of_is_counted(agent: Endpoint) -> None:
    (event,) = agent.receive(Envelope(to=AGENT, sender=MANAGER, id="1", body=codec.encode(RUN)), 0.0)
    assert isinstance(event, Received)
    assert event.info == codec.encode(RUN)
    dropped = agent.ignore(event, reason="not-followed", text="why")
    assert dropped == Dropped(sender=MANAGER, id="1", reason="not-followed", text="why", command=RUN)
    assert agent.counts.dropped["not-followed"] == 1


# -- anything at all

JIDS = st.sampled_from([AGENT, MANAGER, "jm@x", "stranger@y/z", "stranger@y", "", "@", "a@b/c d"])
IDENTS = st.none() | st.sampled_from(["i1", "i2", "agent-1", "jm-1", SELF_TEST_ID])
INFOS = st.none() | st.one_of(
    st.sampled_from(
        [codec.encode(command, ("storage",)) for command in (WANT, GET, RUN, DONE, Sleep(), Ping())]
    ),
    st.sampled_from([codec.encode(command) for command in (WANT, GET, RUN, DONE)]),
    st.sampled_from(
        [
            codec.encode(Error(error_string="no", code="no-slot", in_reply_to=ident))
            for ident in ("agent-1", "jm-1")
        ]
    ),
    st.builds(
        Element,
        st.sampled_from(["info", "job", "x"]),
        st.dictionaries(st.sampled_from(["command", "features", "jobID", "id"]), st.text(max_size=8)),
    ),
)
MESSAGES = st.builds(
    Envelope,
    to=JIDS,
    sender=JIDS,
    id=IDENTS,
    kind=st.sampled_from(["normal", "error", "chat", "groupchat"]),
    body=INFOS,
    element=INFOS,
    acks=st.lists(st.sampled_from(["i1", "agent-1", "jm-1", "agent-2"]), max_size=3).map(tuple),
    noack=st.booleans(),
    age=st.sampled_from([0.0, 61.0, 1e9]),
)


@given(
    messages=st.lists(MESSAGES, max_size=12),
    is_agent=st.booleans(),
    works=st.lists(st.booleans(), min_size=12),
)
def test_whatever_comes_in_orders_are_those_of_the_trusted_answers_can_be_sent_and_good_messages_are_served(
    messages: list[Envelope], is_agent: bool, works: list[bool]
) -> None:
    own, manager = (AGENT, False) if is_agent else (MANAGER, True)
    role = Role.JOB_MANAGER | Role.STORAGE_MANAGER if manager else Role.AGENT
    made = endpoint(role, own, trusts=lambda jid: jid == "jm@x")
    made.send("jm@x" if is_agent else AGENT, GET if is_agent else RUN, 0.0)
    for now, (message, work) in enumerate(zip(messages, works, strict=False)):
        dropped = made.counts.dropped.total()
        events = made.receive(message, float(now))
        assert made.counts.dropped.total() - dropped == sum(isinstance(event, Dropped) for event in events)
        for event in events:
            if isinstance(event, Received):
                rule = RULES[event.command.NAME]
                assert rule.receiver & role
                assert not (is_agent and rule.orders) or event.sender.partition("/")[0] == "jm@x"
                (made.done if work else lambda received, _: made.failed(received))(event, float(now))
        for envelope in made.outgoing(float(now)):
            assert encode(envelope)
    good = old(RUN, sender="jm@x/two", to=AGENT) if is_agent else old(GET, sender="good@x/a")
    assert received(made.receive(replace(good, id="good"), 100.0)) == [RUN if is_agent else GET]


# -- chat rooms

LOUNGE = "lounge@conference.x"


@pytest.fixture
def seated(manager: Endpoint) -> Endpoint:
    """A manager that is in a chat room."""
    manager.entered(LOUNGE.upper())
    return manager


@pytest.mark.parametrize("command", [WANT, GET, DONE, Error(error_string="e")])
def test_through_a_room_nobody_gives_or_asks_for_work(seated: Endpoint, command: Command) -> None:
    (dropped,) = seated.receive(old(command, sender=f"{LOUNGE}/nick"), 0.0)
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "in-room"
    assert seated.outgoing(0.0)[1:] == []


def test_through_a_room_one_may_be_asked_how_one_fares(seated: Endpoint) -> None:
    (event,) = seated.receive(old(Ping(), sender=f"{LOUNGE}/nick"), 0.0)
    assert isinstance(event, Received)
    assert (event.sender, event.wants_ack) == (f"{LOUNGE}/nick", True)


def test_what_is_said_to_all_is_never_acknowledged(seated: Endpoint) -> None:
    to_all = replace(old(Ping(), sender=f"{LOUNGE}/nick"), kind="groupchat")
    (event,) = seated.receive(to_all, 0.0)
    assert isinstance(event, Received)
    assert not event.wants_ack


def test_the_kind_of_a_message_leads_nobody_past_the_table_of_standings() -> None:
    """An XMPP server carries `groupchat` from anybody to a full JID: only what a room says comes from a room."""
    manager = Endpoint(Role.JOB_MANAGER, new_id=lambda: "m", random=lambda: 0.5, permits=lambda *_: False)
    manager.online("jm@x/one")
    for kind in ("normal", "groupchat"):
        (dropped,) = manager.receive(replace(old(Ping()), kind=kind), 0.0)
        assert isinstance(dropped, Dropped)
        assert dropped.reason == "not-allowed"


def test_a_message_to_all_is_no_command_from_any_other_place(manager: Endpoint) -> None:
    (dropped,) = manager.receive(replace(old(WANT), kind="groupchat"), 0.0)
    assert isinstance(dropped, Dropped)
