"""Settings of the generic job manager and the generic storage manager, one program in two modes (report, section 4.2.2)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from copilot.config.groups import (
    FileServerSettings,
    LimitSettings,
    MetricsSettings,
    QueueSettings,
    RetentionSettings,
    ServiceSettings,
)
from copilot.config.kinds import (
    FLAG,
    HOST,
    JID,
    LEASE,
    LEASES,
    NAME,
    NAMES,
    PATH,
    PEOPLE,
    PEOPLE_OR_NONE,
    SIZE,
    TEXT,
    duration,
    whole,
)
from copilot.config.setting import other_settings, setting, settings

GENERIC = "generic"  # the source and the finisher that come first


@settings
class ManagerSettings(
    MetricsSettings, RetentionSettings, FileServerSettings, QueueSettings, LimitSettings, ServiceSettings
):
    """What both managers read, each under its own prefix. Times in seconds, sizes in bytes."""

    sm_jabber_address: str | None = setting(
        "SM_JABBER_ADDRESS",
        "Jabber ID of the storage manager to which agents are sent with their output",
        JID,
        default=None,
        unset="this manager itself",
    )
    job_sources: tuple[str, ...] = setting(
        "*_JOB_SOURCES",
        "where jobs come from, besides copilot-job-submit: names of installed sources",
        NAMES,
        default=GENERIC,
    )
    finisher: str = setting(
        "*_FINISHER",
        "who takes the results of done and failed jobs: name of an installed finisher",
        NAME,
        default=GENERIC,
    )
    plug_ins: Mapping[str, str] = other_settings("SOURCE_", "FINISHER_")
    waiting_jobs_list: str | None = setting(
        "*_WAITING_JOBS_LIST",
        "list in Redis on which tools of 2011 put ids of waiting jobs",
        NAME,
        default=None,
        unset="both waiting-jobs and waiting_jobs",
    )
    agents: tuple[str, ...] = setting(
        "*_AGENTS",
        "who takes jobs without being enrolled, as agents of 2011 do; with none only those whom a bundle has let in",
        PEOPLE_OR_NONE,
        default=None,
        unset="*_JABBER_DOMAIN",
        derive=lambda config: (config.jabber_domain,),
        reload=True,
    )
    job_require_file: str | None = setting(
        "*_JOB_REQUIRE_FILE", "file that must be present on an agent's host", TEXT, default=None, unset="none"
    )
    request_cooldown: float = setting(
        "*_REQUEST_COOLDOWN",
        "how long agents of 2011 are told to sleep when there is no job",
        duration(0),
        default="0",
        reload=True,
    )
    dispatch_limit: float = setting(
        "*_DISPATCH_LIMIT",
        "a job goes back unless its agent confirms it in this time",
        duration(1),
        default="60s",
        reload=True,
    )
    lease: float = setting(
        "*_LEASE",
        "an agent of ours that is not heard of for so long has lost its jobs; it renews three times in that",
        LEASE,
        default="60s",
    )
    leases: Mapping[str, float] | None = setting(
        "*_LEASES",
        "other lengths of the lease, by the AGENT_CLASS of the agent",
        LEASES,
        default=None,
        unset="*_LEASE for all",
    )
    max_run_time: float = setting("*_MAX_RUN_TIME", "longest run of a job", duration(1), default="24h")
    max_output: int = setting(
        "*_MAX_OUTPUT", "largest packed output that is taken from a job", SIZE, default="10 GiB"
    )
    url_lifetime: float = setting(
        "*_URL_LIFETIME",
        "how long signed URLs are good; longer than the longest run",
        duration(60),
        default="7d",
    )
    max_jobs: int = setting(
        "*_MAX_JOBS",
        "how many jobs of one submitter, who sends them by XMPP, may wait or run",
        whole(1),
        default="1000",
        reload=True,
    )
    max_input: int = setting(
        "*_MAX_INPUT",
        "largest input files, together, of a job that comes by XMPP",
        SIZE,
        default="10 GiB",
        reload=True,
    )
    upload_lifetime: float = setting(
        "*_UPLOAD_LIFETIME",
        "how long submitters may begin to use a URL that they got: for an input, or for the output of a job",
        duration(60),
        default="1h",
        reload=True,
    )
    storage_only_mode_on: bool = setting(
        "*_STORAGE_ONLY_MODE_ON", "take outputs, give no jobs", FLAG, default="0", own=True
    )
    queue_only_mode_on: bool = setting(
        "*_QUEUE_ONLY_MODE_ON", "give jobs, take no outputs", FLAG, default="0", own=True
    )

    hb_members: tuple[str, ...] = setting(
        "HB_MEMBERS",
        "whom the job manager lets into the chat rooms: agents, mostly by their domain; other components one by one, unless "
        "MON_JABBER_ADDRESS or SM_JABBER_ADDRESS names them",
        PEOPLE,
        default=None,
        unset="*_JABBER_DOMAIN",
        derive=lambda config: (config.jabber_domain,),
    )

    @property
    def own_directory(self) -> Path:
        """The state directory."""
        return self.state_dir

    @classmethod
    def check(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        yield from super().check(values)
        yield from cls._check_files(values)
        lifetime, run_time = values.get("url_lifetime"), values.get("max_run_time")
        if lifetime is not None and run_time is not None and lifetime <= run_time:
            yield (
                "url_lifetime",
                f"expected more than {cls.key('max_run_time')}, or output of long jobs is lost",
            )
        if values.get("storage_only_mode_on") and values.get("queue_only_mode_on"):
            yield "queue_only_mode_on", f"expected 0, because {cls.key('storage_only_mode_on')} is 1"

    @classmethod
    def _check_files(cls, values: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        if values.get("queue_only_mode_on"):
            return
        generic = values.get("finisher") == GENERIC
        if generic and "done_job_dir" in values and values["done_job_dir"] is None:
            yield (
                "done_job_dir",
                f"missing; expected {PATH.expects}: where the results of done jobs are saved",
            )
        if values.get("files_url"):
            yield from cls.missing_directory(values)
        elif "files_url" in values and "chirp_server" in values and values["chirp_server"] is None:
            yield (
                "chirp_server",
                f"missing; expected {HOST.expects}, or {cls.key('files_url')} instead of Chirp",
            )
