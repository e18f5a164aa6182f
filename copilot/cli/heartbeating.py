"""Adds to a daemon what answers the heartbeat, and to the job manager what keeps the chat rooms."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from copilot.config.groups import RoomSettings
from copilot.heartbeat.keeper import RoomKeeper
from copilot.heartbeat.logic import Heartbeat, HeartbeatSettings
from copilot.heartbeat.rooms import Rooms
from copilot.heartbeat.service import EFFECTS, HeartbeatService
from copilot.protocol.envelope import bare
from copilot.protocol.people import Includes, People
from copilot.runtime.component import Component, Performer
from copilot.runtime.compose import Parts, Performers
from copilot.transport.base import Transport


def with_heartbeat(
    component: Component,
    config: RoomSettings,
    transport: Transport,
    askers: Includes,
    *,
    performer: Performer | None = None,
    agent: bool = False,
    members: Sequence[str] | None = None,
) -> tuple[Component, Performer]:
    """The component with a heartbeat, and the performer for both; `performer` carries out the effects of the first.

    `askers` are answered. `agent`: it sits in a shard, not in the main room. `members` are those whom a job manager lets in; None for all
    others, who keep no rooms. Without chat rooms in the settings only direct messages are answered.
    """
    rooms = _rooms(config)
    place: Callable[[str], str] | None = None
    if rooms is not None:
        main = rooms.main
        place = rooms.of_agent if agent else lambda _: main
    keepers: list[Component] = []
    if rooms is not None and members is not None and bare(config.room_owner) == bare(config.jid):
        keepers = [RoomKeeper(rooms, members=People.of(*members), allow=askers, random=random.random)]
    settings = HeartbeatSettings(room=place, owner=config.room_owner, allow=askers, keeps=bool(keepers))
    parts = [component, Heartbeat(settings, random=random.random), *keepers]
    return Parts(parts), Performers(dict.fromkeys(EFFECTS, HeartbeatService(transport)), performer)


def _rooms(config: RoomSettings) -> Rooms | None:
    if config.hb_chat_room is None or config.hb_chat_server is None:
        return None
    return Rooms(name=config.hb_chat_room, server=config.hb_chat_server, shards=config.hb_chat_shards)
