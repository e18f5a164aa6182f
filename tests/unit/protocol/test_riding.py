"""Acknowledgements that wait for a message on which they can ride."""

from __future__ import annotations

import pytest

from copilot.protocol import codec
from copilot.protocol.commands import Command, GetJob, Job, JobDone, RunJob, Sleep
from copilot.protocol.endpoint import MOST_ACKS, Endpoint
from copilot.protocol.envelope import Envelope
from copilot.protocol.events import Acked, Received
from copilot.protocol.rules import ACK_WAITS, ACK_WAITS_SHORTLY, Role
from tests.unit.protocol.wire import carry, endpoint, stamped

AGENT, MANAGER, OTHER = "agent@x/a", "jm@x/one", "jm@x/two"
DONE = JobDone(job_id="j1", exit_code=0, state="done")


def run(number: int = 1) -> RunJob:
    return RunJob(job=Job(id=f"j{number}", command="run.sh"), jm_job_data="claim")


@pytest.fixture
def agent() -> Endpoint:
    return endpoint(Role.AGENT, AGENT)


@pytest.fixture
def manager() -> Endpoint:
    return endpoint(Role.JOB_MANAGER | Role.STORAGE_MANAGER, MANAGER)


def given(agent: Endpoint, manager: Endpoint, count: int = 1) -> list[str]:
    """The agent has so many jobs, and has said nothing yet."""
    ids = [manager.send(AGENT, run(number), 0.0) for number in range(count)]
    carry(manager, agent)
    return ids


def acks(envelopes: list[Envelope]) -> list[tuple[str, ...]]:
    return [one.acks for one in envelopes]


def test_the_word_that_a_job_has_come_rides_on_its_report(agent: Endpoint, manager: Endpoint) -> None:
    (job,) = given(agent, manager)
    assert agent.outgoing(0.5) == []
    agent.send(MANAGER, DONE, 0.6)
    (envelope,) = agent.outgoing(0.6)
    assert envelope.acks == (job,)
    assert agent.outgoing(ACK_WAITS) == []
    acked, report = manager.receive(stamped(envelope, AGENT), 0.6)
    assert isinstance(report, Received)
    assert isinstance(acked, Acked)  # in this order: who hears of the report need not confirm the job


def test_it_goes_by_itself_when_it_has_waited_for_long_enough(agent: Endpoint, manager: Endpoint) -> None:
    (job,) = given(agent, manager)
    assert agent.next_wakeup() == ACK_WAITS
    assert acks(agent.outgoing(ACK_WAITS)) == [(job,)]
    assert agent.next_wakeup() is None


def test_an_agent_that_is_sent_to_sleep_says_nothing_until_it_asks_again(
    agent: Endpoint, manager: Endpoint
) -> None:
    manager.send(AGENT, Sleep(retry_after=480.0), 0.0)
    carry(manager, agent)
    assert agent.outgoing(700.0) == []
    agent.send(MANAGER, GetJob(agent_host="h", jdl="[]", slots=1), 700.0)
    (envelope,) = agent.outgoing(700.0)
    assert len(envelope.acks) == 1


def test_what_may_wait_for_long_holds_up_nothing_that_may_not(agent: Endpoint, manager: Endpoint) -> None:
    sleep = manager.send(AGENT, Sleep(retry_after=480.0), 0.0)
    carry(manager, agent)
    (job,) = given(agent, manager)
    assert agent.next_wakeup() == ACK_WAITS
    assert acks(agent.outgoing(ACK_WAITS)) == [(sleep, job)]


def test_the_first_one_says_how_long_all_wait(agent: Endpoint, manager: Endpoint) -> None:
    first = given(agent, manager)
    second = manager.send(AGENT, run(2), 0.5)
    carry(manager, agent, 0.5)
    assert acks(agent.outgoing(ACK_WAITS)) == [(*first, second)]


@pytest.mark.parametrize("rides", [False, True])
def test_each_peer_waits_no_longer_than_its_own_first_one(
    agent: Endpoint, manager: Endpoint, rides: bool
) -> None:
    (first,) = given(agent, manager)
    other = endpoint(Role.JOB_MANAGER | Role.STORAGE_MANAGER, "sm@x/one")
    second = other.send(AGENT, run(2), 0.5)
    carry(other, agent, 0.5)
    if rides:
        agent.send(MANAGER, DONE, 0.6)
        assert acks(agent.outgoing(0.6)) == [(first,)]
    assert agent.next_wakeup() == ACK_WAITS
    assert acks(agent.outgoing(ACK_WAITS)) == ([] if rides else [(first,)])
    assert agent.next_wakeup() == 0.5 + ACK_WAITS
    assert acks(agent.outgoing(0.5 + ACK_WAITS)) == [(second,)]


def test_the_acknowledgement_of_a_report_rides_on_the_next_job(agent: Endpoint, manager: Endpoint) -> None:
    given(agent, manager)
    report = agent.send(MANAGER, DONE, 0.0)
    carry(agent, manager)
    assert manager.next_wakeup() == ACK_WAITS_SHORTLY
    manager.send(AGENT, run(2), 0.05)
    (envelope,) = manager.outgoing(0.05)
    assert envelope.acks == (report,)


def test_a_message_to_somebody_else_takes_none(agent: Endpoint, manager: Endpoint) -> None:
    given(agent, manager)
    agent.send(OTHER, DONE, 0.1)
    assert acks(agent.outgoing(0.1)) == [()]


def test_more_than_one_message_takes_do_not_wait(agent: Endpoint, manager: Endpoint) -> None:
    ids = given(agent, manager, MOST_ACKS)
    (envelope,) = agent.outgoing(0.0)
    assert sorted(envelope.acks) == sorted(ids)


def test_a_copy_is_acknowledged_at_once(agent: Endpoint, manager: Endpoint) -> None:
    (job,) = given(agent, manager)
    (copy,) = manager.outgoing(10.0)
    assert agent.receive(stamped(copy, MANAGER), 0.5) == []
    assert (job,) in acks(agent.outgoing(0.5))


def test_nothing_waits_when_we_are_about_to_leave(agent: Endpoint, manager: Endpoint) -> None:
    (job,) = given(agent, manager)
    agent.hurry()
    assert acks(agent.outgoing(0.1)) == [(job,)]


def test_what_waits_is_forgotten_with_the_session(agent: Endpoint, manager: Endpoint) -> None:
    """Its sender says it again, and that copy is acknowledged."""
    given(agent, manager)
    agent.offline()
    assert agent.next_wakeup() is None
    agent.online(AGENT)
    assert [one for one in agent.outgoing(ACK_WAITS) if one.acks] == []


def of_2011(command: Command, to: str, sender: str) -> Envelope:
    return Envelope(to=to, sender=sender, id="old", body=codec.encode(command))


@pytest.mark.parametrize(("command", "hearer", "speaker"), [(run(), AGENT, MANAGER), (DONE, MANAGER, AGENT)])
def test_a_peer_of_2011_does_not_have_to_wait(command: Command, hearer: str, speaker: str) -> None:
    role = Role.AGENT if hearer == AGENT else Role.JOB_MANAGER | Role.STORAGE_MANAGER
    here = endpoint(role, hearer)
    (event,) = here.receive(of_2011(command, hearer, speaker), 0.0)
    assert isinstance(event, Received)
    here.done(event, 0.0)
    assert acks(here.outgoing(0.0)) == [("old",)]
