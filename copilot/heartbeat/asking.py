"""The asking end: finds who is in the chat rooms, asks them, and gathers the answers. Used by `copilot-heartbeat`.

It enters every room, because only their moderators learn who is in them, and then asks by direct messages: a room
would carry each twice, and an answer would bear no name but a nick.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Iterable, Sequence
from dataclasses import field
from typing import NoReturn, TypeVar

from copilot.errors import BadName, RoomRefused, TransportError
from copilot.heartbeat.rooms import Rooms
from copilot.protocol.commands import Command, HaveStatus, Pong
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.protocol.nick import nick, unique_nick
from copilot.records import dataclass
from copilot.transport.base import (
    Arrived,
    Connected,
    Disconnected,
    RoomJoined,
    RoomLeft,
    Transport,
    TransportEvent,
)

AT_ONCE = 100  # unanswered questions; one that is silent makes room for another after PATIENCE
PATIENCE = 1.0  # s
ENTER_LIMIT = 20.0  # s that a room has to let us in
ADMISSION_TRIES = 5
ADMISSION = 0.5  # s between them

RESOURCE = "copilot-heartbeat-"  # how the resources of those begin who only ask

log = logging.getLogger("copilot.heartbeat")

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One component. `address` is what it is asked at: its full JID, or a full room JID if the room tells no more."""

    nick: str
    address: str
    room: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one component said, after so many seconds. None: nothing."""

    target: Target
    command: Pong | HaveStatus | None
    seconds: float


@dataclass(slots=True)
class _Question:
    since: float
    answered: asyncio.Future[Pong | HaveStatus] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class Asker:
    """One session that asks."""

    def __init__(self, transport: Transport, endpoint: Endpoint, rooms: Rooms, *, owner: str | None) -> None:
        self._transport = transport
        self._endpoint = endpoint
        self._rooms = rooms
        self._owner = owner
        self._jid = ""
        self._up = asyncio.Event()
        self._entering: dict[str, asyncio.Future[str | None]] = {}  # room → the condition of its refusal
        self._inside: list[str] = []
        self._questions: dict[str, _Question] = {}  # address → what it was asked
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @contextlib.asynccontextmanager
    async def session(self, limit: float) -> AsyncIterator[None]:
        """Logged in while inside. Raises TransportError if that takes more than `limit` seconds, or cannot be."""
        reader = asyncio.create_task(self._read())
        try:
            await self._unless_broken(self._up.wait(), limit)
            yield
        finally:
            reader.cancel()
            await asyncio.gather(reader, return_exceptions=True)
            if self._broken.done():
                self._broken.exception()
            await self._transport.close()

    async def enter(self) -> list[str]:
        """Enter all rooms of the system; returns them. Raises RoomRefused if there is none, or none lets us in."""
        service = self._rooms.server
        try:
            found = [room for room in await self._transport.rooms.found(service) if self._rooms.is_one(room)]
        except RoomRefused as refused:
            text = f"HB_CHAT_SERVER {service} does not say which chat rooms it has: {refused}"
            raise RoomRefused(refused.condition, text) from refused
        if not found:
            raise RoomRefused(
                "item-not-found",
                f"there is no chat room {self._rooms.main}, and none like {self._rooms.name}-0@{service}. The job manager "
                "makes them when HB_CHAT_SERVER and HB_CHAT_ROOM are set for it; is it running, and are they the same?",
            )
        new = [room for room in sorted(found) if room not in self._inside]
        refusals = await asyncio.gather(*map(self._enter, new))
        for room, refusal in zip(new, refusals, strict=True):
            if refusal is None:
                self._inside.append(room)
            else:
                log.warning("%s", _why(room, refusal, self._jid, self._owner))
        if not self._inside:
            raise RoomRefused(refusals[0] or "", _why(new[0], refusals[0] or "", self._jid, self._owner))
        return list(self._inside)

    async def components(self) -> list[Target]:
        """All that are in the rooms that we are in, by nick; but for those that ask."""
        found: dict[str, Target] = {}
        for room in self._inside:
            for one in await self._transport.rooms.occupants(room):
                if one.jid is None:
                    target = Target(nick=one.nick, address=f"{room}/{one.nick}", room=room)
                else:
                    target = Target(nick=one.nick, address=one.jid, room=room)
                if target.address != self._jid and not _asks(target.address):
                    found[target.address] = target
        return sorted(found.values(), key=lambda target: (target.nick, target.address))

    async def ask(self, targets: Iterable[Target], command: Command, limit: float) -> list[Answer]:
        """Ask each; answers come within `limit` seconds or not at all. In the order of `targets`."""
        turns = asyncio.Semaphore(AT_ONCE)
        asking = asyncio.gather(*(self._ask(target, command, limit, turns) for target in targets))
        return await self._unless_broken(asking, None)

    async def _ask(self, target: Target, command: Command, limit: float, turns: asyncio.Semaphore) -> Answer:
        async with turns:
            await self._up.wait()
            began = time.monotonic()
            question = self._questions[target.address] = _Question(began)
            self._endpoint.send(target.address, command, began)
            self._flush()
            await asyncio.wait((question.answered,), timeout=min(PATIENCE, limit))
        await asyncio.wait((question.answered,), timeout=max(0.0, limit - (time.monotonic() - began)))
        self._questions.pop(target.address, None)
        said = question.answered.result() if question.answered.done() else None
        return Answer(target=target, command=said, seconds=time.monotonic() - began)

    async def _enter(self, room: str) -> str | None:
        """The condition with which it refuses us for good; None: we are in. Who keeps it is asked to let us in."""
        names = list(dict.fromkeys((nick(self._jid), unique_nick(self._jid))))
        refusal: str | None = None
        for _ in range(ADMISSION_TRIES):
            self._entering[room] = asyncio.get_running_loop().create_future()
            self._transport.join(room, names[0])
            try:
                refusal = await asyncio.wait_for(self._entering[room], ENTER_LIMIT)
            except TimeoutError:
                return "timeout"
            if refusal == "conflict" and len(names) > 1:
                names.pop(0)
            elif refusal == "registration-required" and self._owner is not None:
                self._transport.announce(self._owner)
                # No room tells whom it has admitted: all one can do is try again.
                await asyncio.sleep(ADMISSION)
            else:
                break
        return refusal

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._transport.next_event())
        except Exception as error:  # noqa: BLE001  # whoever waits for something has to hear of it
            if not self._broken.done():
                self._broken.set_exception(error)

    def _take(self, event: TransportEvent) -> None:
        match event:
            case Connected(jid=jid):
                self._jid = jid
                self._endpoint.online(jid)
                self._up.set()
                self._flush()
            case Disconnected(reason=reason):
                log.warning("%s", reason)
                self._endpoint.offline()
                self._up.clear()
            case RoomJoined(room=room):
                self._endpoint.entered(room)
                self._entered(room, None)
            case RoomLeft(room=room, condition=condition):
                self._entered(room, condition)
            case Arrived(envelope=envelope):
                for heard in self._endpoint.receive(envelope, time.monotonic()):
                    if isinstance(heard, Received):
                        self._heard(heard)
                self._flush()

    def _entered(self, room: str, refusal: str | None) -> None:
        entering = self._entering.get(room)
        if entering is not None and not entering.done():
            entering.set_result(refusal)

    def _heard(self, received: Received) -> None:
        question = self._questions.get(received.sender)
        if isinstance(received.command, Pong | HaveStatus):
            if question is not None and not question.answered.done():
                question.answered.set_result(received.command)
            self._endpoint.done(received, time.monotonic())
        else:
            self._endpoint.failed(received)

    def _flush(self) -> None:
        for envelope in self._endpoint.outgoing(time.monotonic()):
            self._transport.send(envelope)

    async def _unless_broken(self, work: Awaitable[T], limit: float | None) -> T:
        """What `work` comes to, unless the session ends for good before. Raises what ended it, or TransportError."""
        task = asyncio.ensure_future(work)
        await asyncio.wait((task, self._broken), timeout=limit, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        if self._broken.done():
            self._broken.result()
        raise TransportError(
            f"there was no session with the XMPP server within {limit:g} s; is it up, and reachable?"
        )


def chosen(words: Iterable[str], components: Sequence[Target], service: str) -> list[Target]:
    """Whom a person means by full JIDs, room JIDs (with a nick, or without: all in the room) and nicks; each once.

    Raises BadName for who is not there, but for full JIDs: they need no room. `service` is the domain of the rooms.
    """
    found: dict[str, Target] = {}
    for word in words:
        for target in _named(word, components, service):
            found.setdefault(target.address, target)
    return list(found.values())


def is_full_jid(word: str, service: str) -> bool:
    """Whether a word is the full JID of a component, for which nobody has to be looked up."""
    account, slash, resource = word.partition("/")
    return "@" in account and bool(slash and resource) and account.partition("@")[2].lower() != service


def _named(word: str, components: Sequence[Target], service: str) -> list[Target]:
    if is_full_jid(word, service):
        address = f"{bare(word)}/{word.partition('/')[2]}"
        known = [one for one in components if one.address == address]
        return known or [Target(nick=nick(address), address=address)]
    account, _, name = word.partition("/")
    if "@" in account:
        if account.partition("@")[2].lower() != service:
            raise BadName(
                f"{word!r} has no resource; expected a full JID (name@domain/resource), a room JID or a nick"
            )
        inside = [one for one in components if one.room == account.lower()]
        named = [one for one in inside if name in ("", one.nick)]
        return named or _nobody(word, name, inside)
    return [one for one in components if one.nick == word] or _nobody(word, word, components)


def _nobody(word: str, name: str, components: Sequence[Target]) -> NoReturn:
    near = difflib.get_close_matches(name, [one.nick for one in components], n=3, cutoff=0.5)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; 'copilot-heartbeat list' shows who is there"
    raise BadName(f"nobody in the chat rooms is called {word!r}{hint}")


def _asks(address: str) -> bool:
    return address.partition("/")[2].startswith(RESOURCE)


def _why(room: str, condition: str, jid: str, owner: str | None) -> str:
    """Why a room refuses us, and what to do."""
    if condition in ("registration-required", "forbidden"):
        ask = (
            "" if owner is not None else ", or set HB_CHAT_OWNER to its Jabber ID, if HB_ALLOW has the domain"
        )
        return (
            f"the chat room {room} does not let {bare(jid)} in ({condition}). Add {bare(jid)} to HB_ALLOW of the job "
            f"manager and of all components{ask}"
        )
    return f"the chat room {room} cannot be entered: {condition}"
