"""Settings of the monitor (report, section 4.4.2)."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from copilot.config.groups import LimitSettings, MetricsSettings, QueuePlaceSettings
from copilot.config.kinds import (
    ADDRESS_OR_OFF,
    FLAG,
    HOST,
    HOSTS,
    PATH,
    PEOPLE,
    PORT,
    Address,
    duration,
    whole,
)
from copilot.config.setting import Program, setting, settings

AGGREGATOR = 2023  # the port on which Carbon's aggregator listens by default
REPEAT = 60.0  # s


@settings
class MonitorConfig(MetricsSettings, QueuePlaceSettings, LimitSettings):
    """What `copilot-monitor` reads. Where the queue is stands under `JM_` keys if there are no `MON_` ones; account and resource
    never do: two programs of one full JID would throw each other out."""

    program: ClassVar[Program] = Program(name="monitor", prefixes=("MON",), shared_with=("JM",))

    state_dir: Path = setting(
        "*_STATE_DIR", "directory for what must outlive a restart", PATH, default="/var/lib/copilot"
    )

    carbon_server: str | None = setting(
        "CARBON_SERVER",
        "machine on which Carbon runs",
        HOST,
        default=None,
        unset="nothing is sent to Carbon",
    )
    carbon_port: int = setting(
        "CARBON_PORT", "port of Carbon, or of its aggregator, which is usually 2023", PORT, default="2003"
    )
    carbon_buffer: int = setting(
        "CARBON_BUFFER",
        "how many points may wait while Carbon is away; about 150 bytes of memory each",
        whole(1, 10_000_000),
        default="200000",
    )
    carbon_repeat: float = setting(
        "CARBON_REPEAT",
        "how much of what was sent last is sent again when Carbon has been away, because it may have been lost there; an "
        "aggregator would add it up twice",
        duration(0),
        default=None,
        unset=f"{REPEAT:.0f}, or 0 if the port is {AGGREGATOR}",
        derive=lambda config: 0.0 if config.carbon_port == AGGREGATOR else REPEAT,
    )
    sample_interval: int = setting(
        "*_SAMPLE_INTERVAL",
        "seconds from sample to sample; Carbon's storage schema must have the same",
        whole(1, 3600),
        default="10",
    )
    max_paths: int = setting(
        "*_MAX_PATHS",
        "how many different metrics are forwarded, and a tenth of it for each account",
        whole(100, 10_000_000),
        default="100000",
    )
    allow: tuple[str, ...] = setting(
        "*_ALLOW",
        "who may report",
        PEOPLE,
        default=None,
        unset="all accounts of MON_JABBER_DOMAIN",
        derive=lambda config: (config.jabber_domain,),
        reload=True,
    )
    managers: tuple[str, ...] | None = setting(
        "*_MANAGERS",
        "who may report as a job manager or storage manager",
        PEOPLE,
        default=None,
        unset="a manager's name belongs to the account that uses it first",
    )

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

    dashboard_actions: bool = setting(
        "MON_DASHBOARD_ACTIONS",
        "whether people with accounts can log in to the dashboard, and cancel, hold, release and retry jobs and drain agents there; without "
        "TLS on loopback only",
        FLAG,
        default="0",
    )
    dashboard_cert_file: Path | None = setting(
        "MON_DASHBOARD_CERT_FILE",
        "certificate of the dashboard with its chain (PEM); then browsers come by https",
        PATH,
        default=None,
        unset="plain http",
        reload=True,
    )
    dashboard_key_file: Path | None = setting(
        "MON_DASHBOARD_KEY_FILE",
        "private key of that certificate (PEM)",
        PATH,
        default=None,
        unset="it is in the same file",
        reload=True,
    )

    redis_server: str | None = setting(
        "*_REDIS_SERVER",
        "machine on which Redis runs, for the dashboard",
        HOST,
        default=None,
        unset="without *_REDIS_SOCKET and *_REDIS_SENTINELS the dashboard shows nothing of the queue",
        shared=True,
    )

    @property
    def own_directory(self) -> Path:
        """The state directory."""
        return self.state_dir

    @property
    def sees_queue(self) -> bool:
        """Whether it is known where the queue is."""
        return any((self.redis_server, self.redis_socket, self.redis_sentinels))
