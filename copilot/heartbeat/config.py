"""Settings of the heartbeat utility (report, section 4.5.2)."""

from __future__ import annotations

from typing import ClassVar

from copilot.config.groups import ComponentSettings
from copilot.config.kinds import HOST, JID, LOCAL_PART
from copilot.config.setting import Program, setting, settings


@settings
class HeartbeatConfig(ComponentSettings):
    """What `copilot-heartbeat` reads."""

    program: ClassVar[Program] = Program(name="heartbeat", prefixes=("HB",))

    chat_server: str = setting("HB_CHAT_SERVER", "domain of the XMPP chat room (MUC) server", HOST)
    chat_room: str = setting(
        "HB_CHAT_ROOM",
        "chat room of managers and the monitor; those of agents have -0, -1 … behind this name",
        LOCAL_PART,
    )
    chat_owner: str | None = setting(
        "HB_CHAT_OWNER",
        "Jabber ID of the job manager, who keeps the chat rooms and lets others in",
        JID,
        default=None,
        unset="nobody is asked to be let in",
    )
