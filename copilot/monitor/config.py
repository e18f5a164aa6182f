"""Settings of the monitor (report, section 4.4.2)."""

from __future__ import annotations

from typing import ClassVar

from copilot.config.groups import ComponentSettings
from copilot.config.kinds import ADDRESS_OR_OFF, HOST, HOSTS, PORT, Address
from copilot.config.setting import Program, setting, settings


@settings
class MonitorConfig(ComponentSettings):
    """What `copilot-monitor` reads."""

    program: ClassVar[Program] = Program(name="monitor", prefixes=("MON",))

    carbon_server: str = setting("CARBON_SERVER", "machine on which Carbon runs", HOST, default="localhost")
    carbon_port: int = setting("CARBON_PORT", "port of Carbon's aggregator", PORT, default="2023")

    dashboard_listen: Address | None = setting(
        "MON_DASHBOARD_LISTEN",
        "where the dashboard listens for browsers; everybody who can connect can read it",
        ADDRESS_OR_OFF,
        default="127.0.0.1:8095",
    )
    dashboard_hosts: tuple[str, ...] = setting(
        "MON_DASHBOARD_HOSTS",
        "names under which browsers may ask for the dashboard, besides localhost, this machine's name and its addresses: "
        "that of a reverse proxy, say",
        HOSTS,
        default=None,
        unset="none",
        derive=lambda _: (),
    )
