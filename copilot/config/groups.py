"""Groups of settings that several components share (report, sections 4.2.2, 4.3.2, 4.4.2 and 4.5.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from copilot.config.kinds import (
    ADDRESS,
    ADDRESSES,
    FLAG,
    HOST,
    JID,
    LOCAL_PART,
    LOG_FORMAT,
    NAME,
    PATH,
    PEOPLE,
    PORT,
    READABLE_FILE,
    RESOURCE,
    RETENTION,
    SHARE,
    SUBJECTS,
    SUITES,
    TEXT,
    TLS,
    URL,
    Address,
    LogFormat,
    Tls,
    is_loopback,
    whole,
)
from copilot.config.setting import Settings, setting, settings

ROOM_SERVER = "domain of the XMPP chat room (MUC) server"
ROOM_NAME = "chat room of managers and the monitor; those of agents have -0, -1 … behind this name"
ROOM_OWNER = "Jabber ID of the job manager, who keeps the chat rooms and lets others in"
AT_METRICS = "at /metrics, and with it everybody who can connect; 127.0.0.1:PORT keeps them on this machine"


@settings
class LoggerSettings(Settings):
    """Where the log goes."""

    logger_config_file: Path | None = setting(
        "*_LOGGER_CONFIG_FILE",
        "log file definition in Log::Dispatch form, like those in /etc/copilot/loggerConf",
        PATH,
        default=None,
        unset="lines on stderr in *_LOG_FORMAT",
        reload=True,
    )
    log_format: LogFormat = setting(
        "*_LOG_FORMAT",
        "how log lines look without such a file: as in the report, or one JSON object each",
        LOG_FORMAT,
        default="report",
        reload=True,
    )


@settings
class MetricsSettings(Settings):
    """Who may read how a program fares."""

    metrics_listen: Address | None = setting(
        "*_METRICS_LISTEN",
        f"where Prometheus can read the numbers of this instance, {AT_METRICS}",
        ADDRESS,
        default=None,
        unset="no metrics",
        own=True,
    )


@settings
class ComponentSettings(LoggerSettings):
    """What every component needs that logs in to the XMPP server."""

    jabber_server: str = setting("*_JABBER_SERVER", "address of the XMPP server", HOST)
    jabber_domain: str = setting("*_JABBER_DOMAIN", "domain that the XMPP server serves", HOST)
    jabber_id: str = setting("*_JABBER_ID", "account of this component on the XMPP server", LOCAL_PART)
    jabber_password: str = setting("*_JABBER_PASSWORD", "password of that account", TEXT, secret=True)
    jabber_resource: str | None = setting(
        "*_JABBER_RESOURCE",
        "resource of this instance; no two running ones may share it",
        RESOURCE,
        default=None,
        unset="a unique one, kept in the work or state directory",
        own=True,
    )
    jabber_port: int = setting("*_JABBER_PORT", "port of the XMPP server", PORT, default="5222")
    jabber_tls: Tls = setting(
        "*_JABBER_TLS", "whether to insist on TLS; off only for a server on loopback", TLS, default="required"
    )
    jabber_ca_file: Path | None = setting(
        "*_JABBER_CA_FILE",
        "certificates (PEM) that alone may vouch for the XMPP server",
        READABLE_FILE,
        default=None,
        unset="those of the system",
    )

    @property
    def jid(self) -> str:
        """The bare JID of this component."""
        return f"{self.jabber_id}@{self.jabber_domain}"

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().check(values)
        server = values.get("jabber_server")
        if values.get("jabber_tls") is Tls.OFF and server is not None and not is_loopback(server):
            text = "expected 'required': TLS may be off only for a server on loopback (localhost, 127.0.0.1)"
            yield "jabber_tls", f"{text}, and {cls.key('jabber_server')} is {server}"


@settings
class SecureSettings(ComponentSettings):
    """Protection from end to end between components, on top of TLS to the XMPP server."""

    secure_mode: bool = setting(
        "*_SECURE_MODE",
        "whether everything that components say to each other is sealed from end to end, and nothing else is heard",
        FLAG,
        default="0",
    )
    secure_suites: tuple[str, ...] = setting(
        "*_SECURE_SUITES",
        "how messages are sealed; v1 is the way of 2011, and is for programs that know no better",
        SUITES,
        default="v2",
    )
    key_file: Path = setting(
        "*_KEY_FILE",
        "private keys of this component; the same file for all instances of a service, which make it on the first start",
        PATH,
        default=None,
        unset="ACCOUNT.key in the work or state directory (submitters: in ~/.copilot)",
        own=True,
        derive=lambda config: config.own_directory / f"{config.jabber_id}.key",
    )
    public_keys_file: Path = setting(
        "*_PUBLIC_KEYS_FILE",
        "public keys of services: a line with the Jabber ID of one, then its keys in PEM form, and so on",
        PATH,
        default=None,
        unset="services.pub in the work or state directory (submitters: in ~/.copilot)",
        derive=lambda config: config.own_directory / "services.pub",
    )

    secure_v1_acks: bool = setting(
        "*_SECURE_V1_ACKS",
        "whether programs of 2011 are sent acknowledgements in suite v1; the public agent of 2011 ends on the first one",
        FLAG,
        default="0",
    )
    km_jabber_address: str | None = setting(
        "KM_JABBER_ADDRESS",
        "Jabber ID of the key manager, whose tickets are asked for in suite v1",
        JID,
        default=None,
        unset="no tickets",
    )

    @property
    def own_directory(self) -> Path:
        """The work or state directory: each kind of component says which it has."""
        raise NotImplementedError


@settings
class RoomSettings(SecureSettings):
    """A component that can be asked how it fares, and by whom."""

    hb_chat_server: str | None = setting(
        "HB_CHAT_SERVER",
        ROOM_SERVER,
        HOST,
        default=None,
        unset="no heartbeat",
    )
    hb_chat_room: str | None = setting(
        "HB_CHAT_ROOM",
        ROOM_NAME,
        LOCAL_PART,
        default=None,
        unset="no heartbeat",
    )
    hb_chat_shards: int = setting(
        "HB_CHAT_SHARDS",
        "over how many chat rooms agents are spread, about 200 in each; the same for all components",
        whole(1, 1000),
        default="1",
    )
    hb_chat_owner: str | None = setting(
        "HB_CHAT_OWNER",
        ROOM_OWNER,
        JID,
        default=None,
        unset="JM_JABBER_ADDRESS for agents, else the component's own",
    )
    hb_allow: tuple[str, ...] | None = setting(
        "HB_ALLOW",
        "who is told how the component fares: by copilot-heartbeat, under whose account it logs in, and by the command "
        "`status` of XMPP clients",
        PEOPLE,
        default=None,
        unset="HB_CHAT_OWNER",
        reload=True,
    )

    @property
    def room_owner(self) -> str:
        """The bare JID of who keeps the chat rooms."""
        return self.hb_chat_owner or self.jid

    @property
    def askers(self) -> tuple[str, ...]:
        """Who is told how the component fares: bare JIDs and domains."""
        return self.hb_allow or (self.room_owner,)


@settings
class LimitSettings(RoomSettings):
    """A component that everybody may speak to, and how much."""

    rate_limit: int = setting(
        "*_RATE_LIMIT",
        "how many messages a second are read of one account in the long run; agents that share an account share this",
        whole(1, 1_000_000),
        default="500",
        reload=True,
    )
    rate_burst: int = setting(
        "*_RATE_BURST",
        "how many messages at once are read of an account that was silent",
        whole(10, 1_000_000),
        default="1000",
        reload=True,
    )


@settings
class ServiceSettings(RoomSettings):
    """A component that reports to the monitor and can be asked how it fares."""

    mon_jabber_address: str | None = setting(
        "MON_JABBER_ADDRESS", "Jabber ID of the monitor", JID, default=None, unset="no reports"
    )


@settings
class QueuePlaceSettings(Settings):
    """Where the queue is, for who needs it not or only looks at it."""

    redis_server: str | None = setting(
        "*_REDIS_SERVER",
        "machine on which Redis runs",
        HOST,
        default=None,
        unset="required without *_REDIS_SOCKET or *_REDIS_SENTINELS",
        shared=True,
    )
    redis_port: int = setting("*_REDIS_PORT", "port of Redis", PORT, default="6379", shared=True)
    redis_socket: Path | None = setting(
        "*_REDIS_SOCKET",
        "Unix socket of Redis, instead of server and port",
        PATH,
        default=None,
        unset="none",
        shared=True,
    )
    redis_user: str | None = setting(
        "*_REDIS_USER", "user of Redis (ACL)", NAME, default=None, unset="its default user", shared=True
    )
    redis_password: str | None = setting(
        "*_REDIS_PASSWORD", "password of Redis", TEXT, default=None, unset="none", secret=True, shared=True
    )
    redis_sentinels: tuple[Address, ...] | None = setting(
        "*_REDIS_SENTINELS",
        "sentinels that know which Redis is the primary, instead of server, port and socket",
        ADDRESSES,
        default=None,
        unset="none",
        shared=True,
    )
    redis_sentinel_service: str = setting(
        "*_REDIS_SENTINEL_SERVICE",
        "name under which the sentinels know the servers of the queue",
        NAME,
        default="copilot",
        shared=True,
    )
    redis_sentinel_password: str | None = setting(
        "*_REDIS_SENTINEL_PASSWORD",
        "password of the sentinels themselves",
        TEXT,
        default=None,
        unset="none",
        secret=True,
        shared=True,
    )


@settings
class QueueSettings(QueuePlaceSettings):
    """The queue, for who changes it."""

    redis_replicas: int = setting(
        "*_REDIS_REPLICAS",
        "how many replicas of Redis must have a change before it is acknowledged",
        whole(0, 100),
        default="0",
    )
    queue_high_water: float = setting(
        "*_QUEUE_HIGH_WATER",
        "share of the memory of Redis (its maxmemory) above which no new jobs are taken",
        SHARE,
        default="0.8",
        reload=True,
    )

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().check(values)
        places = ("redis_server", "redis_socket", "redis_sentinels")
        if all(name in values and values[name] is None for name in places):
            others = " or ".join(map(cls.key, places[1:]))
            yield "redis_server", f"missing; expected {HOST.expects}, or {others} instead"


@settings
class StagingSettings(Settings):
    """Where input and output files lie: on a Chirp server, or on the file server that `*_FILES_URL` names."""

    chirp_server: str | None = setting(
        "*_CHIRP_SERVER",
        "machine on which Chirp runs, as agents reach it",
        HOST,
        default=None,
        unset="required without *_FILES_URL or queue-only mode",
    )
    chirp_port: int = setting("*_CHIRP_PORT", "port of Chirp", PORT, default="9094")
    chirp_work_dir: Path | None = setting(
        "*_CHIRP_WORK_DIR",
        "directory that Chirp exports, if it is on this machine",
        PATH,
        default=None,
        unset="inputs and outputs go to that machine and come from it by Chirp",
    )
    chirp_agents: tuple[str, ...] = setting(
        "*_CHIRP_AGENTS",
        "as whom Chirp knows agents: who may read inputs, and write the output of an attempt",
        SUBJECTS,
        default="hostname:* address:* unix:*",
    )
    chirp_ticket_file: Path | None = setting(
        "*_CHIRP_TICKET_FILE",
        "Chirp ticket (an RSA key in PEM form) to log in with",
        READABLE_FILE,
        default=None,
        unset="log in by Unix user, host name or address",
    )
    files_url: str | None = setting(
        "*_FILES_URL",
        "address of the file server, as agents reach it",
        URL,
        default=None,
        unset="files go by Chirp",
    )
    files_dir: Path | None = setting(
        "*_FILES_DIR",
        "directory that the file server exports",
        PATH,
        default=None,
        unset="*_CHIRP_WORK_DIR",
        derive=lambda config: config.chirp_work_dir,
    )

    done_job_dir: Path | None = setting(
        "*_DONE_JOB_DIR",
        "directory in which the results of done jobs are saved",
        PATH,
        default=None,
        unset="required without queue-only mode",
    )

    @classmethod
    def missing_directory(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        """The fault of a file server without a directory."""
        if all(name in values and values[name] is None for name in ("files_dir", "chirp_work_dir")):
            yield "files_dir", f"missing; expected {PATH.expects}: the directory that the file server exports"


@settings
class RetentionSettings(Settings):
    """How long is kept what nobody works on any more."""

    keep_jobs: float = setting(
        "*_KEEP_JOBS",
        "how long `copilot clean` keeps records and inputs of jobs that are over",
        RETENTION,
        default="30d",
    )


@settings
class FileServerSettings(StagingSettings):
    """The file server and the secret under which URLs and claims are signed."""

    files_listen: Address = setting(
        "*_FILES_LISTEN", "where copilot-fileserver listens", ADDRESS, default="127.0.0.1:8094"
    )
    files_connections: int = setting(
        "*_FILES_CONNECTIONS",
        "how many connections copilot-fileserver holds, half of them of one address; with TLS about 80 kB of memory each, and "
        "an agent keeps one for a minute",
        whole(16, 100_000),
        default="4096",
    )
    files_metrics_listen: Address | None = setting(
        "*_FILES_METRICS_LISTEN",
        f"where Prometheus can read the numbers of copilot-fileserver, {AT_METRICS}",
        ADDRESS,
        default=None,
        unset="no metrics",
    )
    files_cert_file: Path | None = setting(
        "*_FILES_CERT_FILE",
        "certificate (PEM) of the file server",
        PATH,
        default=None,
        unset="no TLS",
        reload=True,
    )
    files_key_file: Path | None = setting(
        "*_FILES_KEY_FILE",
        "private key (PEM) of that certificate",
        PATH,
        default=None,
        unset="no TLS",
        reload=True,
    )
    state_dir: Path = setting(
        "*_STATE_DIR", "directory for what must outlive a restart", PATH, default="/var/lib/copilot"
    )
    secret_file: Path = setting(
        "*_SECRET_FILE",
        "secret that signs claims and URLs; the same for all instances, made on the first start",
        PATH,
        default=None,
        unset="claim.secret in *_STATE_DIR",
        derive=lambda config: config.state_dir / "claim.secret",
    )

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().check(values)
        for name, other in (("files_cert_file", "files_key_file"), ("files_key_file", "files_cert_file")):
            if name in values and values[name] is None and values.get(other) is not None:
                yield name, f"missing; expected {PATH.expects}, because {cls.key(other)} is set"
