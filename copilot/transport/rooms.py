"""Chat rooms (XEP-0045) as their owner and a visitor see them: who may enter, who is in, which rooms there are."""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol
from xml.etree.ElementTree import Element as Xml
from xml.etree.ElementTree import SubElement

from copilot.errors import RoomRefused
from copilot.records import dataclass

MUC = "http://jabber.org/protocol/muc"
_ADMIN, _OWNER, _USER = f"{MUC}#admin", f"{MUC}#owner", f"{MUC}#user"
_ITEMS = "http://jabber.org/protocol/disco#items"
_DATA = "jabber:x:data"
_ROOM_CONFIG = f"{MUC}#roomconfig"

USER = f"{{{_USER}}}x"  # marks presence that a room has sent

# What a room of the heartbeat is, whatever the server's defaults are. Presence of members is told to nobody: with
# that of moderators alone, members know the real JIDs of those who may ask them, and a fleet that comes back costs
# one stanza an agent, not one for each pair.
ROOM_OPTIONS: Mapping[str, str] = {
    "muc#roomconfig_persistentroom": "1",
    "muc#roomconfig_publicroom": "1",
    "muc#roomconfig_membersonly": "1",
    "muc#roomconfig_whois": "anyone",
    "muc#roomconfig_presencebroadcast": "moderator",
    "muc#roomconfig_changesubject": "0",
}


class Affiliation(enum.StrEnum):
    """What a bare JID is to a room (XEP-0045, 5.2)."""

    ADMIN = "admin"
    MEMBER = "member"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Occupant:
    """One who is in a room. `jid` is the real full JID."""

    nick: str
    jid: str | None


class RoomService(Protocol):
    """What can be asked of chat rooms. Everything raises `RoomRefused` with the condition that the service answered."""

    async def found(self, service: str) -> list[str]:
        """Bare JIDs of the public rooms of a service."""
        ...

    async def occupants(self, room: str) -> list[Occupant]:
        """Those who are in a room; only its moderators learn it, and only while they are in."""
        ...

    async def prepare(self, room: str, nick: str) -> None:
        """Make the room if there is none, and make it what `ROOM_OPTIONS` says; only its owner can. Idempotent."""
        ...

    async def affiliated(self, room: str, affiliation: Affiliation) -> list[str]:
        """Bare JIDs with this affiliation."""
        ...

    async def affiliate(self, room: str, jid: str, affiliation: Affiliation) -> None:
        """Give a bare JID this affiliation."""
        ...


Ask = Callable[[str, str, Xml], Awaitable[Xml]]  # type of the iq, to whom, payload → the answer's iq


class XmppRooms:
    """A RoomService over iq stanzas. `enter` and `leave` say presence to a full room JID."""

    def __init__(self, ask: Ask, enter: Callable[[str], None], leave: Callable[[str], None]) -> None:
        self._ask = ask
        self._enter = enter
        self._leave = leave

    async def found(self, service: str) -> list[str]:
        """See `RoomService.found`."""
        answer = await self._ask("get", service, Xml(f"{{{_ITEMS}}}query"))
        return [jid for item in answer.iter(f"{{{_ITEMS}}}item") if "@" in (jid := item.get("jid", ""))]

    async def occupants(self, room: str) -> list[Occupant]:
        """See `RoomService.occupants`. By their roles: Prosody names nobody in answers to service discovery."""
        return [
            Occupant(nick=nick, jid=item.get("jid"))
            for role in ("moderator", "participant")
            for item in await self._listed(room, role=role)
            if (nick := item.get("nick"))
        ]

    async def prepare(self, room: str, nick: str) -> None:
        """See `RoomService.prepare`. A room is made by entering it; one that stays needs nobody inside.

        ejabberd would make one that is configured, too, and then tell the next who enters it that it is new.
        """
        if await self._is_there(room):
            await self._configure(room)
            return
        self._enter(f"{room}/{nick}")
        try:
            await self._configure(room)
        finally:
            self._leave(f"{room}/{nick}")

    async def affiliated(self, room: str, affiliation: Affiliation) -> list[str]:
        """See `RoomService.affiliated`."""
        items = await self._listed(room, affiliation=affiliation.value)
        return [jid for item in items if (jid := item.get("jid"))]

    async def affiliate(self, room: str, jid: str, affiliation: Affiliation) -> None:
        """See `RoomService.affiliate`. One a stanza: Prosody reads no more of them."""
        query = Xml(f"{{{_ADMIN}}}query")
        SubElement(query, f"{{{_ADMIN}}}item", affiliation=affiliation.value, jid=jid)
        await self._ask("set", room, query)

    async def _is_there(self, room: str) -> bool:
        try:
            await self._listed(room, affiliation=Affiliation.MEMBER.value)
        except RoomRefused as refused:
            if refused.condition == "item-not-found":
                return False
            raise
        return True

    async def _listed(self, room: str, **which: str) -> list[Xml]:
        query = Xml(f"{{{_ADMIN}}}query")
        SubElement(query, f"{{{_ADMIN}}}item", which)
        return list((await self._ask("get", room, query)).iter(f"{{{_ADMIN}}}item"))

    async def _configure(self, room: str) -> None:
        query = Xml(f"{{{_OWNER}}}query")
        form = SubElement(query, f"{{{_DATA}}}x", type="submit")
        for name, value in {"FORM_TYPE": _ROOM_CONFIG, **ROOM_OPTIONS}.items():
            field = SubElement(form, f"{{{_DATA}}}field", var=name)
            SubElement(field, f"{{{_DATA}}}value").text = value
        await self._ask("set", room, query)
