"""Chat rooms of the pretend server: members-only and non-anonymous, as `ROOM_OPTIONS` has them on a real one."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from dataclasses import field

from copilot.errors import RoomRefused
from copilot.protocol.envelope import bare
from copilot.records import dataclass
from copilot.transport.rooms import Affiliation, Occupant


@dataclass(slots=True, kw_only=True)
class MemoryRoom:
    """One room. `owner` is the bare JID of who made it."""

    jid: str
    owner: str
    affiliations: dict[str, Affiliation] = field(default_factory=dict)  # by bare JID
    occupants: dict[str, str] = field(default_factory=dict)  # nick → full JID

    def shown(self, jid: str) -> bool:
        """Whether the others are told of the presence of this full JID: it is a moderator's."""
        return bare(jid) == self.owner or self.affiliations.get(bare(jid)) is Affiliation.ADMIN

    def refusal(self, jid: str, nick: str) -> str | None:
        """The condition of the error that a full JID gets who wants to enter; None: it may."""
        if bare(jid) != self.owner and bare(jid) not in self.affiliations:
            return "registration-required"
        return "conflict" if self.occupants.get(nick, jid) != jid else None


class MemoryRooms:
    """A RoomService for the session of one full JID. `remove` throws an account out of a room."""

    def __init__(
        self,
        rooms: MutableMapping[str, MemoryRoom],
        jid: str,
        remove: Callable[[MemoryRoom, str], None],
    ) -> None:
        self._rooms = rooms
        self._jid = jid
        self._remove = remove

    async def found(self, service: str) -> list[str]:
        """See `RoomService.found`."""
        return [room for room in self._rooms if room.partition("@")[2] == service]

    async def occupants(self, room: str) -> list[Occupant]:
        """See `RoomService.occupants`."""
        found = self._room(room)
        if self._jid not in found.occupants.values() or not found.shown(self._jid):
            raise _refused(room, "forbidden")
        return [Occupant(nick=nick, jid=jid) for nick, jid in found.occupants.items()]

    async def prepare(self, room: str, nick: str) -> None:  # noqa: ARG002  # as the port has it
        """See `RoomService.prepare`."""
        self._rooms.setdefault(room, MemoryRoom(jid=room, owner=bare(self._jid)))
        self._own(room)

    async def affiliated(self, room: str, affiliation: Affiliation) -> list[str]:
        """See `RoomService.affiliated`."""
        return [jid for jid, what in self._own(room).affiliations.items() if what is affiliation]

    async def affiliate(self, room: str, jid: str, affiliation: Affiliation) -> None:
        """See `RoomService.affiliate`."""
        found = self._own(room)
        found.affiliations[jid] = affiliation
        if affiliation is Affiliation.NONE:
            del found.affiliations[jid]
            self._remove(found, jid)

    def _room(self, room: str) -> MemoryRoom:
        if room not in self._rooms:
            raise _refused(room, "item-not-found")
        return self._rooms[room]

    def _own(self, room: str) -> MemoryRoom:
        found = self._room(room)
        if found.owner != bare(self._jid):
            raise _refused(room, "forbidden")
        return found


def _refused(room: str, condition: str) -> RoomRefused:
    return RoomRefused(condition, f"{room} answered {condition}")
