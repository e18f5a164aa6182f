"""Who keeps the chat rooms: the job manager makes them, says what they are, and lets components and askers in.

Every instance does all of it, for all of it is idempotent. Who wants to be let in shows himself to the job manager by
directed presence, as agents do after each log-in anyway. Accounts of a domain in `HB_MEMBERS` become members of the
shard of an agent with that JID; those named one by one of the main room, too; whoever `HB_ALLOW` includes an admin of
all, whom members see with his real JID. The rooms keep that, so a fleet that comes back needs nothing of this.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import field

from copilot.errors import RoomRefused
from copilot.heartbeat.effects import Affiliate, Prepare
from copilot.heartbeat.rooms import Rooms
from copilot.log import rate_limited
from copilot.protocol.envelope import bare
from copilot.protocol.nick import unique_nick
from copilot.protocol.people import Includes, People
from copilot.records import dataclass
from copilot.retry import full_jitter
from copilot.runtime.component import Actions, Came, Event, Finished, Offline, Online, Perform, Tick
from copilot.transport.rooms import Affiliation

LONGEST_WAIT = 600.0  # s between two tries to prepare a room
MOST_UNDER_WAY = 200  # admissions to one room; who finds no place shows himself again when he is refused

log = logging.getLogger("copilot.heartbeat")


@dataclass(slots=True)
class _Room:
    affiliated: dict[str, Affiliation] | None = None  # by bare JID; None: not prepared
    under_way: set[str] = field(default_factory=set)  # bare JIDs
    failures: int = 0
    try_at: float | None = None


class RoomKeeper:
    """A part of the job manager. `random` gives numbers in [0, 1) for the waits."""

    def __init__(
        self, rooms: Rooms, *, members: People, allow: Includes, random: Callable[[], float]
    ) -> None:
        self._names = rooms
        self._members = members
        self._allow = allow
        self._random = random
        self._rooms = {room: _Room() for room in rooms.all}
        self._jid = ""

    def handle(self, event: Event, now: float) -> Actions:
        """As `Component.handle`."""
        match event:
            case Online(jid=jid):
                self._jid = jid
                self._rooms = {room: _Room() for room in self._rooms}
                return [self._prepare(room) for room in self._rooms]
            case Offline():
                for state in self._rooms.values():
                    state.try_at = None
            case Came(jid=jid):
                return self._came(bare(jid))
            case Finished(effect=Prepare(room=room), result=result):
                return self._prepared(room, result, now)
            case Finished(effect=Affiliate() as effect, result=result):
                self._affiliated(effect, result)
            case Tick():
                due = [
                    room for room, one in self._rooms.items() if one.try_at is not None and one.try_at <= now
                ]
                return [self._prepare(room) for room in due]
        return []

    def wakeup(self) -> float | None:
        """As `Component.wakeup`."""
        return min((one.try_at for one in self._rooms.values() if one.try_at is not None), default=None)

    def _prepare(self, room: str) -> Perform:
        self._rooms[room].try_at = None
        return Perform(effect=Prepare(room=room, nick=unique_nick(self._jid)))

    def _prepared(self, room: str, result: object, now: float) -> Actions:
        state = self._rooms[room]
        if not isinstance(result, dict):
            state.try_at = now + 1 + full_jitter(state.failures, LONGEST_WAIT, self._random)
            state.failures += 1
            self._complain(room, result, again=state.failures > 1)
            return []
        state.affiliated, state.failures = result, 0
        named = [*self._allow.accounts, *self._members.accounts]
        return [action for jid in dict.fromkeys([*result, *named]) for action in self._settle(room, jid)]

    def _complain(self, room: str, result: object, *, again: bool) -> None:
        condition = result.condition if isinstance(result, RoomRefused) else ""
        quiet = condition == "item-not-found" and not again  # another instance makes it just now
        advice = {
            "forbidden": ": somebody else owns it. Destroy it, or take another HB_CHAT_ROOM; if this is not the job "
            "manager, set HB_CHAT_OWNER to the job manager's Jabber ID",
            "service-unavailable": ": is HB_CHAT_SERVER a chat room service?",
        }.get(condition, "")
        rate_limited(
            log,
            ("keeper", room, quiet),
            logging.DEBUG if quiet else logging.WARNING,
            "the chat room %s is not ready: %s%s",
            room,
            result,
            advice,
        )

    def _came(self, jid: str) -> Actions:
        rooms = self._names.all if self._allow.include(jid) else (self._names.main, self._names.of_agent(jid))
        return [action for room in rooms for action in self._settle(room, jid)]

    def _settle(self, room: str, jid: str) -> Actions:
        """Give a bare JID the affiliation that it should have in a room, unless it has it or is about to."""
        state, wanted = self._rooms[room], self._wanted(room, jid)
        if state.affiliated is None or jid in state.under_way or jid == bare(self._jid):
            return []
        if state.affiliated.get(jid, Affiliation.NONE) is wanted or len(state.under_way) >= MOST_UNDER_WAY:
            return []
        state.under_way.add(jid)
        return [Perform(effect=Affiliate(room=room, jid=jid, affiliation=wanted))]

    def _wanted(self, room: str, jid: str) -> Affiliation:
        if self._allow.include(jid):
            return Affiliation.ADMIN
        at_home = room == self._names.of_agent(jid) or (room == self._names.main and self._members.names(jid))
        return Affiliation.MEMBER if at_home and self._members.include(jid) else Affiliation.NONE

    def _affiliated(self, done: Affiliate, result: object) -> None:
        state = self._rooms[done.room]
        state.under_way.discard(done.jid)
        if isinstance(result, Exception):
            text = "%s could not be made %s of the chat room %s: %s"
            rate_limited(
                log,
                ("affiliate", done.room),
                logging.WARNING,
                text,
                done.jid,
                done.affiliation,
                done.room,
                result,
            )
        elif state.affiliated is not None:
            state.affiliated[done.jid] = done.affiliation
