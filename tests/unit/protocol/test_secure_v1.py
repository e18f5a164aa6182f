"""Endpoints in suite v1: a manager and an agent of 2011 in secure mode, what neither must hear, and what nobody turns down to it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace

import pytest

from copilot.protocol import codec
from copilot.protocol.commands import GetJob, HaveGetJob, Job, RunJob, SecurityError, WantGetJob
from copilot.protocol.crypto.v1_sessions import Answering, Opening
from copilot.protocol.endpoint import SECONDS_BETWEEN_SECURITY_ERRORS, Endpoint
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.events import Acked, Dropped, Received
from copilot.protocol.rules import FEATURES, MANAGER, Role
from copilot.protocol.security import UNREADABLE, Security
from copilot.protocol.suite_v1 import V1
from tests.sealing import agent as agent_key
from tests.sealing import agent_side, public, service_side, strict
from tests.unit.protocol.crypto.test_v1 import SPOILED
from tests.unit.protocol.crypto.vectors import key
from tests.unit.protocol.wire import carry

JM, ONE, AGENT = "jm@x", "jm@x/one", "agent@x/1"
WANT = WantGetJob(agent_host="host", jdl="[]")
JOB = RunJob(
    job=Job(
        id="sum-1",
        chirp_url="",
        input_dir="",
        input_files=(),
        command="run",
        arguments="",
        environment="",
        packages=(),
        output_dir="",
    )
)


def answering(belongs: Callable[[str], bool] = lambda _: True) -> V1:
    return V1(Answering(lambda: [key("jm")], jid=JM, wall=lambda: 0.0, belongs=belongs))


def opening() -> V1:
    return V1(Opening(lambda jid: key("jm").public_key() if jid.startswith(JM) else None))


def endpoint(role: Role, jid: str, security: Security | None, features: tuple[str, ...] = ()) -> Endpoint:
    numbers = itertools.count(1)
    made = Endpoint(
        role,
        new_id=lambda: f"{jid}-{next(numbers)}",
        random=lambda: 0.0,
        features=features,
        security=security,
    )
    made.online(jid)
    made.outgoing(0.0)
    return made


def manager(*suites: V1, strict: bool = True) -> Endpoint:
    return endpoint(MANAGER, ONE, Security(suites or (answering(),), strict=strict), FEATURES)


def agent(*, features: tuple[str, ...] = ()) -> Endpoint:
    return endpoint(Role.AGENT, AGENT, Security([opening()], strict=True), features)


def received(events: list[object]) -> list[object]:
    return [event.command for event in events if isinstance(event, Received)]


def test_a_job_is_given_to_an_agent_of_2011_and_no_acknowledgement_of_ours_goes_out() -> None:
    ours, theirs = manager(), agent()
    theirs.send(JM, WANT, 0.0)
    [asked] = carry(theirs, ours)
    assert isinstance(asked, Received)
    assert (asked.command, asked.in_v1, asked.features, asked.element) == (WANT, True, None, False)
    assert not asked.sealed, "v1 proves no sender: who must be proven, as for secrets of jobs, is not"
    ours.send(AGENT, HaveGetJob(), 0.0)
    assert received(carry(ours, theirs)) == [HaveGetJob()], "and nothing else"
    theirs.send(ONE, GetJob(agent_host="host", jdl="[]"), 0.0)
    carry(theirs, ours)
    ours.send(AGENT, JOB, 0.0)
    assert received(carry(ours, theirs, done=False)) == [JOB]
    assert ours.outgoing(0.0) == []
    assert ours.counts.dropped.total() == 0, "what it must not hear is no failure"


def test_what_an_agent_of_2011_acknowledges_in_clear_counts() -> None:
    ours, theirs = manager(), agent()
    theirs.send(JM, WANT, 0.0)
    carry(theirs, ours)
    said = ours.send(AGENT, JOB, 0.0)
    carry(ours, theirs, done=False)
    acknowledged = Envelope(to=ONE, sender=AGENT, acks=(said,), ack_carriage="body")
    stranger = replace(acknowledged, sender="other@x/1")
    assert not any(isinstance(event, Acked) for event in ours.receive(stranger, 1.0))
    [event] = ours.receive(acknowledged, 1.0)
    assert isinstance(event, Acked)
    assert event.on_receipt
    assert ours.outgoing(3600.0) == []


def test_two_of_ours_acknowledge_as_ever() -> None:
    ours, theirs = manager(), agent(features=FEATURES)
    theirs.send(JM, WANT, 0.0)
    carry(theirs, ours)
    assert [type(event) for event in carry(ours, theirs, now=1.0)] == [], "want_getJob is said once"
    said = ours.send(AGENT, JOB, 2.0)
    carry(ours, theirs, now=2.0)
    events = carry(theirs, ours, now=10.0)
    assert [event.id for event in events if isinstance(event, Acked)] == [said]


def sealed(info: Element) -> Envelope:
    """A good message of the agent's."""
    made = opening().sealed(Envelope(to=JM, id="1", body=info), 0.0)
    assert made is not None
    return replace(made, sender=AGENT)


