"""What private servers have in common: a directory of their own, a port that stays, and one child process."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from copilot.local.accounts import checked_domain
from copilot.local.ports import remembered_port
from copilot.local.process import unprivileged_user
from copilot.local.service import Service

LOOPBACK = "127.0.0.1"
SERVICES = ("jm", "monitor", "heartbeat")  # accounts that speak for a whole fleet, or to it


class PrivateServer(Service):
    """One server and its directory. Any number of objects may stand for it; the one that started it stops it."""

    def __init__(
        self, directory: Path, *, listen: str = LOOPBACK, port: int = 0, user: str | None = None
    ) -> None:
        """`port` 0: a free one, kept for ever; `user` is for root alone (default: see `unprivileged_user`)."""
        super().__init__(type(self).__name__)
        self.directory = directory.absolute()
        self._listen = listen
        self._wanted_port = port
        self._user = user or unprivileged_user()

    @property
    def port(self) -> int:
        """TCP port for clients."""
        return remembered_port(self.directory / "port", self._listen, self._wanted_port)


class XmppServer(PrivateServer):
    """A private server of one XMPP domain, with TLS."""

    def __init__(
        self,
        directory: Path,
        *,
        domain: str = "copilot.internal",
        listen: str = LOOPBACK,
        port: int = 0,
        user: str | None = None,
        admins: Sequence[str] = (),
        services: Sequence[str] = SERVICES,
    ) -> None:
        """As `PrivateServer`; `admins` are bare JIDs that may manage accounts by ad-hoc commands (XEP-0133), `services` are
        accounts of this domain that may send as much as they like."""
        super().__init__(directory, listen=listen, port=port, user=user)
        self.domain = checked_domain(domain)
        self._admins = tuple(admins)
        self._services = tuple(f"{name}@{self.domain}" for name in services)

    @property
    def ca_file(self) -> Path:
        """The certificate authority that clients must trust; there after the first start."""
        return self.directory / "tls" / "ca.pem"
