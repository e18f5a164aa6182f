"""Settings of the monitor (report, section 4.4.2)."""

from __future__ import annotations

from typing import ClassVar

from copilot.config.groups import ComponentSettings, QueuePlaceSettings
from copilot.config.kinds import HOST, PORT
from copilot.config.setting import Program, setting, settings


@settings
class MonitorConfig(QueuePlaceSettings, ComponentSettings):
    """What `copilot-monitor` reads. Where the queue is stands under `JM_` keys if there are no `MON_` ones; account and resource
    never do: two programs of one full JID would throw each other out."""

    program: ClassVar[Program] = Program(name="monitor", prefixes=("MON",), shared_with=("JM",))

    carbon_server: str = setting("CARBON_SERVER", "machine on which Carbon runs", HOST, default="localhost")
    carbon_port: int = setting("CARBON_PORT", "port of Carbon's aggregator", PORT, default="2023")

    redis_server: str | None = setting(
        "*_REDIS_SERVER",
        "machine on which Redis runs, for the dashboard",
        HOST,
        default=None,
        unset="without *_REDIS_SOCKET and *_REDIS_SENTINELS the dashboard shows nothing of the queue",
        shared=True,
    )

    @property
    def sees_queue(self) -> bool:
        """Whether it is known where the queue is."""
        return any((self.redis_server, self.redis_socket, self.redis_sentinels))