def told(ours: Endpoint, now: float = 0.0) -> list[Envelope]:
    return [replace(envelope, id="") for envelope in ours.outgoing(now)]


REFUSAL = Envelope(to=AGENT, id="", body=codec.encode(SecurityError(error_string=UNREADABLE)), noack=True)


def broken() -> dict[str, Envelope]:
    good = sealed(codec.encode(WANT))
    assert good.sealed_body is not None
    wrapped = opening().sealed(Envelope(to=JM, id="1", body=codec.encode(WANT)), 0.0)
    assert wrapped is not None
    assert wrapped.sealed_body is not None
    other_key = {**good.sealed_body, "session_key": wrapped.sealed_body["session_key"]}
    cases = {name: {**good.sealed_body, "info": codec.encode_value(text)} for name, text in SPOILED.items()}
    return {
        name: replace(good, sealed_body=body)
        for name, body in {
            **cases,
            "another session's key": other_key,
            "no RSA": {**good.sealed_body, "session_key": codec.encode_value("AAAA")},
            "no session key": {"info": good.sealed_body["info"]},
            "no value encoding": {**good.sealed_body, "info": "_BASE64:%"},
        }.items()
    }


BROKEN = broken()


@pytest.mark.parametrize("name", BROKEN)
def test_all_failures_get_one_and_the_same_answer(name: str) -> None:
    ours = manager()
    [dropped] = ours.receive(BROKEN[name], 0.0)
    assert isinstance(dropped, Dropped)
    assert (dropped.reason, dropped.text) == ("not-opened", UNREADABLE)
    assert told(ours) == [REFUSAL]


def test_so_does_a_missing_ticket() -> None:
    ours = manager(
        V1(Answering(lambda: [key("jm")], jid=JM, wall=lambda: 0.0, ticket_keys=[key("km").public_key()]))
    )
    [dropped] = ours.receive(sealed(codec.encode(WANT)), 0.0)
    assert isinstance(dropped, Dropped)
    assert told(ours) == [REFUSAL]


def test_nobody_gets_more_than_one_answer_in_a_while() -> None:
    ours, answers = manager(), 0
    for step in range(100):
        ours.receive(replace(BROKEN["no RSA"], id=str(step)), step * SECONDS_BETWEEN_SECURITY_ERRORS / 50)
        answers += len(ours.outgoing(0.0))
    assert answers == 2


@pytest.mark.parametrize("features", [(), FEATURES])
def test_in_clear_nothing_is_heard_whatever_features_says(features: tuple[str, ...]) -> None:
    ours = manager()
    [dropped] = ours.receive(Envelope(to=JM, sender=AGENT, id="1", body=codec.encode(WANT, features)), 0.0)
    assert isinstance(dropped, Dropped)
    assert dropped.reason == "in-clear"
    theirs = agent()
    theirs.send(JM, WANT, 0.0)
    theirs.outgoing(0.0)
    [dropped] = theirs.receive(
        Envelope(to=AGENT, sender=ONE, id="1", element=codec.encode(HaveGetJob(), features)), 0.0
    )
    assert isinstance(dropped, Dropped)


