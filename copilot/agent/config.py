"""Settings of the agent (report, section 4.3.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from copilot.agent.announce import too_many, why_not
from copilot.agent.drain import LAST_STEPS
from copilot.agent.isolation.base import Network, Pull, ToolWish
from copilot.agent.limits.keeping import LimitsWish
from copilot.config.groups import MetricsSettings, ServiceSettings
from copilot.config.kinds import (
    AGENT_CLASS,
    CERTIFICATE,
    COMMAND,
    FLAG,
    GPUS,
    HOSTS,
    JID,
    NAME,
    NAMES,
    PATH,
    READABLE_FILE,
    SIZE,
    TEXT,
    choice,
    duration,
    whole,
)
from copilot.config.setting import Program, setting, settings
from copilot.job import MAX_CORES


@settings
class AgentConfig(MetricsSettings, ServiceSettings):
    """What `copilot-agent` reads. Times in seconds, sizes in bytes."""

    program: ClassVar[Program] = Program(name="agent", prefixes=("AGENT",))

    jm_jabber_address: str = setting("JM_JABBER_ADDRESS", "Jabber ID of the job manager", JID)
    work_dir: Path = setting("AGENT_WORK_DIR", "working directory of the agent, writable for it", PATH)
    agent_class: str | None = setting(
        "AGENT_CLASS",
        "what kind of machine this is; the job manager may have leases of another length for it (JM_LEASES)",
        AGENT_CLASS,
        default=None,
        unset="none",
    )
    cores: int | None = setting(
        "AGENT_CORES",
        "how many cores jobs use together",
        whole(1, MAX_CORES),
        default=None,
        unset="all that the agent may use, or AGENT_SLOTS if that is more",
    )
    max_cores: int | None = setting(
        "AGENT_MAX_CORES", "most cores of a job", whole(1, MAX_CORES), default=None, unset="AGENT_CORES"
    )
    slots: int | None = setting(
        "AGENT_SLOTS",
        "how many jobs run at the same time at most",
        whole(1, 1024),
        default=None,
        unset="AGENT_CORES: one for each core",
    )
    memory: int | None = setting(
        "AGENT_MEMORY",
        "how much memory jobs use together, as far as they say what they need",
        SIZE,
        default=None,
        unset="the machine's",
    )
    disk: int | None = setting(
        "AGENT_DISK",
        "how much disk jobs use together, as far as they say what they need",
        SIZE,
        default=None,
        unset="what is free at the start",
    )
    gpus: tuple[str, ...] | None = setting(
        "AGENT_GPUS",
        "which GPUs jobs may use; each belongs to one job at a time, and the others are hidden from it",
        GPUS,
        default="auto",
    )
    bind: bool = setting(
        "AGENT_BIND",
        "whether each job is bound to as many cores as it has, which no other one gets",
        FLAG,
        default="0",
    )
    request_interval: float = setting(
        "AGENT_REQUEST_INTERVAL",
        "longest wait between two requests for work while there is none",
        duration(1),
        default="10s",
        reload=True,
    )
    drain_grace: float = setting(
        "AGENT_DRAIN_GRACE",
        "how long jobs may go on when the agent is to stop, before they are stopped and given back; the end itself takes "
        "up to 20 s more",
        duration(0),
        default="40s",
        reload=True,
    )
    max_idle: float | None = setting(
        "AGENT_MAX_IDLE",
        "leave after so long without a job",
        duration(1),
        default=None,
        unset="stay",
        reload=True,
    )
    max_jobs: int | None = setting(
        "AGENT_MAX_JOBS",
        "leave after so many jobs",
        whole(1),
        default=None,
        unset="stay",
        reload=True,
    )
    tags: tuple[str, ...] | None = setting(
        "AGENT_TAGS",
        'words by which jobs may ask for this agent, like member("ssd", other.Tags)',
        NAMES,
        default=None,
        unset="none",
        reload=True,
    )
    projects: tuple[str, ...] | None = setting(
        "AGENT_PROJECTS",
        "projects whose jobs alone this agent takes",
        NAMES,
        default=None,
        unset="takes those of any",
        reload=True,
    )
    requirements: str | None = setting(
        "AGENT_REQUIREMENTS",
        "which jobs this agent takes: an expression over what a job asks for, like other.Cores >= 4",
        TEXT,
        default=None,
        unset="any",
        reload=True,
    )
    programs_dir: Path | None = setting(
        "AGENT_PROGRAMS_DIR",
        "directory with files *.toml, here or one below, that tell which programs are installed, besides executables.d in the "
        "configuration's",
        PATH,
        default=None,
        unset="none",
    )
    lifetime: float | None = setting(
        "AGENT_LIFETIME",
        "be gone so long after the start; more than AGENT_DRAIN_GRACE and 20 s",
        duration(1),
        default=None,
        unset="stay",
    )
    shared_dir: Path | None = setting(
        "AGENT_SHARED_DIR",
        "directory below which file:// URLs are allowed",
        PATH,
        default=None,
        unset="file:// URLs are refused",
    )
    jabber_ca: str | None = setting(
        "AGENT_JABBER_CA",
        "that certificate itself, as base64 of its DER form in one line; goes before AGENT_JABBER_CA_FILE",
        CERTIFICATE,
        default=None,
        unset="none",
    )
    files_ca_file: Path | None = setting(
        "AGENT_FILES_CA_FILE",
        "certificates (PEM) that alone may vouch for file servers",
        READABLE_FILE,
        default=None,
        unset="AGENT_JABBER_CA_FILE",
        derive=lambda config: config.jabber_ca_file,
    )
    chirp_ticket_file: Path | None = setting(
        "AGENT_CHIRP_TICKET_FILE",
        "Chirp ticket (an RSA key in PEM form) to log in with",
        READABLE_FILE,
        default=None,
        unset="log in by Unix user, host name or address",
    )
    package_tool: tuple[str, ...] = setting(
        "AGENT_PACKAGE_TOOL",
        "command that prints the environment of a package, whose name it gets as last argument",
        COMMAND,
        default="alienv print",
    )
    sandbox: str = setting(
        "AGENT_SANDBOX",
        "how payloads are kept apart: auto (the best that works here), bubblewrap, none, or the name of an installed one; "
        "unless it is auto, the agent does not start without it",
        NAME,
        default="auto",
    )
    sandbox_network: Network = setting(
        "AGENT_SANDBOX_NETWORK",
        "which payloads in a sandbox may use the network: never any, those whose job has asked for it, or always all",
        choice(Network),
        default="asked",
    )
    sandbox_paths: tuple[str, ...] = setting(
        "AGENT_SANDBOX_PATHS",
        "absolute paths that payloads in a sandbox may read besides the system's, quoted as for a shell",
        COMMAND,
        default="",
    )
    sandbox_user: str = setting(
        "AGENT_SANDBOX_USER",
        "whose name payloads in a sandbox run under if the agent is root",
        NAME,
        default="nobody",
    )
    images: ToolWish = setting(
        "AGENT_IMAGES",
        "which tool runs jobs that name a container image: auto (the first of the others that works here), apptainer, podman or none; "
        "with a name, the agent does not start without it",
        choice(ToolWish),
        default="auto",
    )
    image_registries: tuple[str, ...] = setting(
        "AGENT_IMAGE_REGISTRIES",
        "registries whose images jobs may name",
        HOSTS,
        default="docker.io",
    )
    image_dir: Path | None = setting(
        "AGENT_IMAGE_DIR",
        "directory below which jobs may name image files (.sif)",
        PATH,
        default=None,
        unset="no image files",
    )
    image_pull: Pull = setting(
        "AGENT_IMAGE_PULL",
        "when an image is fetched from its registry: never, if it is missing here, or always, for each job",
        choice(Pull),
        default="missing",
    )
    image_pull_limit: float = setting(
        "AGENT_IMAGE_PULL_LIMIT", "how long that may take", duration(1), default="10m"
    )
    limits: LimitsWish = setting(
        "AGENT_LIMITS",
        "how payloads are held to their limits: by control groups where that works, or not without them, or by looking at "
        "processes",
        choice(LimitsWish),
        default="auto",
    )
    max_memory: int | None = setting(
        "AGENT_MAX_MEMORY",
        "most memory of a job",
        SIZE,
        default=None,
        unset="AGENT_MEMORY; of a job that does not say what it needs, what its share of the cores has of it",
    )
    max_cpu_time: float | None = setting(
        "AGENT_MAX_CPU_TIME", "most time of processors of a job", duration(1), default=None, unset="no limit"
    )
    max_processes: int = setting(
        "AGENT_MAX_PROCESSES",
        "most processes and threads of a job at a time",
        whole(1, 4_000_000),
        default="4096",
    )
    max_open_files: int | None = setting(
        "AGENT_MAX_OPEN_FILES",
        "most open files of each process of a job",
        whole(16),
        default=None,
        unset="the agent's own limit",
    )
    max_file_size: int | None = setting(
        "AGENT_MAX_FILE_SIZE", "largest file that a job may write", SIZE, default=None, unset="AGENT_MAX_DISK"
    )
    max_disk: int | None = setting(
        "AGENT_MAX_DISK",
        "most disk that the directory of a job may take",
        SIZE,
        default=None,
        unset="AGENT_DISK; of a job that does not say what it needs, what its share of the cores has of it",
    )
    max_files: int = setting(
        "AGENT_MAX_FILES",
        "most files and directories in the directory of a job",
        whole(16),
        default="1000000",
    )
    max_output: int = setting(
        "AGENT_MAX_OUTPUT", "largest packed output of a job that is delivered", SIZE, default="10 GiB"
    )
    input_cache: int = setting(
        "AGENT_INPUT_CACHE",
        "how much disk may be used for input files that other jobs may need, too; 0 fetches each anew",
        SIZE,
        default="1 GiB",
    )
    referral_domains: tuple[str, ...] = setting(
        "AGENT_REFERRAL_DOMAINS",
        "domains to which a redirect may lead",
        HOSTS,
        default=None,
        unset="AGENT_JABBER_DOMAIN",
        derive=lambda config: (config.jabber_domain,),
    )

    ticket_password: str | None = setting(
        "AGENT_TICKET_PASSWORD",
        "what is shown to the key manager to get a ticket",
        TEXT,
        default=None,
        unset="nothing but the account",
        secret=True,
    )

    @property
    def own_directory(self) -> Path:
        """The work directory."""
        return self.work_dir

    @property
    def room_owner(self) -> str:
        """The bare JID of who keeps the chat rooms."""
        return self.hb_chat_owner or self.jm_jabber_address

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().check(values)
        for name in ("tags", "projects"):
            if (many := too_many(values.get(name) or ())) is not None:
                yield name, many
        if (asked := values.get("requirements")) and (fault := why_not(asked)) is not None:
            yield "requirements", fault
        yield from _too_large(values, "max_cores", "cores", "AGENT_CORES")
        yield from _too_large(values, "max_memory", "memory", "AGENT_MEMORY")
        yield from _too_large(values, "max_disk", "disk", "AGENT_DISK")
        lifetime, grace = values.get("lifetime"), values.get("drain_grace")
        if lifetime is not None and grace is not None and lifetime <= grace + LAST_STEPS:
            least = f"{grace:g} s of AGENT_DRAIN_GRACE and {LAST_STEPS:g} s for the end"
            yield "lifetime", f"expected more than {least}, found {lifetime:g} s: no job would be taken"


def _too_large(values: Mapping[str, Any], part: str, whole_: str, key: str) -> Iterator[tuple[str, str]]:
    """What one job gets cannot be more than what all have together."""
    one, together = values.get(part), values.get(whole_)
    if one is not None and together is not None and one > together:
        yield part, f"expected at most {together}, which is {key}, found {one}"
