"""Accounts made and removed from afar: the same on the pretend server, on Prosody and on ejabberd, as the samples have them."""

from __future__ import annotations

import uuid

import pytest

from copilot.errors import AccountRefused, LoginRefused
from copilot.transport.base import Connected, Disconnected, Transport
from tests.contract.transport_fixtures import (  # noqa: F401 - pytest finds the fixtures here
    Hub,
    connected,
    ejabberd_hub_fixture,
    event,
    hub_fixture,
    memory_hub_fixture,
    prosody_hub_fixture,
)


@pytest.fixture
async def boss(hub: Hub) -> Transport:
    transport = await hub.transport(await hub.admin(), uuid.uuid4().hex)
    await connected(transport)
    return transport


async def new_name(hub: Hub) -> str:
    domain = (await hub.account()).partition("@")[2]
    return f"agent-{uuid.uuid4().hex[:20]}@{domain}"


async def test_an_account_is_made_and_can_log_in(hub: Hub, boss: Transport) -> None:
    jid = await new_name(hub)
    for _ in range(2):  # the same once more changes nothing
        await boss.accounts.put(jid, "p4ss & <word>")
    assert (await connected(await hub.login(jid, "p4ss & <word>"))).startswith(jid)


async def test_an_account_that_is_there_gets_the_new_password(hub: Hub, boss: Transport) -> None:
    jid = await new_name(hub)
    await boss.accounts.put(jid, "first")
    await boss.accounts.put(jid, "second")
    await connected(await hub.login(jid, "second"))
    with pytest.raises(LoginRefused):
        await event(await hub.login(jid, "first"), Connected)


async def test_a_removed_account_is_thrown_out_at_once_and_not_let_in_again(
    hub: Hub, boss: Transport
) -> None:
    jid = await new_name(hub)
    await boss.accounts.put(jid, "secret")
    transport = await hub.login(jid, "secret")
    await connected(transport)
    await boss.accounts.remove(jid)
    await event(transport, Disconnected)
    with pytest.raises(LoginRefused):
        await event(transport, Connected)
    await boss.accounts.remove(jid)
    await boss.accounts.put(jid, "again")
    await connected(await hub.login(jid, "again"))


async def test_who_is_no_admin_changes_nothing_and_is_told_so(hub: Hub, boss: Transport) -> None:
    somebody = await hub.transport(await hub.account(), "one")
    await connected(somebody)
    jid = await new_name(hub)
    await boss.accounts.put(jid, "secret")
    for attempt in (somebody.accounts.put(jid, "mine"), somebody.accounts.remove(jid)):
        with pytest.raises(AccountRefused) as refused:
            await attempt
        assert refused.value.no_admin
        assert "mine" not in str(refused.value)
    await connected(await hub.login(jid, "secret"))


async def test_without_a_session_nothing_is_changed(hub: Hub) -> None:
    transport = await hub.transport(await hub.account(), "one")
    with pytest.raises(AccountRefused):
        await transport.accounts.put(await new_name(hub), "secret")
