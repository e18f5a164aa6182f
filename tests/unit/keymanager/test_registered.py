"""A record goes before the list: who was revoked gets no ticket, whoever else of his domain does."""

from __future__ import annotations

import pytest

from copilot.keymanager.registered import Registered
from copilot.protocol.people import People
from copilot.roles import Account, Standing
from copilot.store.memory import MemoryStore

NOW = 1_000.0


async def test_without_a_queue_the_list_decides() -> None:
    registered = Registered(People.of("example.org"), None, lambda: NOW)
    assert await registered("anybody@example.org/x")
    assert not await registered("anybody@elsewhere.org/x")


@pytest.mark.parametrize(
    ("account", "expected"),
    [
        (Account(jid="node@example.org", standing=Standing.AGENT), True),
        (Account(jid="node@example.org", standing=Standing.SERVICE), True),
        (Account(jid="node@example.org", standing=Standing.AGENT, expires=NOW - 1), False),
        (Account(jid="node@example.org", standing=Standing.AGENT, revoked=True), False),
        (Account(jid="node@example.org", standing=Standing.BUNDLE), False),
    ],
)
async def test_a_record_goes_first(account: Account, expected: bool) -> None:
    class Records(MemoryStore):
        async def account(self, jid: str) -> Account | None:
            return account if jid == account.jid else None

    registered = Registered(People.of("example.org"), Records(), lambda: NOW)
    assert await registered("Node@example.org/7") is expected
    assert await registered("other@example.org/7"), "who has no record is looked up on the list"
    alone = Registered(People.of(), Records(), lambda: NOW)
    assert await alone("node@example.org/7") is expected
    assert not await alone("other@example.org/7")
