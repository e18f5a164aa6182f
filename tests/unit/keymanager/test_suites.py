"""A ticket is asked for and given in either suite; what the one end gives the other takes."""

from __future__ import annotations

import itertools

import pytest

from copilot.keymanager.credentials import Credentials
from copilot.keymanager.logic import KeyManager
from copilot.protocol.commands import StoreTicket
from copilot.protocol.crypto.keys import PublicKeys
from copilot.protocol.crypto.tickets import issue
from copilot.protocol.crypto.v1_sessions import Answering, Opening
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.events import Received
from copilot.protocol.rules import FEATURES, Role
from copilot.protocol.security import Security, Suite
from copilot.protocol.suite_v1 import V1
from copilot.runtime.component import Online, Send
from copilot.runtime.ticket import TicketKeeper
from tests.sealing import agent_side, service_side
from tests.unit.protocol.crypto.vectors import key
from tests.unit.protocol.wire import carry

KM, AGENT = "km@x", "agent@x/1"
PUBLIC = PublicKeys((key("km").public_key(),))


def suites(name: str) -> tuple[Suite, Suite]:
    """The agent's and the key manager's."""
    if name == "v2":
        return agent_side("agent@x", KM), service_side(KM)
    ours = Opening(lambda jid: PUBLIC.opening[0] if jid.startswith(KM) else None, key_manager=KM)
    theirs = Answering(lambda: [key("km")], jid=KM, wall=lambda: 0.0, gives_tickets=True)
    return V1(ours), V1(theirs)


def endpoint(role: Role, jid: str, suite: Suite) -> Endpoint:
    numbers = itertools.count()
    security = Security([suite], strict=True)
    made = Endpoint(
        role,
        new_id=lambda: f"{jid}-{next(numbers)}",
        random=lambda: 0.0,
        features=FEATURES,
        security=security,
    )
    made.online(jid)
    made.outgoing(0.0)
    return made


@pytest.mark.parametrize("name", ["v1", "v2"])
async def test_a_ticket_is_asked_for_and_given(name: str) -> None:
    got: list[str] = []
    asks, gives = suites(name)
    ours, theirs = endpoint(Role.AGENT, AGENT, asks), endpoint(Role.KEY_MANAGER, f"{KM}/one", gives)
    keeper = TicketKeeper(
        KM, credential="mine", keys=PUBLIC, give=got.append, wall=lambda: 1_000.0, random=lambda: 0.0
    )

    async def registered(jid: str) -> bool:
        return jid == AGENT

    manager = KeyManager(
        sign=lambda ticket: issue(ticket, key("km")),
        registered=registered,
        credentials=Credentials({"x": "mine"}),
        validity=3600.0,
        wall=lambda: 1_000.0,
    )
    [question] = keeper.handle(Online(jid=AGENT), 0.0)
    assert isinstance(question, Send)
    ours.send(question.to, question.command, 0.0)
    [asked] = carry(ours, theirs)
    assert isinstance(asked, Received)
    answer = manager.handle(asked, 0.0)
    assert not isinstance(answer, list | tuple)
    for action in await answer:  # type: ignore[union-attr]  # a coroutine
        assert isinstance(action, Send)
        theirs.send(action.to, action.command, 0.0)
    [given] = [event for event in carry(theirs, ours) if isinstance(event, Received)]
    assert isinstance(given.command, StoreTicket)
    assert (given.sealed, given.in_v1) == (name == "v2", name == "v1")
    assert keeper.handle(given, 0.0) == []
    assert got == [given.command.ticket]
