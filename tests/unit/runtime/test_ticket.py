"""A component asks for a ticket, takes the one that its key manager has signed, and asks for the next in time."""

from __future__ import annotations

from dataclasses import replace

import pytest

from copilot.protocol.commands import GetTicket, StoreTicket
from copilot.protocol.crypto.keys import PublicKeys
from copilot.protocol.crypto.tickets import Ticket, issue
from copilot.protocol.events import Received
from copilot.runtime.component import Ignore, Offline, Online, Send, Stopping, Tick
from copilot.runtime.ticket import ASK_AGAIN, TicketKeeper
from tests.unit.protocol.crypto.vectors import key

KM, JID = "km@example.org", "node@example.org/7"
WALL = 1_000_000
GOOD = Ticket(component="*", valid_from=WALL, valid_to=WALL + 1_000, requester=JID)


class World:
    def __init__(self) -> None:
        self.got: list[str] = []
        self.keeper = TicketKeeper(
            "KM@example.org",
            credential="mine",
            keys=PublicKeys((key("km").public_key(),)),
            give=self.got.append,
            wall=lambda: WALL,
            random=lambda: 1.0,
        )

    def brings(
        self, ticket: Ticket, *, sender: str = f"{KM}/one", signer: str = "km", sealed: bool = True
    ) -> list[object]:
        received = Received(
            command=StoreTicket(ticket=issue(ticket, key(signer))),
            sender=sender,
            id="1",
            features=None,
            element=False,
            wants_ack=True,
            sealed=sealed,
        )
        return list(self.keeper.handle(received, 10.0))


def test_it_asks_when_it_is_online_and_again_until_it_has_one() -> None:
    world = World()
    assert world.keeper.wakeup() is None
    question = Send(to=KM, command=GetTicket(credential="mine"), void_at=ASK_AGAIN)
    assert world.keeper.handle(Online(jid=JID), 0.0) == [question]
    assert world.keeper.wakeup() == ASK_AGAIN
    assert world.keeper.handle(Tick(), ASK_AGAIN - 1) == []
    assert world.keeper.handle(Tick(), ASK_AGAIN) == [replace(question, void_at=2 * ASK_AGAIN)]
    assert world.keeper.handle(Stopping(), ASK_AGAIN) == []


def test_a_good_one_is_taken_and_the_next_asked_for_in_time() -> None:
    world = World()
    world.keeper.handle(Online(jid=JID), 0.0)
    assert world.brings(GOOD) == []
    assert world.got == [issue(GOOD, key("km"))]
    assert world.keeper.wakeup() == 10.0 + 700.0
    assert world.keeper.handle(Tick(), 710.0) != []


def test_a_new_session_asks_only_if_it_has_to() -> None:
    world = World()
    world.keeper.handle(Online(jid=JID), 0.0)
    world.brings(GOOD)
    world.keeper.handle(Offline(reason="cut"), 20.0)
    assert world.keeper.wakeup() is None
    assert world.keeper.handle(Online(jid=JID), 30.0) == []
    assert world.keeper.wakeup() == 710.0
    world.keeper.handle(Offline(reason="cut"), 40.0)
    assert len(world.keeper.handle(Online(jid=JID), 800.0)) == 1


def test_one_that_ends_soon_does_not_make_it_ask_all_the_time() -> None:
    world = World()
    world.keeper.handle(Online(jid=JID), 0.0)
    world.brings(replace(GOOD, valid_to=WALL + 1))
    assert world.keeper.wakeup() == 10.0 + ASK_AGAIN


@pytest.mark.parametrize(
    ("ticket", "more"),
    [
        (GOOD, {"sender": "jm@example.org/one"}),
        (GOOD, {"signer": "jm"}),
        (GOOD, {"sealed": False}),
        (replace(GOOD, requester="other@example.org"), {}),
        (replace(GOOD, valid_to=WALL - 1), {}),
    ],
)
def test_any_other_is_ignored(ticket: Ticket, more: dict[str, object]) -> None:
    world = World()
    world.keeper.handle(Online(jid=JID), 0.0)
    [ignored] = world.brings(ticket, **more)  # type: ignore[arg-type]  # by its name
    assert isinstance(ignored, Ignore)
    assert ignored.reason == "not-trusted"
    assert world.got == []
