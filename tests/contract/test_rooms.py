"""Chat rooms of the heartbeat: the same on the pretend server, on Prosody and on ejabberd, as the samples have them."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import dataclass

import pytest

from copilot.errors import RoomRefused
from copilot.heartbeat.logic import Heartbeat, HeartbeatSettings
from copilot.heartbeat.service import HeartbeatService
from copilot.protocol import codec
from copilot.protocol.commands import Command, Ping, Pong
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import Envelope, bare
from copilot.protocol.people import People
from copilot.protocol.rules import Role
from copilot.runtime.loop import Loop
from copilot.transport.base import (
    Arrived,
    Connected,
    Disconnected,
    OccupantChanged,
    PresenceChanged,
    RoomJoined,
    RoomLeft,
    Transport,
)
from copilot.transport.rooms import Affiliation, Occupant
from tests.contract.transport_fixtures import (  # noqa: F401 - pytest finds the fixtures here
    LIMIT_S,
    Hub,
    arrived,
    connected,
    ejabberd_hub_fixture,
    event,
    hub_fixture,
    memory_hub_fixture,
    prosody_hub_fixture,
)

INFO = codec.encode(Ping())


@dataclass
class Lounge:
    """A room of its own for each test, and its owner."""

    hub: Hub
    jid: str
    owner: Transport
    owner_jid: str

    async def newcomer(self, resource: str = "one") -> tuple[Transport, str]:
        """Somebody who is nobody to the room, and his full JID."""
        transport = await self.hub.transport(await self.hub.account(), resource)
        return transport, await connected(transport)

    async def member(self, nick: str, affiliation: Affiliation = Affiliation.MEMBER) -> tuple[Transport, str]:
        """Somebody who is in the room."""
        transport, jid = await self.newcomer()
        await self.owner.rooms.affiliate(self.jid, bare(jid), affiliation)
        transport.join(self.jid, nick)
        async with asyncio.timeout(LIMIT_S):
            while isinstance(got := await transport.next_event(), OccupantChanged):
                pass  # who was there before
        assert got == RoomJoined(self.jid, nick)
        return transport, jid


@pytest.fixture
async def lounge(hub: Hub) -> Lounge:
    account = await hub.account()
    owner = await hub.transport(account, "owner")
    jid = await connected(owner)
    room = f"lounge-{uuid.uuid4().hex}@{hub.chat}"
    await owner.rooms.prepare(room, "owner")
    return Lounge(hub, room, owner, jid)


async def refused(transport: Transport, room: str, nick: str) -> str:
    """The condition with which it is not let in."""
    transport.join(room, nick)
    left = await event(transport, RoomLeft)
    assert left.room == room
    return left.condition


async def test_a_room_keeps_strangers_out(lounge: Lounge) -> None:
    stranger, jid = await lounge.newcomer()
    assert await refused(stranger, lounge.jid, "me") == "registration-required"
    await lounge.owner.rooms.affiliate(lounge.jid, bare(jid), Affiliation.MEMBER)
    stranger.join(lounge.jid, "me")
    assert await event(stranger, RoomJoined) == RoomJoined(lounge.jid, "me")


async def test_who_enters_a_room_that_is_not_there_makes_none(hub: Hub, lounge: Lounge) -> None:
    stranger, _ = await lounge.newcomer()
    room = f"none-{uuid.uuid4().hex}@{hub.chat}"
    assert await refused(stranger, room, "me") == "item-not-found"
    assert room not in await lounge.owner.rooms.found(hub.chat)
    await lounge.owner.rooms.prepare(room, "owner")
    assert await refused(stranger, room, "me") == "registration-required"


async def test_a_room_is_found_by_anybody_and_stays_when_all_have_left(hub: Hub, lounge: Lounge) -> None:
    member, _ = await lounge.member("me")
    await member.close()
    stranger, _ = await lounge.newcomer()
    assert lounge.jid in await stranger.rooms.found(hub.chat)


async def test_a_room_is_prepared_any_number_of_times_but_only_by_its_owner(lounge: Lounge) -> None:
    _, member = await lounge.member("me")
    await lounge.owner.rooms.prepare(lounge.jid, "owner")
    assert await lounge.owner.rooms.affiliated(lounge.jid, Affiliation.MEMBER) == [bare(member)]
    stranger, _ = await lounge.newcomer()
    for asked in (
        stranger.rooms.prepare(lounge.jid, "me"),
        stranger.rooms.affiliate(lounge.jid, bare(member), Affiliation.NONE),
    ):
        with pytest.raises(RoomRefused) as refusal:
            await asked
        assert refusal.value.condition in ("forbidden", "not-allowed")


async def test_members_see_moderators_with_their_real_jids_and_not_each_other(lounge: Lounge) -> None:
    one, _ = await lounge.member("one")
    two, _ = await lounge.member("two")
    admin, admin_jid = await lounge.member("boss", Affiliation.ADMIN)
    for member in (one, two):
        assert await event(member, OccupantChanged) == OccupantChanged(lounge.jid, "boss", admin_jid, True)
    late, late_jid = await lounge.newcomer()
    await lounge.owner.rooms.affiliate(lounge.jid, bare(late_jid), Affiliation.MEMBER)
    late.join(lounge.jid, "late")
    assert await event(late, OccupantChanged) == OccupantChanged(lounge.jid, "boss", admin_jid, True)
    await event(late, RoomJoined)
    await admin.close()
    for member in (one, two, late):
        assert await event(member, OccupantChanged) == OccupantChanged(lounge.jid, "boss", admin_jid, False)


async def test_moderators_learn_who_is_in_and_nobody_else_does(lounge: Lounge) -> None:
    member, member_jid = await lounge.member("one")
    admin, admin_jid = await lounge.member("boss", Affiliation.ADMIN)
    inside = await admin.rooms.occupants(lounge.jid)
    assert sorted(inside, key=lambda one: one.nick) == [
        Occupant(nick="boss", jid=admin_jid),
        Occupant(nick="one", jid=member_jid),
    ]
    with pytest.raises(RoomRefused):
        await member.rooms.occupants(lounge.jid)


async def test_a_nick_is_given_once_and_another_one_may_be_tried(lounge: Lounge) -> None:
    await lounge.member("me")
    late, jid = await lounge.newcomer()
    await lounge.owner.rooms.affiliate(lounge.jid, bare(jid), Affiliation.MEMBER)
    assert await refused(late, lounge.jid, "me") == "conflict"
    late.join(lounge.jid, "me-too")
    assert await event(late, RoomJoined) == RoomJoined(lounge.jid, "me-too")


async def test_who_loses_the_membership_is_out(lounge: Lounge) -> None:
    member, jid = await lounge.member("me")
    await lounge.owner.rooms.affiliate(lounge.jid, bare(jid), Affiliation.NONE)
    assert await event(member, RoomLeft) == RoomLeft(lounge.jid, "removed")
    assert await lounge.owner.rooms.affiliated(lounge.jid, Affiliation.MEMBER) == []


async def test_a_private_message_comes_from_a_nick_and_one_to_all_is_marked(lounge: Lounge) -> None:
    member, jid = await lounge.member("one")
    admin, _ = await lounge.member("boss", Affiliation.ADMIN)
    await event(member, OccupantChanged)
    admin.send(Envelope(to=f"{lounge.jid}/one", id="i", element=INFO))
    got = await arrived(member)
    assert (got.sender, got.to, got.kind, got.element) == (f"{lounge.jid}/boss", jid, "normal", INFO)
    admin.send(Envelope(to=lounge.jid, id="j", kind="groupchat", element=INFO))
    got = await arrived(member)
    assert (got.sender, got.kind, got.element) == (f"{lounge.jid}/boss", "groupchat", INFO)


async def test_a_stranger_reaches_nobody_through_a_room(lounge: Lounge) -> None:
    await lounge.member("one")
    stranger, _ = await lounge.newcomer()
    stranger.send(Envelope(to=f"{lounge.jid}/one", id="i", element=INFO))
    assert (await arrived(stranger)).kind == "error"


async def test_after_a_cut_the_room_is_entered_again(hub: Hub, lounge: Lounge) -> None:
    member, _ = await lounge.member("me")
    hub.cut(member)
    await event(member, Disconnected)
    await event(member, Connected)
    assert await event(member, RoomJoined) == RoomJoined(lounge.jid, "me")


async def test_what_is_asked_without_an_answer_is_refused(hub: Hub, lounge: Lounge) -> None:
    nowhere = f"nowhere-{uuid.uuid4().hex}@{hub.chat}"
    with pytest.raises(RoomRefused) as refusal:
        await lounge.owner.rooms.affiliate(nowhere, "somebody@example.org", Affiliation.MEMBER)
    assert refusal.value.condition == "item-not-found"


@pytest.mark.parametrize("hub", ["prosody_hub", "ejabberd_hub"], indirect=True)
async def test_without_a_session_nothing_can_be_asked(hub: Hub) -> None:
    transport = await hub.transport(await hub.account(), "one")
    with pytest.raises(RoomRefused):
        await transport.rooms.found(hub.chat)


@pytest.mark.parametrize("kind", ["normal", "groupchat"])
async def test_a_question_through_a_room_is_answered_to_whom_the_room_vouches_for(
    lounge: Lounge, kind: str
) -> None:
    boss, boss_jid = await lounge.member("boss", Affiliation.ADMIN)
    other, _ = await lounge.member("other", Affiliation.ADMIN)
    agent = await lounge.hub.transport(await lounge.hub.account(), "node7")
    owner = bare(lounge.owner_jid)
    settings = HeartbeatSettings(room=lambda _: lounge.jid, owner=owner, allow=People.of(bare(boss_jid)))
    endpoint = Endpoint(Role.AGENT, new_id=lambda: str(uuid.uuid4()), random=random.random)
    beat = Heartbeat(settings, random=lambda: 0.0)
    loop = Loop(beat, endpoint, agent, performer=HeartbeatService(agent), announce_to=owner)
    running = asyncio.create_task(loop.run())
    try:
        came = await event(lounge.owner, PresenceChanged)
        await lounge.owner.rooms.affiliate(lounge.jid, bare(came.jid), Affiliation.MEMBER)
        async with asyncio.timeout(LIMIT_S):
            while len(await boss.rooms.occupants(lounge.jid)) < 3:
                await asyncio.sleep(0.05)

        to = f"{lounge.jid}/node7" if kind == "normal" else lounge.jid
        for asker, ident in ((other, "i"), (boss, "j")):
            asker.send(Envelope(to=to, id=ident, kind=kind, element=INFO, noack=True))
        assert await heard(boss) == (f"{lounge.jid}/node7", Pong())
        other.send(Envelope(to=f"{lounge.jid}/boss", id="end", element=INFO))
        assert await heard(boss) == (f"{lounge.jid}/other", Ping())
        assert endpoint.counts.dropped["not-allowed"] == 1
        assert endpoint.counts.sent["pong"] == 1
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def heard(transport: Transport) -> tuple[str, Command]:
    """The next command that is meant for it alone, and from whom."""
    async with asyncio.timeout(LIMIT_S):
        while True:
            got = await transport.next_event()
            if isinstance(got, Arrived) and got.envelope.kind != "groupchat":
                info = got.envelope.element or got.envelope.body
                if info is not None:
                    return got.envelope.sender, codec.decode(info)[0]
