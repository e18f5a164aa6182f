"""Who gets a ticket, and what those hear who get none."""

from __future__ import annotations

from collections.abc import Awaitable
from pathlib import Path

import pytest

from copilot.errors import ConfigError
from copilot.keymanager.counts import REFUSALS, KeyManagerCounts
from copilot.keymanager.credentials import Credentials
from copilot.keymanager.logic import REFUSED, KeyManager
from copilot.protocol.commands import GetTicket, SecurityError, StoreTicket, WantGetJob
from copilot.protocol.crypto.tickets import Ticket, issue, read
from copilot.protocol.events import Received
from copilot.protocol.rules import FEATURES
from copilot.runtime.component import Action, Ignore, Leave, Refuse, Send, Stopping
from tests.unit.protocol.crypto.vectors import key

NODE, OTHER = "node@example.org/7", "other@example.org/7"


def asked(
    sender: str = NODE, credential: str = "mine", *, sealed: bool = True, ours: bool = False
) -> Received:
    return Received(
        command=GetTicket(credential=credential),
        sender=sender,
        id="1",
        features=frozenset(FEATURES) if ours else None,
        element=ours,
        wants_ack=True,
        sealed=sealed,
    )


class World:
    def __init__(self, credentials: Credentials | None = None) -> None:
        self.counts = KeyManagerCounts()
        self.manager = KeyManager(
            sign=lambda ticket: issue(ticket, key("km")),
            registered=self.registered,
            credentials=credentials or Credentials({}),
            validity=3600.0,
            wall=lambda: 1_000.5,
            counts=self.counts,
        )

    async def registered(self, jid: str) -> bool:
        return jid == NODE

    async def handle(self, received: Received) -> list[Action]:
        result = self.manager.handle(received, 0.0)
        return list(await result if isinstance(result, Awaitable) else result)


async def test_who_belongs_gets_a_ticket_for_any_component_and_a_time() -> None:
    world = World()
    [action] = await world.handle(asked())
    assert isinstance(action, Send)
    assert action.to == NODE
    assert isinstance(action.command, StoreTicket)
    ticket = read(action.command.ticket, [key("km").public_key()])
    assert ticket == Ticket(component="*", valid_from=1_000, valid_to=4_600, requester=NODE)
    assert world.counts.events() == {"ticket.issued": 1, "ticket.refused": 0}


@pytest.mark.parametrize(
    ("received", "reason"),
    [
        (asked(OTHER), "not-registered"),
        (asked(sealed=False), "in-clear"),
        (asked(credential="guessed"), "wrong-credential"),
    ],
)
async def test_others_are_counted_and_hear_nothing_of_the_reason(received: Received, reason: str) -> None:
    world = World(Credentials({"example.org": "mine"}))
    ignored, told = await world.handle(received)
    assert isinstance(ignored, Ignore)
    assert ignored.reason == reason
    assert told == Send(to=received.sender, command=SecurityError(error_string=REFUSED))
    assert world.counts.refused == {reason: 1}
    assert reason in REFUSALS
    assert "guessed" not in str(ignored.text)


async def test_one_of_ours_gets_an_error() -> None:
    world = World()
    refused = asked(OTHER, ours=True)
    _, told = await world.handle(refused)
    assert told == Refuse(received=refused, code="no-ticket", text=REFUSED)
    assert world.counts.standing() == {"tickets": "0", "tickets-refused": "1"}


def test_it_takes_nothing_else_and_leaves_when_it_is_asked_to() -> None:
    manager = World().manager
    other = Received(
        command=WantGetJob(agent_host="", jdl=""),
        sender=NODE,
        id="1",
        features=None,
        element=False,
        wants_ack=True,
    )
    assert manager.handle(other, 0.0) == []
    assert manager.handle(Stopping(), 0.0) == [Leave()]
    assert manager.wakeup() is None


def test_the_line_of_an_account_goes_before_that_of_its_domain(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("# who  what\n\nexample.org all of us\nNode@example.org mine alone\n")
    file.chmod(0o600)
    credentials = Credentials.read(file)
    assert credentials.accepts(NODE, "mine alone")
    assert not credentials.accepts(NODE, "all of us")
    assert credentials.accepts(OTHER, "all of us")
    assert credentials.accepts("who@else.org", "No credential"), "who has no line has nothing to show"


def test_a_file_that_others_can_read_or_that_makes_no_sense_is_told(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text("example.org\n")
    file.chmod(0o640)
    with pytest.raises(ConfigError, match="chmod 600"):
        Credentials.read(file)
    file.chmod(0o600)
    with pytest.raises(ConfigError, match=r"credentials:1: expected a Jabber ID"):
        Credentials.read(file)
    file.write_text("two@ words s3cret\n")
    with pytest.raises(ConfigError) as caught:
        Credentials.read(file)
    assert "s3cret" not in str(caught.value)
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot be read"):
        Credentials.read(file)
