"""Settings of the key manager."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from copilot.config.groups import LimitSettings, MetricsSettings, QueuePlaceSettings, ServiceSettings
from copilot.config.kinds import HOST, PATH, PEOPLE, READABLE_FILE, duration
from copilot.config.setting import Program, setting, settings


@settings
class KeyManagerConfig(MetricsSettings, QueuePlaceSettings, LimitSettings, ServiceSettings):
    """What `copilot-keymanager` reads. Where the queue is stands under `JM_` keys if there are no `KM_` ones."""

    program: ClassVar[Program] = Program(name="keymanager", prefixes=("KM",), shared_with=("JM",))

    state_dir: Path = setting(
        "*_STATE_DIR", "directory for what must outlive a restart", PATH, default="/var/lib/copilot"
    )
    allow: tuple[str, ...] | None = setting(
        "*_ALLOW",
        "who gets a ticket, besides those with an account record in the queue",
        PEOPLE,
        default=None,
        unset="nobody else; without a queue all accounts of KM_JABBER_DOMAIN",
        reload=True,
    )
    credentials_file: Path | None = setting(
        "*_CREDENTIALS_FILE",
        "what accounts have to show for a ticket: lines of a Jabber ID, or a domain, and what is to be shown",
        READABLE_FILE,
        default=None,
        unset="nobody has to show anything but his account",
    )
    ticket_validity: float = setting(
        "*_TICKET_VALIDITY",
        "how long a ticket is good; programs of 2011 ask for one only once",
        duration(60),
        default="24h",
    )
    redis_server: str | None = setting(
        "*_REDIS_SERVER",
        "machine on which Redis runs, for the account records",
        HOST,
        default=None,
        unset="without *_REDIS_SOCKET and *_REDIS_SENTINELS only KM_ALLOW says who gets a ticket",
        shared=True,
    )

    @property
    def own_directory(self) -> Path:
        """The state directory."""
        return self.state_dir

    @property
    def sees_queue(self) -> bool:
        """Whether it is known where the account records are."""
        return any((self.redis_server, self.redis_socket, self.redis_sentinels))
