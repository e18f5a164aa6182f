"""Settings of the monitor (report, section 4.4.2)."""

from __future__ import annotations

from typing import ClassVar

from copilot.config.groups import ComponentSettings, MetricsSettings
from copilot.config.kinds import HOST, PORT
from copilot.config.setting import Program, setting, settings


@settings
class MonitorConfig(MetricsSettings, ComponentSettings):
    """What `copilot-monitor` reads."""

    program: ClassVar[Program] = Program(name="monitor", prefixes=("MON",))

    carbon_server: str = setting("CARBON_SERVER", "machine on which Carbon runs", HOST, default="localhost")
    carbon_port: int = setting("CARBON_PORT", "port of Carbon's aggregator", PORT, default="2023")
