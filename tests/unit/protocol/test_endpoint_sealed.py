"""Two endpoints in secure mode: all is said sealed, nothing else is heard, and nothing that the server does changes that."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.protocol import codec
from copilot.protocol.commands import (
    Command,
    GetJob,
    Job,
    JobDone,
    ReportEvent,
    RunJob,
    Secret,
    SecurityError,
    Sleep,
    WantGetJob,
)
from copilot.protocol.endpoint import SECONDS_BETWEEN_SECURITY_ERRORS, Endpoint
from copilot.protocol.envelope import Envelope
from copilot.protocol.events import Acked, Dropped, ProtocolEvent, Received
from copilot.protocol.rules import Role
from copilot.protocol.security import IN_CLEAR, NOT_OPENED, NOT_SEALED, UNREADABLE, Security
from copilot.transport.stanza import encode
from tests.sealing import agent_side, service, service_side, strict
from tests.unit.protocol.wire import carry, endpoint, stamped

AGENT, MANAGER, OTHER = "agent@x/a", "jm@x/one", "jm@x/two"
MANAGER_ROLE = Role.JOB_MANAGER | Role.STORAGE_MANAGER
GET = GetJob(agent_host="h", jdl="[]")
RUN = RunJob(job=Job(id="secret-job", command="secret.sh", arguments="--secret"), jm_job_data="secret-claim")
DONE = JobDone(job_id="secret-job", exit_code=0, state="done")


def sealed_endpoint(role: Role, jid: str, security: Security | None) -> Endpoint:
    return endpoint(role, jid, security=security)


@pytest.fixture
def agent() -> Endpoint:
    return sealed_endpoint(Role.AGENT, AGENT, strict(agent_side()))


@pytest.fixture
def manager() -> Endpoint:
    return sealed_endpoint(MANAGER_ROLE, MANAGER, strict(service_side()))


def heard(events: list[ProtocolEvent]) -> list[Command]:
    return [event.command for event in events if isinstance(event, Received)]


def reasons(events: list[ProtocolEvent]) -> list[str]:
    return [event.reason for event in events if isinstance(event, Dropped)]


def test_a_job_goes_sealed_with_as_many_messages_as_in_clear() -> None:
    counted = []
    for secure in (False, True):
        agent = sealed_endpoint(Role.AGENT, AGENT, strict(agent_side()) if secure else None)
        manager = sealed_endpoint(MANAGER_ROLE, MANAGER, strict(service_side()) if secure else None)
        stanzas: list[str] = []
        for source, target, to, command in (
            (agent, manager, "jm@x", GET),
            (manager, agent, AGENT, RUN),
            (agent, manager, MANAGER, DONE),
        ):
            source.send(to, command, 0.0)
            for envelope in source.outgoing(0.0):
                stanzas.append(encode(envelope))
                for event in target.receive(stamped(envelope, source.jid), 0.0):
                    if isinstance(event, Received):
                        assert (event.command, event.sealed) == (command, secure)
                        target.done(event, 0.0)
        for source, target in ((manager, agent), (agent, manager)):
            for envelope in source.outgoing(60.0):
                stanzas.append(encode(envelope))
                target.receive(stamped(envelope, source.jid), 60.0)
        counted.append(len(stanzas))
        assert ("runJob" in " ".join(stanzas)) is False  # base64, in both
        assert any("command=" in stanza for stanza in stanzas) is not secure
        assert any("ack=" in stanza for stanza in stanzas) is not secure
    assert counted[0] == counted[1]


def test_no_self_test_is_sent_in_clear() -> None:
    made = Endpoint(Role.AGENT, new_id=lambda: "x", random=lambda: 0.0, security=strict(agent_side()))
    made.online(AGENT)
    assert made.outgoing(0.0) == []


def test_nothing_in_clear_is_heard_but_security_error(agent: Endpoint, manager: Endpoint) -> None:
    clear = Envelope(to=MANAGER, sender=AGENT, id="x", element=codec.encode(GET, ("storage",)))
    assert reasons(manager.receive(clear, 0.0)) == [IN_CLEAR]
    assert reasons(manager.receive(Envelope(to=MANAGER, sender=AGENT, acks=("y",)), 0.0)) == [IN_CLEAR]
    (said,) = manager.outgoing(0.0)
    assert said.element is not None
    assert codec.decode(said.element)[0] == SecurityError(error_string=UNREADABLE)
    assert heard(agent.receive(stamped(said, MANAGER), 0.0)) == [SecurityError(error_string=UNREADABLE)]


def test_an_acknowledgement_beside_a_clear_security_error_counts_nothing(agent: Endpoint) -> None:
    job = agent.send(MANAGER, DONE, 0.0)
    agent.outgoing(0.0)
    forged = codec.encode(SecurityError(error_string="x"), ("storage",))
    events = agent.receive(Envelope(to=AGENT, sender=MANAGER, id="z", element=forged, acks=(job,)), 0.0)
    assert not [event for event in events if isinstance(event, Acked)]
    (again,) = agent.outgoing(1000.0)
    assert again.sealed is not None


def test_features_in_clear_do_not_change_how_an_agent_speaks(agent: Endpoint) -> None:
    """No downgrade: neither a manager that says nothing of features, nor one that says it is of 2011."""
    for features in ((), ("storage",)):
        clear = Envelope(to=AGENT, sender=MANAGER, id="x", body=codec.encode(Sleep(), features))
        assert reasons(agent.receive(clear, 0.0)) == [IN_CLEAR]
    agent.send(MANAGER, GET, 0.0)
    (said,) = agent.outgoing(0.0)
    assert said.sealed is not None
    assert (said.body, said.element) == (None, None)


def test_failures_get_the_same_answer_and_not_often(manager: Endpoint) -> None:
    good = agent_side().sealed(Envelope(to=MANAGER, id="m", element=codec.encode(GET)), 0.0)
    assert good is not None
    for number in range(50):
        values = {**(good.sealed or {}), "sealed": "AAAA" * (10 + number)}
        assert reasons(manager.receive(replace(good, sender=AGENT, sealed=values), 0.0)) == [NOT_OPENED]
    assert len(manager.outgoing(0.0)) == 1
    manager.receive(replace(good, sender=AGENT, sealed={"suite": "v9"}), SECONDS_BETWEEN_SECURITY_ERRORS)
    (again,) = manager.outgoing(SECONDS_BETWEEN_SECURITY_ERRORS)
    assert again.element == codec.encode(SecurityError(error_string=UNREADABLE))
    assert manager.counts.dropped[NOT_OPENED] == 51


def test_an_agent_says_nothing_about_what_it_cannot_open(agent: Endpoint) -> None:
    assert reasons(agent.receive(Envelope(to=AGENT, sender=MANAGER, id="x", sealed={}), 0.0)) == [NOT_OPENED]
    assert agent.outgoing(0.0) == []


def test_what_can_be_sealed_for_nobody_does_not_go_out(manager: Endpoint) -> None:
    manager.send(AGENT, RUN, 0.0)
    assert manager.outgoing(0.0) == []
    assert reasons(manager.events()) == [NOT_SEALED]


def test_a_job_is_pushed_from_another_instance(agent: Endpoint, manager: Endpoint) -> None:
    agent.send("jm@x", GET, 0.0)
    (asked,) = [event for event in carry(agent, manager) if isinstance(event, Received)]
    other = sealed_endpoint(MANAGER_ROLE, OTHER, strict(service_side()))
    job = other.send(AGENT, RUN, 0.0, session=asked.session)
    assert heard(carry(other, agent)) == [RUN]
    agent.hurry()
    carry(agent, other, 1.0)
    assert other.events() == []
    assert job not in [one.id for one in other.outgoing(1e4)]


def test_a_session_that_cannot_be_adopted_is_told(manager: Endpoint) -> None:
    manager.send(AGENT, RUN, 0.0, session="v2:rubbish")
    assert manager.outgoing(0.0) == []
    assert reasons(manager.events()) == [NOT_SEALED]


def test_what_has_a_session_never_goes_in_clear() -> None:
    """A job with secrets was handed out sealed; whatever the instance that sends it can do, it does not send it otherwise."""
    for security in (None, Security([], strict=False), Security([service_side()], strict=False)):
        manager = sealed_endpoint(MANAGER_ROLE, MANAGER, security)
        manager.send(AGENT, RUN, 0.0, session="v2:rubbish")
        assert manager.outgoing(0.0) == []
        assert reasons(manager.events()) == [NOT_SEALED]


def test_who_speaks_sealed_is_answered_sealed_by_a_service_that_hears_both(agent: Endpoint) -> None:
    both = sealed_endpoint(MANAGER_ROLE, MANAGER, Security([service_side()], strict=False))
    agent.send(MANAGER, GET, 0.0)
    assert heard(carry(agent, both)) == [GET]
    both.send(AGENT, RUN, 0.0)
    assert all(one.sealed is not None for one in both.outgoing(0.0))
    clear = endpoint(Role.AGENT, "old@x/a")
    clear.send(MANAGER, GET, 0.0)
    assert heard(carry(clear, both)) == [GET]
    both.send("old@x/a", RUN, 0.0)
    assert all(not one.is_sealed for one in both.outgoing(0.0))


def test_keys_that_come_later_are_found_when_somebody_speaks_sealed(agent: Endpoint) -> None:
    found: list[object] = []
    looked = []

    def later() -> list[object]:
        looked.append(1)
        return found

    both = sealed_endpoint(MANAGER_ROLE, MANAGER, Security([], strict=False, later=later))  # type: ignore[arg-type]
    agent.send("jm@x", GET, 0.0)
    assert reasons(carry(agent, both)) == [NOT_OPENED]
    found.append(service_side())
    agent.send("jm@x", GET, 10.0)
    assert GET in heard(carry(agent, both, 10.0))
    assert len(looked) == 2


def test_a_component_without_secure_mode_hears_nothing_sealed() -> None:
    plain = endpoint(Role.AGENT, AGENT)
    assert reasons(plain.receive(Envelope(to=AGENT, sender=MANAGER, sealed={}), 0.0)) == [NOT_OPENED]


def test_a_report_that_somebody_kept_counts_once() -> None:
    monitor = sealed_endpoint(Role.MONITOR, "mon@x/m", strict(service_side("mon@x")))
    report = ReportEvent(component="agent", event="x")
    source = sealed_endpoint(Role.AGENT, AGENT, strict(agent_side(manager="mon@x")))
    source.send("mon@x", report, 0.0)
    (envelope,) = source.outgoing(0.0)
    for expected in ([report], [], []):
        assert heard(monitor.receive(stamped(envelope, AGENT), 0.0)) == expected


def test_an_old_copy_of_a_request_is_void() -> None:
    wall = 1e9
    manager = sealed_endpoint(MANAGER_ROLE, MANAGER, strict(service_side(wall=lambda: wall)))
    agent = sealed_endpoint(Role.AGENT, AGENT, strict(agent_side()))
    agent.send("jm@x", WantGetJob(agent_host="h", jdl="[]"), 0.0)
    (envelope,) = agent.outgoing(0.0)
    wall += 181.0  # 60 s, and 120 s for the clocks
    assert reasons(manager.receive(stamped(envelope, AGENT), 0.0)) == ["void"]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.floats(0.0, 0.5), st.floats(0.0, 0.5))
def test_sealed_or_not_all_arrives_once_over_a_line_that_loses_and_mixes(
    seed: int, loss: float, double: float
) -> None:
    chance = random.Random(seed)
    agent = sealed_endpoint(Role.AGENT, AGENT, strict(agent_side()))
    manager = sealed_endpoint(MANAGER_ROLE, MANAGER, strict(service_side()))
    got: dict[str, list[Command]] = {"agent": [], "manager": []}
    for number in range(5):
        agent.send(MANAGER, replace(DONE, job_id=f"j{number}"), 0.0)
    line: list[tuple[Endpoint, Endpoint, Envelope]] = []
    for turn in range(300):
        now = turn * 10.0
        for source, target in ((agent, manager), (manager, agent)):
            for envelope in source.outgoing(now):
                copies = 0 if chance.random() < loss else 2 if chance.random() < double else 1
                line.extend([(source, target, stamped(envelope, source.jid))] * copies)
        chance.shuffle(line)
        for _ in range(len(line) if turn > 250 else chance.randint(0, len(line))):
            _, target, envelope = line.pop()
            for event in target.receive(envelope, now):
                assert not isinstance(event, Dropped), event
                if isinstance(event, Received):
                    target.done(event, now)
                    got["manager" if target is manager else "agent"].append(event.command)
                    if target is manager:
                        manager.send(AGENT, replace(RUN, jm_job_data=str(len(got["manager"]))), now)
        if turn > 250:
            loss = 0.0
    jobs = [one.job_id for one in got["manager"] if isinstance(one, JobDone)]
    assert sorted(jobs) == [f"j{number}" for number in range(5)]
    assert len(got["agent"]) == 5


def test_the_test_keys_are_as_long_as_real_ones() -> None:
    assert service().opening[0].key_size == 3072


@pytest.mark.parametrize("secure", [False, True])
def test_secrets_of_a_job_are_never_said_in_clear_whatever_the_settings(secure: bool) -> None:
    security = Security([service_side()], strict=False) if secure else None
    manager = sealed_endpoint(MANAGER_ROLE, MANAGER, security)
    secret = Secret(name="token", data="Y2FuYXJ5")
    manager.send(AGENT, RunJob(job=Job(id="j", command="run.sh", secrets=(secret,))), 0.0, void_at=60.0)
    assert manager.outgoing(0.0) == []
    assert reasons(manager.events()) == [NOT_SEALED]