def test_without_v1_in_the_settings_it_is_not_spoken() -> None:
    for security in (Security([], strict=True), Security([], strict=False), None):
        ours = endpoint(MANAGER, ONE, security, FEATURES)
        [dropped] = ours.receive(sealed(codec.encode(WANT)), 0.0)
        assert isinstance(dropped, Dropped)
        assert dropped.reason == "not-opened"


def test_while_a_fleet_moves_over_each_is_answered_as_it_speaks() -> None:
    ours, theirs = manager(strict=False), agent()
    theirs.send(JM, WANT, 0.0)
    carry(theirs, ours)
    ours.receive(Envelope(to=JM, sender="clear@x/1", id="1", body=codec.encode(WANT)), 0.0)
    ours.send(AGENT, HaveGetJob(), 0.0)
    ours.send("clear@x/1", HaveGetJob(), 0.0)
    said = {envelope.to: envelope.is_sealed for envelope in ours.outgoing(0.0)}
    assert said == {AGENT: True, "clear@x/1": False}


# -- nobody turns v2 down to v1

ENROLLED, OLD = "agent@x", "old@x"


def both() -> Endpoint:
    """A manager with both suites. One account is enrolled, so has a key; the other is of 2011."""
    suite = service_side(JM, {ENROLLED: (public(agent_key()),)})
    old = answering(belongs=lambda jid: jid != ENROLLED)
    return endpoint(MANAGER, ONE, Security([suite, old], strict=True), FEATURES)


def test_with_both_suites_an_enrolled_agent_is_heard_in_v2_alone() -> None:
    ours = both()
    theirs = endpoint(Role.AGENT, AGENT, strict(agent_side(ENROLLED, JM)), FEATURES)
    theirs.send(JM, WANT, 0.0)
    assert received(carry(theirs, ours)) == [WANT]
    [dropped] = ours.receive(sealed(codec.encode(WANT)), 0.0)
    assert isinstance(dropped, Dropped)
    assert "enrolled" in dropped.text
    ours.send(AGENT, HaveGetJob(), 0.0)
    [answer] = [one for one in ours.outgoing(0.0) if one.id != REFUSAL.id and one.is_sealed]
    assert answer.sealed is not None, "v2, whatever came in v1 under its name"
    assert answer.sealed["suite"] == "v2"
    [heard] = ours.receive(replace(sealed(codec.encode(WANT)), sender=f"{OLD}/1"), 0.0)
    assert isinstance(heard, Received)


def test_a_manager_of_v2_alone_hears_no_v1_and_nothing_in_clear() -> None:
    ours = endpoint(MANAGER, ONE, strict(service_side(JM)), FEATURES)
    for envelope in (
        sealed(codec.encode(WANT)),
        Envelope(to=JM, sender=AGENT, id="2", body=codec.encode(WANT)),
        Envelope(to=JM, sender=AGENT, id="3", element=codec.encode(WANT, FEATURES)),
    ):
        [dropped] = ours.receive(envelope, 0.0)
        assert isinstance(dropped, Dropped)


def test_an_agent_of_v2_ignores_answers_in_v1_and_in_clear() -> None:
    theirs = endpoint(Role.AGENT, AGENT, strict(agent_side(ENROLLED, JM)), FEATURES)
    theirs.send(JM, WANT, 0.0)
    theirs.outgoing(0.0)
    old = V1(Answering(lambda: [key("jm")], jid=JM, wall=lambda: 0.0))
    old.opened(sealed(codec.encode(WANT)), 0.0)
    answer = old.sealed(Envelope(to=AGENT, id="1", body=codec.encode(HaveGetJob())), 0.0)
    assert answer is not None
    for envelope in (
        replace(answer, sender=ONE),
        Envelope(to=AGENT, sender=ONE, id="2", element=codec.encode(HaveGetJob(), FEATURES)),
        Envelope(to=AGENT, sender=ONE, id="3", body=codec.encode(HaveGetJob())),
    ):
        [dropped] = theirs.receive(envelope, 0.0)
        assert isinstance(dropped, Dropped)
    assert all(one.sealed is not None and one.sealed["suite"] == "v2" for one in theirs.outgoing(100.0))
