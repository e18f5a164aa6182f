"""What an XMPP session needs to know; checked when it is made, so that a mistake shows at the start."""

from __future__ import annotations

import functools
import ipaddress
import re
import ssl
from collections.abc import Callable
from dataclasses import field
from pathlib import Path

import copilot
from copilot.errors import ConfigError
from copilot.protocol.people import Includes, People
from copilot.records import dataclass
from copilot.transport.stanza import MAX_STANZA_BYTES

_BARE_JID = re.compile(r"[^\s@/\"&'<>:]+@[^\s@/\"&'<>]+")  # RFC 7622, 3.3: not in a local part


@dataclass(frozen=True, slots=True, kw_only=True)
class XmppSettings:
    """One account on one server. Times in seconds. Raises ConfigError for what cannot work or is not safe."""

    jid: str  # bare
    password: str = field(repr=False)
    resource: str = ""  # unique for each program; empty: the server makes one up at each log-in
    host: str = ""  # empty: looked up from the JID's domain (SRV records, RFC 6120, 3.2.1)
    port: int = 5222
    tls: str = "required"  # or "off": for a server on this machine only
    ca_file: Path | None = None  # the only authority to trust, PEM; None: those that the system trusts
    login_timeout: float = (
        120.0  # from the first packet to the session; who gives up early waits for his turn anew
    )
    ping_interval: float = 60.0  # XEP-0199; finds dead links
    ping_timeout: float = 20.0
    max_stanza_bytes: int = MAX_STANZA_BYTES
    buffer_bytes: int = 4 * 1024 * 1024  # waiting for the socket; with more `send` says False
    inbox_events: int = 10_000  # waiting for `next_event`; with more we stop reading and the senders wait
    priority: int = 0  # below 0: no message to the bare JID comes here (RFC 6121, 8.5.2.1.1)
    identity: str = "bot"  # XEP-0030, of category `client`
    name: str = "Co-Pilot"  # XEP-0030 and XEP-0092
    version: str = copilot.__version__
    features: tuple[str, ...] = ()  # words of protocol page, section 4, announced by XEP-0030
    allow: Includes = People.of()  # those who may ask for our status (XEP-0050)

    def __post_init__(self) -> None:
        if not _BARE_JID.fullmatch(self.jid):
            raise ConfigError(f"XMPP account {self.jid!r}: expected name@domain, without a resource")
        if not self.password:
            raise ConfigError(f"XMPP account {self.jid}: there is no password; set one")
        if not 0 < self.port < 65536:
            raise ConfigError(f"XMPP port {self.port}: expected 1 to 65535; 5222 is the usual one")
        if self.tls not in ("required", "off"):
            raise ConfigError(f"XMPP tls {self.tls!r}: expected required or off")
        if self.tls == "off" and not _is_loopback(self.host):
            raise ConfigError(
                f"XMPP tls off for the server {self.host or self.jid}: allowed only on this machine "
                "(127.0.0.1, ::1 or localhost). Set tls to required, and the CA file if the server has its own."
            )

    @property
    def domain(self) -> str:
        """The domain of the account, whose name the server's certificate must bear."""
        return self.jid.partition("@")[2]

    @property
    def address(self) -> str:
        """Where we connect to, for people."""
        return f"{self.host or self.domain}:{self.port}"


@functools.lru_cache
def tls_context(ca_file: Path | None) -> ssl.SSLContext:
    """A context that checks certificate and host name; one for all sessions with the same CA file (0.9 MB each).

    Raises ConfigError if the file cannot be read or holds no certificate.
    """
    return _read_context(ca_file)


def trusting_anew(ca_file: Path | None) -> Callable[[], None]:
    """What has sessions that begin from now on trust what is in the CA file then. Raises ConfigError as `tls_context`."""
    _read_context(ca_file)
    return tls_context.cache_clear


def _read_context(ca_file: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as cause:
        raise ConfigError(
            f"The CA file {ca_file} cannot be used: {cause}. Expected PEM certificates that this user can read."
        ) from cause


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"  # RFC 6761, 6.3: never leaves the machine
