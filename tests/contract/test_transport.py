"""What every transport promises: the same on the pretend server, on Prosody and on ejabberd."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from copilot.errors import ProtocolError, SessionReplaced, TransportError
from copilot.protocol.envelope import Element, Envelope
from copilot.transport.base import Connected, Disconnected, PresenceChanged, Transport
from tests.contract.transport_fixtures import (  # noqa: F401 - pytest finds the fixtures here
    Hub,
    arrived,
    connected,
    ejabberd_hub_fixture,
    event,
    hub_fixture,
    memory_hub_fixture,
    prosody_hub_fixture,
)
from tests.patience import PATIENCE_S

INFO = Element(
    "info",
    {"command": "_BASE64:cnVuSm9i", "odd": "'\"<&> é 語 \U0001f600"},
    (Element("job", {"id": "_BASE64:MQ=="}), Element("job", {"id": "_BASE64:Mg=="})),
)
OTHER = Element("info", {"command": "_BASE64:am9iRG9uZQ=="})


async def instance(hub: Hub, account: str, resource: str) -> Transport:
    """One that is logged in."""
    transport = await hub.transport(account, resource)
    assert await connected(transport) == f"{account}/{resource}"
    return transport


async def pair(hub: Hub) -> tuple[Transport, str, Transport, str]:
    """Two that are logged in to different accounts, each with its full JID."""
    a, b = await hub.account(), await hub.account()
    return await instance(hub, a, "one"), f"{a}/one", await instance(hub, b, "one"), f"{b}/one"


async def test_the_full_jid_is_the_one_that_was_asked_for(hub: Hub) -> None:
    await instance(hub, await hub.account(), "Kind/of odd")


async def test_a_message_to_a_full_jid_reaches_that_instance_alone(hub: Hub) -> None:
    sender, sender_jid, one, one_jid = await pair(hub)
    two = await instance(hub, one_jid.partition("/")[0], "two")
    assert sender.send(Envelope(to=one_jid, id="i", element=INFO))
    assert sender.send(Envelope(to=one_jid.replace("/one", "/two"), id="j"))
    got = await arrived(one)
    assert (got.id, got.sender, got.to) == ("i", sender_jid, one_jid)
    assert (await arrived(two)).id == "j"


async def test_a_message_to_a_bare_jid_reaches_every_instance(hub: Hub) -> None:
    sender, _, one, one_jid = await pair(hub)
    account = one_jid.partition("/")[0]
    two = await instance(hub, account, "two")
    assert sender.send(Envelope(to=account, id="i", element=INFO))
    for got in (await arrived(one), await arrived(two)):
        assert (got.id, got.to, got.element) == ("i", account, INFO)


@pytest.mark.parametrize(
    "envelope",
    [
        Envelope(to="", id="i", body=INFO),
        Envelope(to="", id="i", body=INFO, acks=("j",), ack_carriage="body", noack=True),
        Envelope(to="", id="i", element=INFO),
        Envelope(to="", id="i", element=INFO, acks=("j", "k", "l"), noack=True),
        Envelope(to="", id="i", body=INFO, element=INFO, acks=("j", "k")),
        Envelope(to="", id="i", body=INFO, element=OTHER, acks=("j",), noack=True),
        Envelope(to="", acks=("j", "k")),
        Envelope(to="", acks=("j",), ack_carriage="body"),
        Envelope(to="", id="i", kind="chat", body=OTHER),
        Envelope(to="", id="i"),
    ],
)
async def test_carriages_and_their_acks_arrive_as_the_server_leaves_them(
    hub: Hub, envelope: Envelope
) -> None:
    sender, sender_jid, receiver, receiver_jid = await pair(hub)
    assert sender.send(replace(envelope, to=receiver_jid))
    assert await arrived(receiver) == replace(hub.delivered(envelope), to=receiver_jid, sender=sender_jid)


async def test_a_message_for_a_vanished_instance_reaches_another_one(hub: Hub) -> None:
    sender, _, one, one_jid = await pair(hub)
    two_jid = one_jid.replace("/one", "/two")
    two = await instance(hub, one_jid.partition("/")[0], "two")
    await one.close()
    assert sender.send(Envelope(to=one_jid, id="i", element=INFO))
    got = await arrived(two)
    assert (got.id, got.to) == ("i", two_jid if hub.readdresses else one_jid)


async def test_where_nobody_is_a_stanza_error_comes_back(hub: Hub) -> None:
    sender, sender_jid, receiver, receiver_jid = await pair(hub)
    await receiver.close()
    for to in (receiver_jid, receiver_jid.partition("/")[0]):
        assert sender.send(Envelope(to=to, id="i", body=INFO, acks=("j",)))
        assert await arrived(sender) == Envelope(
            to=sender_jid, sender=to, id="i", kind="error", error="service-unavailable"
        )


@pytest.mark.parametrize("early", [True, False])
async def test_an_announced_agent_is_seen_by_every_instance(hub: Hub, early: bool) -> None:
    service = await hub.account()
    instances = [await instance(hub, service, name) for name in ("one", "two")]
    agent = await hub.transport(await hub.account(), "one")
    if early:
        agent.announce(service)
    jid = await connected(agent)
    if not early:
        agent.announce(service)
    for one in instances:
        assert await event(one, PresenceChanged) == PresenceChanged(jid, available=True)


@pytest.mark.parametrize("abruptly", [False, True])
async def test_every_instance_is_told_when_an_agent_leaves(hub: Hub, abruptly: bool) -> None:
    service = await hub.account()
    instances = [await instance(hub, service, name) for name in ("one", "two")]
    agent = await hub.transport(await hub.account(), "one")
    agent.announce(service)
    jid = await connected(agent)
    for one in instances:
        assert await event(one, PresenceChanged) == PresenceChanged(jid, available=True)
    if abruptly:
        hub.cut(agent)
    else:
        await agent.close()
    for one in instances:
        assert await event(one, PresenceChanged) == PresenceChanged(jid, available=False)


async def test_instances_of_one_account_do_not_see_each_other(hub: Hub) -> None:
    sender, _, one, one_jid = await pair(hub)
    account = one_jid.partition("/")[0]
    two = await instance(hub, account, "two")
    two.announce(account)
    await two.close()
    assert sender.send(Envelope(to=one_jid, id="i"))
    assert (await arrived(one)).id == "i"


async def test_after_a_cut_it_comes_back_and_announces_itself_again(hub: Hub) -> None:
    service, service_jid, agent, jid = await pair(hub)
    account = service_jid.partition("/")[0]
    agent.announce(account)
    assert await event(service, PresenceChanged) == PresenceChanged(jid, available=True)
    hub.cut(agent)
    gone = await event(agent, Disconnected)
    assert gone.reason
    assert gone.set_aside == ()
    assert await event(agent, Connected) == Connected(jid)
    assert await event(service, PresenceChanged) == PresenceChanged(jid, available=False)
    assert await event(service, PresenceChanged) == PresenceChanged(jid, available=True)
    assert agent.send(Envelope(to=account, id="again"))
    assert (await arrived(service)).id == "again"


async def test_a_second_program_with_the_same_full_jid_ends_the_first(hub: Hub) -> None:
    account = await hub.account()
    first = await instance(hub, account, "same")
    second = await instance(hub, account, "same")
    for _ in range(2):
        with pytest.raises(SessionReplaced, match="own resource"):
            await event(first, Connected)
    assert not first.send(Envelope(to=account, id="i"))
    assert second.send(Envelope(to=account, id="still-here"))
    assert (await arrived(second)).id == "still-here"


async def test_without_a_session_nothing_is_taken(hub: Hub) -> None:
    account = await hub.account()
    transport = await hub.transport(account, "one")
    assert not transport.send(Envelope(to=account, id="before"))
    await connected(transport)
    hub.cut(transport)
    await event(transport, Disconnected)
    assert not transport.send(Envelope(to=account, id="between"))
    await connected(transport)
    assert transport.send(Envelope(to=account, id="now"))
    assert (await arrived(transport)).id == "now"
    await transport.close()
    assert not transport.send(Envelope(to=account, id="after"))


async def test_messages_keep_their_order_and_a_burst_arrives_once_each(hub: Hub) -> None:
    sender, _, receiver, receiver_jid = await pair(hub)
    ids = [f"i{number}" for number in range(1000)]
    for ident in ids:
        assert sender.send(Envelope(to=receiver_jid, id=ident, element=INFO))
    assert [(await arrived(receiver)).id for _ in ids] == ids
    assert sender.send(Envelope(to=receiver_jid, id="last"))
    assert (await arrived(receiver)).id == "last"


async def test_what_cannot_be_written_is_refused_in_any_state(hub: Hub) -> None:
    transport = await hub.transport(await hub.account(), "one")
    for connect in (True, False):
        with pytest.raises(ValueError, match="allowed in XML"):
            transport.send(Envelope(to="a@b", id="\0"))
        with pytest.raises(ProtocolError, match="by reference"):
            transport.send(Envelope(to="a@b", body=Element("info", {"a": "x" * 61_440})))
        with pytest.raises(ValueError, match="allowed in XML"):
            transport.announce("a@b\0")
        if connect:
            await connected(transport)


async def test_close_is_final_and_may_be_repeated(hub: Hub) -> None:
    transport = await hub.transport(await hub.account(), "one")
    await connected(transport)
    waiter = asyncio.ensure_future(transport.next_event())
    await asyncio.sleep(0)
    await transport.close()
    await transport.close()
    with pytest.raises(TransportError, match="closed"):
        await asyncio.wait_for(waiter, PATIENCE_S)
    with pytest.raises(TransportError, match="closed"):
        await asyncio.wait_for(transport.next_event(), PATIENCE_S)


async def test_a_transport_that_never_connected_can_be_closed(hub: Hub) -> None:
    transport = await hub.transport(await hub.account(), "one")
    await transport.close()
    with pytest.raises(TransportError, match="closed"):
        await asyncio.wait_for(transport.next_event(), PATIENCE_S)
