"""A whole heartbeat in memory: a job manager that keeps the rooms, agents in them, and somebody who asks."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from copilot.errors import BadName, RoomRefused, SessionReplaced, TransportError
from copilot.heartbeat import asking, logic
from copilot.heartbeat.asking import AT_ONCE, RESOURCE, Asker, Target, chosen, is_full_jid
from copilot.heartbeat.keeper import RoomKeeper
from copilot.heartbeat.logic import Heartbeat, HeartbeatSettings
from copilot.heartbeat.rooms import Rooms
from copilot.heartbeat.service import HeartbeatService
from copilot.heartbeat.status import STATUSES, read
from copilot.protocol.commands import Command, GetStatus, HaveStatus, Ping, Pong
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.nick import unique_nick
from copilot.protocol.people import People
from copilot.protocol.rules import Role
from copilot.runtime.component import Component
from copilot.runtime.compose import Parts
from copilot.runtime.loop import Loop
from copilot.transport.memory import MemoryNetwork, MemoryTransport

SERVICE = "conference.x"
ROOMS = Rooms(name="lounge", server=SERVICE, shards=2)
OWNER, BOSS = "jm@x", "boss@x"
LIMIT = 5.0


def endpoint(role: Role) -> Endpoint:
    return Endpoint(role, new_id=lambda: str(uuid.uuid4()), random=random.random)


@dataclass
class Floor:
    """Everybody on one pretend server."""

    network: MemoryNetwork = field(default_factory=MemoryNetwork)
    tasks: list[asyncio.Task[int]] = field(default_factory=list)

    def start(self, jid: str, role: Role, *parts: Component) -> MemoryTransport:
        transport = MemoryTransport(self.network, jid)
        loop = Loop(
            Parts(parts),
            endpoint(role),
            transport,
            performer=HeartbeatService(transport),
            announce_to=OWNER if role is Role.AGENT else None,
        )
        self.tasks.append(asyncio.create_task(loop.run()))
        return transport

    async def manager(self, *allow: str, members: str = "x") -> None:
        """The job manager `alpha`; returns when the rooms are ready."""
        people = People.of(*allow)
        beat = Heartbeat(
            HeartbeatSettings(room=lambda _: ROOMS.main, owner=OWNER, allow=people), random=lambda: 0.0
        )
        keeper = RoomKeeper(ROOMS, members=People.of(members), allow=people, random=lambda: 0.0)
        self.start(f"{OWNER}/alpha", Role.JOB_MANAGER, keeper, beat)
        await self.until(lambda: set(ROOMS.all) <= set(self.network.rooms))
        await self.until(lambda: f"{OWNER}/alpha" in self.network.rooms[ROOMS.main].occupants.values())

    async def agent(self, jid: str, *allow: str) -> MemoryTransport:
        """An agent, in its room."""
        settings = HeartbeatSettings(room=ROOMS.of_agent, owner=OWNER, allow=People.of(*allow))
        transport = self.start(jid, Role.AGENT, Heartbeat(settings, random=lambda: 0.0))
        room = self.network.rooms[ROOMS.of_agent(jid)]
        await self.until(lambda: jid in room.occupants.values())
        return transport

    @contextlib.asynccontextmanager
    async def asking(self, account: str = BOSS, owner: str | None = None) -> AsyncIterator[Asker]:
        transport = MemoryTransport(self.network, f"{account}/{RESOURCE}1")
        asker = Asker(transport, endpoint(Role.HEARTBEAT), ROOMS, owner=owner)
        async with asker.session(LIMIT):
            yield asker

    async def until(self, condition: object) -> None:
        async with asyncio.timeout(LIMIT + 10):
            while not condition():  # type: ignore[operator]
                await asyncio.sleep(0.005)


@pytest.fixture
async def floor(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Floor]:
    for module in (logic, asking):
        monkeypatch.setattr(module, "ADMISSION", 0.01)  # or each would wait as long as on a real server
    floor = Floor()
    yield floor
    for task in floor.tasks:
        task.cancel()
    await asyncio.gather(*floor.tasks, return_exceptions=True)


async def said(
    asker: Asker, command: Command, *words: str, limit: float = LIMIT
) -> dict[str, Command | None]:
    await asker.enter()
    components = await asker.components()
    targets = chosen(words, components, SERVICE) if words else components
    return {answer.target.nick: answer.command for answer in await asker.ask(targets, command, limit)}


async def test_everybody_in_all_rooms_answers(floor: Floor) -> None:
    await floor.manager(BOSS)
    await floor.agent("a1@x/one", BOSS)
    await floor.agent("a2@x/a long resource", BOSS)
    async with floor.asking() as asker:
        assert await said(asker, Ping()) == {
            "alpha": Pong(),
            "one": Pong(),
            unique_nick("a2@x/a long resource"): Pong(),
        }


async def test_a_status_is_that_of_the_machine(floor: Floor) -> None:
    await floor.manager(BOSS)
    async with floor.asking() as asker:
        (answer,) = (await said(asker, GetStatus(component="memoryUsage"))).values()
    assert isinstance(answer, HaveStatus)
    assert [row[2] for row in read(STATUSES["memoryUsage"], answer.status)] == ["memory", "swap"]


async def test_some_are_asked_by_full_jid_room_jid_and_nick(floor: Floor) -> None:
    await floor.manager(BOSS)
    for name in ("one", "two", "three"):
        await floor.agent(f"{name}@x/{name}", BOSS)
    async with floor.asking() as asker:
        room = ROOMS.of_agent("one@x")
        assert list(await said(asker, Ping(), "JM@x/alpha", f"{room}/one", "two")) == ["alpha", "one", "two"]
        assert set(await said(asker, Ping(), ROOMS.main)) == {"alpha"}


async def test_whom_a_component_does_not_allow_hears_nothing(floor: Floor) -> None:
    await floor.manager(BOSS)
    await floor.agent("a1@x/one", "somebody-else@x")
    async with floor.asking() as asker:
        assert await said(asker, Ping(), limit=1.0) == {"alpha": Pong(), "one": None}


async def test_who_is_no_member_is_told_what_to_do(floor: Floor) -> None:
    await floor.manager(BOSS, members="elsewhere")
    async with floor.asking("stranger@x") as asker:
        with pytest.raises(RoomRefused, match=r"does not let stranger@x in.*HB_ALLOW.*HB_CHAT_OWNER"):
            await asker.enter()


async def test_who_is_allowed_by_his_domain_is_let_in_by_the_owner(floor: Floor) -> None:
    await floor.manager("x", members="elsewhere")
    async with floor.asking("new@x", owner=OWNER) as asker:
        assert await said(asker, Ping()) == {"alpha": Pong()}


async def test_without_rooms_the_tool_says_so(floor: Floor) -> None:
    async with floor.asking() as asker:
        with pytest.raises(RoomRefused, match=r"there is no chat room lounge@conference\.x"):
            await asker.enter()


async def test_after_a_cut_a_component_is_in_its_room_again_and_answers(floor: Floor) -> None:
    await floor.manager(BOSS)
    agent = await floor.agent("a1@x/one", BOSS)
    floor.network.cut("a1@x/one")
    room = floor.network.rooms[ROOMS.of_agent("a1@x")]
    await floor.until(lambda: agent.jid in room.occupants.values())
    async with floor.asking() as asker:
        assert await said(asker, Ping(), "one") == {"one": Pong()}


async def test_two_that_want_one_nick_are_both_found(floor: Floor) -> None:
    await floor.manager(BOSS)
    twins = ["a1@x/one"]
    twins += [jid for n in range(2, 9) if ROOMS.of_agent(jid := f"a{n}@x/one") == ROOMS.of_agent(twins[0])][
        :1
    ]
    for jid in twins:
        await floor.agent(jid, BOSS)
    async with floor.asking() as asker:
        assert set(await said(asker, Ping())) == {"alpha", "one", unique_nick(twins[1])}


async def test_more_than_fit_into_a_window_are_asked_though_many_are_silent(floor: Floor) -> None:
    await floor.manager(BOSS)
    nobody = [Target(nick=str(number), address=f"n{number}@x/y") for number in range(2 * AT_ONCE)]
    async with floor.asking() as asker:
        answers = await asker.ask([*nobody, Target(nick="alpha", address=f"{OWNER}/alpha")], Ping(), 0.2)
    assert [answer.command for answer in answers] == [None] * len(nobody) + [Pong()]


async def test_a_session_that_ends_for_good_ends_the_question(floor: Floor) -> None:
    async with floor.asking() as asker:
        question = asyncio.ensure_future(asker.ask([Target(nick="n", address="n@x/y")], Ping(), 60.0))
        await asyncio.sleep(0)
        other = MemoryTransport(floor.network, f"{BOSS}/{RESOURCE}1")
        await other.next_event()
        with pytest.raises(SessionReplaced):
            await question
        await other.close()


async def test_a_server_that_is_away_is_not_waited_for_for_ever() -> None:
    class Away(MemoryTransport):
        async def next_event(self) -> object:  # type: ignore[override]
            return await asyncio.get_running_loop().create_future()

    transport = Away(MemoryNetwork(), f"{BOSS}/x")
    asker = Asker(transport, endpoint(Role.HEARTBEAT), ROOMS, owner=None)
    with pytest.raises(TransportError, match=r"no session .* within 0.05 s"):
        async with asker.session(0.05):
            pass


HERE = [
    Target(nick="alpha", address="jm@x/alpha", room="lounge@conference.x"),
    Target(nick="node7", address="a7@x/node7", room="lounge-0@conference.x"),
    Target(nick="node8", address="a8@x/node8", room="lounge-0@conference.x"),
]


@pytest.mark.parametrize(
    ("word", "found"),
    [
        ("node7", ["node7"]),
        ("lounge-0@conference.x/node8", ["node8"]),
        ("Lounge-0@Conference.X/node8", ["node8"]),
        ("lounge-0@conference.x", ["node7", "node8"]),
        ("jm@x/alpha", ["alpha"]),
        ("jm@x/gone", ["gone"]),
    ],
)
def test_whom_a_word_means(word: str, found: list[str]) -> None:
    assert [target.nick for target in chosen([word, word], HERE, SERVICE)] == found


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("node9", "did you mean node8 or node7"),
        ("zebra", "'copilot-heartbeat list' shows"),
        ("lounge@conference.x/node7", "nobody"),
        ("other@conference.x", "nobody"),
        ("jm@x", "has no resource"),
    ],
)
def test_who_is_not_there_is_said_with_whoever_is_near(word: str, says: str) -> None:
    with pytest.raises(BadName, match=says):
        chosen([word], HERE, SERVICE)


def test_only_full_jids_of_accounts_need_no_room() -> None:
    assert is_full_jid("jm@x/alpha", SERVICE)
    assert not any(
        is_full_jid(word, SERVICE) for word in ("alpha", "jm@x", "jm@x/", "lounge@conference.x/alpha")
    )
