"""Carries out what the heartbeat decides: chat rooms by the transport, the state of the machine in a thread."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import Any

from copilot.heartbeat.effects import Affiliate, Announce, Gather, Join, Prepare
from copilot.heartbeat.status import STATUSES, written
from copilot.transport.base import Transport
from copilot.transport.rooms import Affiliation

REQUESTS_AT_ONCE = 8  # to chat-room services

EFFECTS = (Affiliate, Announce, Gather, Join, Prepare)


class HeartbeatService:
    """The performer of `Heartbeat` and `RoomKeeper`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._turns = asyncio.Semaphore(REQUESTS_AT_ONCE)

    def perform(self, effect: Any) -> Awaitable[Any] | None:
        """As `Performer.perform`."""
        match effect:
            case Join(room=room, nick=nick):
                self._transport.join(room, nick)
                return None
            case Announce(to=to):
                self._transport.announce(to)
                return None
            case Gather(status=status):
                return asyncio.to_thread(_status, status)
            case Prepare(room=room, nick=nick):
                return self._prepare(room, nick)
            case Affiliate(room=room, jid=jid, affiliation=affiliation):
                return self._affiliate(room, jid, affiliation)
        raise TypeError(f"the heartbeat has no effect {effect!r}")

    async def _prepare(self, room: str, nick: str) -> dict[str, Affiliation]:
        async with self._turns:
            rooms = self._transport.rooms
            await rooms.prepare(room, nick)
            return {
                jid: affiliation
                for affiliation in (Affiliation.MEMBER, Affiliation.ADMIN)
                for jid in await rooms.affiliated(room, affiliation)
            }

    async def _affiliate(self, room: str, jid: str, affiliation: Affiliation) -> None:
        async with self._turns:
            await self._transport.rooms.affiliate(room, jid, affiliation)


def _status(name: str) -> str:
    return written(STATUSES[name].gather())
