"""The two ends of a session of 2011: who may open one, under which K it is answered, with which ticket."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from copilot.errors import SealError
from copilot.protocol import codec
from copilot.protocol.commands import Command, GetTicket, HaveGetJob, WantGetJob
from copilot.protocol.crypto import v1, v1_sessions
from copilot.protocol.crypto.tickets import NO_TICKET, Ticket, issue
from copilot.protocol.crypto.v1_sessions import INFO, SESSION_KEY, TICKET, Answering, Opening
from copilot.protocol.envelope import Element
from tests.unit.protocol.crypto.vectors import key

JM, ONE, KM = "jm@example.org", "jm@example.org/one", "km@example.org"
AGENT = "agent@example.org/node7"
PUBLIC = {JM: key("jm").public_key(), ONE: key("jm").public_key(), KM: key("km").public_key()}
WANT, ASK = WantGetJob(agent_host="host", jdl="[]"), GetTicket(credential="mine")


def manager(
    *, tickets: bool = False, belongs: Callable[[str], bool] = lambda _: True, now: float = 1_500
) -> Answering:
    ticket_keys = [PUBLIC[KM]] if tickets else []
    return Answering(lambda: [key("jm")], jid=JM, wall=lambda: now, belongs=belongs, ticket_keys=ticket_keys)


def agent(*, key_manager: str | None = None) -> Opening:
    return Opening(PUBLIC.get, key_manager=key_manager)


def ticket(requester: str = AGENT, component: str = "*", signer: str = "km") -> str:
    made = Ticket(component=component, valid_from=1_000, valid_to=2_000, requester=requester)
    return issue(made, key(signer))


def said(info: Element) -> Command:
    return codec.decode(info)[0]


def test_a_question_and_its_answer() -> None:
    ours, theirs = agent(), manager()
    assert said(theirs.opened(AGENT, ours.seal(JM, codec.encode(WANT)))) == WANT
    answer = theirs.seal(AGENT, codec.encode(HaveGetJob()))
    assert answer.keys() == {INFO}
    assert said(ours.opened(ONE, answer)) == HaveGetJob()


def test_every_message_brings_the_key_and_no_ticket_says_so() -> None:
    sealed = agent().seal(ONE, codec.encode(WANT))
    assert sealed.keys() == {SESSION_KEY, INFO}
    info = v1.opened(sealed[INFO], v1.unwrap(sealed[SESSION_KEY], [key("jm")]))
    assert codec.decode_value(info.attributes[TICKET]) == NO_TICKET


def test_the_question_for_a_ticket_has_none() -> None:
    ours = agent(key_manager=KM)
    sealed = ours.seal(KM, codec.encode(ASK))
    info = v1.opened(sealed[INFO], v1.unwrap(sealed[SESSION_KEY], [key("km")]))
    assert TICKET not in info.attributes
    with pytest.raises(SealError, match="not given us a ticket yet"):
        ours.seal(JM, codec.encode(WANT))


def test_each_service_gets_a_key_of_its_own() -> None:
    ours = agent()
    jm, km = ours.seal(JM, codec.encode(WANT)), ours.seal(KM, codec.encode(ASK))
    assert v1.unwrap(jm[SESSION_KEY], [key("jm")]) != v1.unwrap(km[SESSION_KEY], [key("km")])
    assert v1.unwrap(jm[SESSION_KEY], [key("jm")]) == v1.unwrap(
        ours.seal(ONE, codec.encode(WANT))[SESSION_KEY], [key("jm")]
    )


def test_without_a_key_of_theirs_nothing_is_said() -> None:
    with pytest.raises(SealError, match=r"none of sm@example\.org/x"):
        agent().seal("sm@example.org/x", codec.encode(WANT))


def test_who_has_opened_nothing_gets_and_understands_no_answer() -> None:
    theirs = manager()
    with pytest.raises(SealError, match="has not opened"):
        theirs.seal(AGENT, codec.encode(HaveGetJob()))
    theirs.opened(AGENT, agent().seal(JM, codec.encode(WANT)))
    with pytest.raises(SealError, match=v1.UNREADABLE):
        agent().opened(ONE, theirs.seal(AGENT, codec.encode(HaveGetJob())))
    assert theirs.knows(AGENT.upper())
    assert not theirs.knows("agent@example.org/other")


def test_an_answer_of_somebody_else_is_not_opened() -> None:
    ours, theirs = agent(), manager()
    theirs.opened(AGENT, ours.seal(JM, codec.encode(WANT)))
    with pytest.raises(SealError):
        ours.opened(KM, theirs.seal(AGENT, codec.encode(HaveGetJob())))


@pytest.mark.parametrize("missing", [SESSION_KEY, INFO])
def test_half_a_message_is_none(missing: str) -> None:
    sealed = {name: text for name, text in agent().seal(JM, codec.encode(WANT)).items() if name != missing}
    with pytest.raises(SealError, match=v1.UNREADABLE):
        manager().opened(AGENT, sealed)


def test_with_a_ticket_of_the_key_manager_one_is_let_in() -> None:
    ours, theirs = agent(key_manager=KM), manager(tickets=True)
    ours.ticket = ticket()
    info = theirs.opened(AGENT, ours.seal(JM, codec.encode(WANT)))
    assert said(info) == WANT
    assert TICKET not in info.attributes, "it goes no further"


@pytest.mark.parametrize(
    "shown",
    [
        " ",
        NO_TICKET,
        ticket(signer="jm"),
        ticket(requester="other@example.org"),
        ticket(component="sm@example.org"),
        ticket()[:-9],
    ],
)
def test_without_a_good_one_one_is_not(shown: str) -> None:
    ours, theirs = agent(key_manager=KM), manager(tickets=True)
    ours.ticket = shown
    with pytest.raises(SealError, match="ticket"):
        theirs.opened(AGENT, ours.seal(JM, codec.encode(WANT)))
    assert not theirs.knows(AGENT)


def test_nor_with_one_that_has_expired() -> None:
    ours = agent(key_manager=KM)
    ours.ticket = ticket()
    with pytest.raises(SealError, match="expired"):
        manager(tickets=True, now=2_001).opened(AGENT, ours.seal(JM, codec.encode(WANT)))


def test_the_key_manager_alone_hears_the_question_for_a_ticket_without_one() -> None:
    theirs = Answering(
        lambda: [key("km")], jid=KM, wall=lambda: 1_500, ticket_keys=[PUBLIC[KM]], gives_tickets=True
    )
    assert said(theirs.opened(AGENT, agent(key_manager=KM).seal(KM, codec.encode(ASK)))) == ASK
    with pytest.raises(SealError, match="no ticket"):
        manager(tickets=True).opened(AGENT, agent(key_manager=KM).seal(JM, codec.encode(ASK)))


def test_an_account_that_is_enrolled_for_v2_is_not_heard() -> None:
    theirs = manager(belongs=lambda jid: jid != "agent@example.org")
    with pytest.raises(SealError, match="v2"):
        theirs.opened(AGENT, agent().seal(JM, codec.encode(WANT)))
    with pytest.raises(SealError, match="v2"):
        theirs.adopt(AGENT, "anything")


def test_sessions_are_forgotten_when_there_are_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(v1_sessions, "SESSIONS_REMEMBERED", 2)
    theirs, ours = manager(), agent()
    for name in "abc":
        theirs.opened(f"{name}@example.org/x", ours.seal(JM, codec.encode(WANT)))
    assert [theirs.knows(f"{name}@example.org/x") for name in "abc"] == [False, True, True]
