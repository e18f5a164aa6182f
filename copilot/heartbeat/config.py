"""Settings of the heartbeat utility (report, section 4.5.2)."""

from __future__ import annotations

from typing import ClassVar

from copilot.config.groups import ROOM_NAME, ROOM_OWNER, ROOM_SERVER, ComponentSettings
from copilot.config.kinds import HOST, JID, LOCAL_PART
from copilot.config.setting import Program, setting, settings


@settings
class HeartbeatConfig(ComponentSettings):
    """What `copilot-heartbeat` reads."""

    program: ClassVar[Program] = Program(name="heartbeat", prefixes=("HB",))

    chat_server: str = setting("HB_CHAT_SERVER", ROOM_SERVER, HOST)
    chat_room: str = setting("HB_CHAT_ROOM", ROOM_NAME, LOCAL_PART)
    chat_owner: str | None = setting(
        "HB_CHAT_OWNER",
        ROOM_OWNER,
        JID,
        default=None,
        unset="nobody is asked to be let in",
    )
