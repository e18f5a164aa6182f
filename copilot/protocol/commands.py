"""The commands of the wire as frozen data: one class per command, one field per attribute of `<info>`.

Sections 2.2.1 to 2.2.7 of the report, and our additions (marked "ours"), which old peers ignore. How a value
stands in XML is `codec.py`'s affair; when a message is acknowledged and sent again is `rules.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import MISSING, field
from typing import Any, ClassVar

from copilot.job import check_job_id, check_relative_name, check_secret_name
from copilot.protocol.envelope import Element
from copilot.records import dataclass

_HEX_SHA256 = re.compile(r"[0-9a-f]{64}\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Kind:
    """How the text of an attribute becomes a value and back. `parse` raises ValueError for what it cannot read."""

    parse: Callable[[str], Any]
    format: Callable[[Any], str]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


def _files(text: str) -> tuple[str, ...]:
    return tuple(check_relative_name(name) for name in text.split("###") if name)


def _address(text: str) -> str:
    return text.replace(";", ":")  # the report separates host and port by a semicolon


def _size(text: str) -> int:
    number = int(text)
    if number < 0:
        raise ValueError("expected a whole number from 0")
    return number


def _sha256(text: str) -> str:
    if not _HEX_SHA256.match(text):
        raise ValueError("expected a SHA-256 as 64 hexadecimal digits in lower case")
    return text


def _flag(text: str) -> bool:
    if text not in ("0", "1"):
        raise ValueError("expected 0 or 1")
    return text == "1"


TEXT = Kind(str, str)
FLAG = Kind(_flag, lambda flag: str(int(flag)))
WHOLE = Kind(int, str)
SIZE = Kind(_size, str)
SHA256 = Kind(_sha256, str)
NUMBER = Kind(float, repr)
WORDS = Kind(_words, " ".join)
FILES = Kind(_files, "###".join)
ADDRESS = Kind(_address, str)
JOB_ID = Kind(check_job_id, str)
NAME = Kind(check_relative_name, str)
FILE = NAME  # in commands, which have a NAME of their own
SECRET_NAME = Kind(check_secret_name, str)


def attribute(
    name: str,
    kind: Kind = TEXT,
    *,
    default: Any = MISSING,
    aliases: tuple[str, ...] = (),
    hidden: bool = False,
) -> Any:
    """A field that is an attribute on the wire. Without a default it is required; None is left out. `hidden`: it stays out of
    `repr`."""
    metadata = {"attribute": name, "kind": kind, "aliases": aliases}
    if default is MISSING:
        return field(metadata=metadata, repr=not hidden)
    return field(default=default, metadata=metadata, repr=not hidden)


def child(part: type[Part], *, many: bool = False) -> Any:
    """A field that is a child element (`many`: a tuple of them)."""
    metadata = {"child": part, "many": many}
    return field(default=(), metadata=metadata) if many else field(metadata=metadata)


class Part:
    """An element inside `<info>`; `TAG` is its name."""

    __slots__ = ()
    TAG: ClassVar[str]


class Command:
    """What `<info command='NAME'>` says."""

    __slots__ = ()
    NAME: ClassVar[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class JobInput(Part):
    """Ours (`storage`): where an input file lies, and what it must look like. `data` (`direct`) is the file itself in
    base64, if it is small."""

    TAG: ClassVar[str] = "input"
    name: str = attribute("name", NAME)
    url: str = attribute("url")
    size: int = attribute("size", SIZE)
    sha256: str = attribute("sha256")
    data: str | None = attribute("data", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret(Part):
    """Ours: a secret of the job, `data` in base64. Only in a sealed session (section 5)."""

    TAG: ClassVar[str] = "secret"
    name: str = attribute("name", SECRET_NAME)
    data: str = attribute("data", hidden=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job(Part):
    """What an agent must know to run a job (2.2.1.4).

    `attempt`, `max_run_time` (s), `lease` (s), `exclusive` (with a lease; None: it is not), the `inputs` and the `secrets` are ours. So is
    what it may use: `memory`, `cpu_time` (s), `processes`, `open_files`, `file_size`, `disk` (bytes; None: as much as any), whether it
    needs the `network` (None: the manager does not know), and the container `image` that it runs in. `cores` and `gpus`
    (`resources`): how many it is given; None: one, and none.
    """

    TAG: ClassVar[str] = "job"
    id: str = attribute("id", JOB_ID)
    command: str = attribute("command", NAME)
    chirp_url: str = attribute("chirpUrl", ADDRESS, default="")
    input_dir: str = attribute("inputDir", default="")
    input_files: tuple[str, ...] = attribute("inputFiles", FILES, default=())
    arguments: str = attribute("arguments", default="")
    environment: str = attribute("environment", default="")
    packages: tuple[str, ...] = attribute("packages", WORDS, default=())
    output_dir: str = attribute("outputDir", default="")
    validation: str | None = attribute("validation", NAME, default=None, aliases=("validationScript",))
    attempt: int | None = attribute("attempt", SIZE, default=None)
    max_run_time: float | None = attribute("maxRunTime", NUMBER, default=None)
    lease: float | None = attribute("lease", NUMBER, default=None)
    exclusive: bool | None = attribute("exclusive", FLAG, default=None)
    memory: int | None = attribute("memory", SIZE, default=None)
    cpu_time: float | None = attribute("cpuTime", NUMBER, default=None)
    processes: int | None = attribute("processes", SIZE, default=None)
    open_files: int | None = attribute("openFiles", SIZE, default=None)
    file_size: int | None = attribute("fileSize", SIZE, default=None)
    disk: int | None = attribute("disk", SIZE, default=None)
    network: bool | None = attribute("network", FLAG, default=None)
    image: str | None = attribute("image", default=None)
    cores: int | None = attribute("cores", SIZE, default=None)
    gpus: int | None = attribute("gpus", SIZE, default=None)
    inputs: tuple[JobInput, ...] = child(JobInput, many=True)
    secrets: tuple[Secret, ...] = child(Secret, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantGetJob(Command):
    """Agent, to all managers: who has a job for this host? (2.2.1.1)

    `agent_class` is ours (`lease`): a word that decides how long leases are.
    """

    NAME: ClassVar[str] = "want_getJob"
    agent_host: str = attribute("agentHost")
    jdl: str = attribute("jdl")
    agent_ip: str | None = attribute("agentIP", default=None)
    agent_class: str | None = attribute("agentClass", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveGetJob(Command):
    """Manager: I have one, if this file is on your host. (2.2.1.2)"""

    NAME: ClassVar[str] = "have_getJob"
    require_file: str | None = attribute("requireFile", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetJob(Command):
    """Agent, to the manager that answered first: give it to me. (2.2.1.3)

    `agent_class` as in `WantGetJob`. `slots` is ours, too: how many jobs it can take; none means one. So is `free` (`resources`):
    what it has free for them, as `copilot.matching.resources.Free` writes it; None: as many cores as `slots`, and else no limit.
    """

    NAME: ClassVar[str] = "getJob"
    agent_host: str = attribute("agentHost")
    jdl: str = attribute("jdl")
    agent_ip: str | None = attribute("agentIP", default=None)
    agent_class: str | None = attribute("agentClass", default=None)
    slots: int | None = attribute("slots", SIZE, default=None)
    free: str | None = attribute("free", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunJob(Command):
    """Manager: run this. `jm_job_data` comes back with everything said about the job. (2.2.1.4)

    `require_file` is ours: as in `HaveGetJob`, for agents that were made no offer.
    """

    NAME: ClassVar[str] = "runJob"
    job: Job = child(Job)
    jm_job_data: str | None = attribute("jmJobData", default=None)
    require_file: str | None = attribute("requireFile", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantGetJobOutputDir(Command):
    """Agent, to all storage managers: who takes the output of this job? (2.2.2.1)"""

    NAME: ClassVar[str] = "want_getJobOutputDir"
    job_id: str = attribute("jobID", JOB_ID)
    agent_host: str = attribute("agentHost", default="")
    agent_ip: str | None = attribute("agentIP", default=None)
    jm_job_data: str | None = attribute("jmJobData", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveGetJobOutputDir(Command):
    """Storage manager: I do. (2.2.2.2) `job_id` is ours: an agent with several slots asks for several jobs."""

    NAME: ClassVar[str] = "have_getJobOutputDir"
    job_id: str | None = attribute("jobID", JOB_ID, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetJobOutputDir(Command):
    """Agent, to the storage manager that answered first: where? (2.2.2.3)"""

    NAME: ClassVar[str] = "getJobOutputDir"
    job_id: str = attribute("jobID", JOB_ID)
    agent_host: str = attribute("agentHost", default="")
    jm_job_data: str | None = attribute("jmJobData", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreJobOutputDir(Command):
    """Storage manager: there. (2.2.2.4) `output_url` is ours (`storage`): where to put the packed output."""

    NAME: ClassVar[str] = "storeJobOutputDir"
    job_id: str = attribute("jobID", JOB_ID)
    output_dir: str = attribute("outputDir", default="")
    output_chirp_url: str = attribute("outputChirpUrl", ADDRESS, default="")
    jm_job_data: str | None = attribute("jmJobData", default=None)
    output_url: str | None = attribute("outputUrl", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDone(Command):
    """Agent: the job has ended and its output is stored. (2.2.3.1)

    `exit_code` is an exit code from us and a raw wait status from a 2011 agent; `cause`, `reason`, `stderr_tail`,
    `output_size` (bytes) and `output_sha256` (hex) are ours; no size means that nothing was stored. So are `package`
    (`direct`), the packed output itself in base64, if it is small, and `slots`: so many jobs more it can take now, as an
    agent of this `agent_class`, with this `free` as in `GetJob`; `sandbox`, `cpu_time` (s), `memory` and `disk` (bytes),
    `wall_time` (s) and `bytes_in` as in `Outcome`.
    """

    NAME: ClassVar[str] = "jobDone"
    job_id: str = attribute("jobID", JOB_ID)
    exit_code: int = attribute("exitCode", WHOLE)
    state: str = attribute("state")
    agent_host: str = attribute("agentHost", default="")
    jm_job_data: str | None = attribute("jmJobData", default=None)
    validate_exit_code: int | None = attribute("validateExitCode", WHOLE, default=None)
    cause: str | None = attribute("cause", default=None)
    reason: str | None = attribute("reason", default=None)
    stderr_tail: str | None = attribute("stderrTail", default=None)
    output_size: int | None = attribute("outputSize", SIZE, default=None)
    output_sha256: str | None = attribute("outputSha256", default=None)
    package: str | None = attribute("package", default=None)
    slots: int | None = attribute("slots", SIZE, default=None)
    free: str | None = attribute("free", default=None)
    agent_class: str | None = attribute("agentClass", default=None)
    sandbox: str | None = attribute("sandbox", default=None)
    cpu_time: float | None = attribute("cpuTime", NUMBER, default=None)
    memory: int | None = attribute("memory", SIZE, default=None)
    disk: int | None = attribute("disk", SIZE, default=None)
    wall_time: float | None = attribute("wallTime", NUMBER, default=None)
    bytes_in: int | None = attribute("bytesIn", SIZE, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldJob(Part):
    """Ours (`lease`): an attempt that an agent holds, and what it is at: `fetch`, `run` or `upload`."""

    TAG: ClassVar[str] = "held"
    id: str = attribute("id", JOB_ID)
    attempt: int = attribute("attempt", SIZE)
    phase: str = attribute("phase", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewLease(Command):
    """Ours (`lease`): agent, I live and hold these. The acknowledgement says that their leases begin anew."""

    NAME: ClassVar[str] = "renewLease"
    held: tuple[HeldJob, ...] = child(HeldJob, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseLost(Command):
    """Ours (`lease`): manager, of what you said you hold, these are not yours any more: stop them."""

    NAME: ClassVar[str] = "leaseLost"
    held: tuple[HeldJob, ...] = child(HeldJob, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class CancelJob(Command):
    """Ours (`cancel`): manager, stop this attempt. The agent answers with `jobDone`."""

    NAME: ClassVar[str] = "cancelJob"
    job_id: str = attribute("jobID", JOB_ID)
    attempt: int = attribute("attempt", SIZE)


@dataclass(frozen=True, slots=True, kw_only=True)
class TailJob(Command):
    """Ours (`output`): manager, show me what this running attempt has printed on `stream` (`stdout` or `stderr`): from `offset` on, or
    the `last` bytes."""

    NAME: ClassVar[str] = "tailJob"
    job_id: str = attribute("jobID", JOB_ID)
    attempt: int = attribute("attempt", SIZE)
    stream: str = attribute("stream")
    offset: int | None = attribute("offset", SIZE, default=None)
    last: int | None = attribute("last", SIZE, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobOutput(Command):
    """Ours (`output`): agent, so much of it: `data` (base64) from `offset` on; there are `size` bytes now. An `offset` behind the one
    that was asked for: what is between is left out. `note`: why there is nothing."""

    NAME: ClassVar[str] = "jobOutput"
    job_id: str = attribute("jobID", JOB_ID)
    attempt: int = attribute("attempt", SIZE)
    stream: str = attribute("stream")
    offset: int = attribute("offset", SIZE)
    size: int = attribute("size", SIZE)
    data: str = attribute("data", default="")
    note: str | None = attribute("note", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain(Command):
    """Ours (`drain`): manager, take nothing new, finish what runs, then leave."""

    NAME: ClassVar[str] = "drain"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving(Command):
    """Ours (`drain`): agent, goodbye; `held` I give back. The acknowledgement says that they wait again."""

    NAME: ClassVar[str] = "leaving"
    held: tuple[HeldJob, ...] = child(HeldJob, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SentInput(Part):
    """Ours: an input file that a submitter has. `data` is the file itself in base64, if it is small."""

    TAG: ClassVar[str] = "input"
    name: str = attribute("name", NAME)
    size: int = attribute("size", SIZE)
    sha256: str = attribute("sha256", SHA256)
    data: str | None = attribute("data", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload(Part):
    """Ours: where such a file goes. No URL: it is there already."""

    TAG: ClassVar[str] = "upload"
    name: str = attribute("name", NAME)
    url: str | None = attribute("url", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantUpload(Command):
    """Ours: submitter, to all job managers: I am about to submit this job, with these files; where do they go?"""

    NAME: ClassVar[str] = "wantUpload"
    job_id: str = attribute("jobID", JOB_ID)
    project: str | None = attribute("project", default=None)
    inputs: tuple[SentInput, ...] = child(SentInput, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveUpload(Command):
    """Ours: job manager: there. `state`: a job of yours with that id is known already, and stands so. `takes`: which of the attributes
    of `submitJob` that came later we know (`TAKES`)."""

    NAME: ClassVar[str] = "haveUpload"
    job_id: str = attribute("jobID", JOB_ID)
    state: str | None = attribute("state", default=None)
    takes: tuple[str, ...] | None = attribute("takes", WORDS, default=None)
    uploads: tuple[Upload, ...] = child(Upload, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedSecret(Part):
    """Ours: a secret of a job that is submitted, sealed for the service (`JobSecret`): it may be said in clear."""

    TAG: ClassVar[str] = "sealedSecret"
    name: str = attribute("name", SECRET_NAME)
    sealed: str = attribute("text", hidden=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubmitJob(Command):
    """Ours: submitter: put this on the queue. `environment` is shell text, as in `Job`; `max_run_time` in s; `memory` to `image` as in `Job`,
    `cores` to `array` as in `JobSpec`.

    `watch`: for so many seconds, tell me when its state changes.
    """

    NAME: ClassVar[str] = "submitJob"
    job_id: str = attribute("jobID", JOB_ID)
    command: str = attribute("jobCommand", FILE)
    arguments: str = attribute("arguments", default="")
    environment: str = attribute("environment", default="")
    packages: tuple[str, ...] = attribute("packages", WORDS, default=())
    validation: str | None = attribute("validation", FILE, default=None)
    requirements: str = attribute("requirements", default="")
    priority: int = attribute("priority", WHOLE, default=0)
    max_attempts: int | None = attribute("maxAttempts", SIZE, default=None)
    max_retries: int | None = attribute("maxRetries", SIZE, default=None)
    max_run_time: float | None = attribute("maxRunTime", NUMBER, default=None)
    exclusive: bool | None = attribute("exclusive", FLAG, default=None)
    project: str | None = attribute("project", default=None)
    watch: float | None = attribute("watch", NUMBER, default=None)
    memory: int | None = attribute("memory", SIZE, default=None)
    cpu_time: float | None = attribute("cpuTime", NUMBER, default=None)
    processes: int | None = attribute("processes", SIZE, default=None)
    open_files: int | None = attribute("openFiles", SIZE, default=None)
    file_size: int | None = attribute("fileSize", SIZE, default=None)
    disk: int | None = attribute("disk", SIZE, default=None)
    network: bool | None = attribute("network", FLAG, default=None)
    image: str | None = attribute("image", default=None)
    cores: int | None = attribute("cores", SIZE, default=None)
    max_cores: int | None = attribute("maxCores", SIZE, default=None)
    gpus: int | None = attribute("gpus", SIZE, default=None)
    tags: tuple[str, ...] | None = attribute("tags", WORDS, default=None)
    rank: str | None = attribute("rank", default=None)
    after: tuple[str, ...] | None = attribute("after", WORDS, default=None)
    after_any: tuple[str, ...] | None = attribute("afterAny", WORDS, default=None)
    hold: bool | None = attribute("hold", FLAG, default=None)
    array: int | None = attribute("array", SIZE, default=None)
    inputs: tuple[SentInput, ...] = child(SentInput, many=True)
    secrets: tuple[SealedSecret, ...] = child(SealedSecret, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantJobState(Command):
    """Ours: submitter: how is that job? And tell me when its state changes, for `watch` seconds. `explain`: and why is it so?"""

    NAME: ClassVar[str] = "wantJobState"
    job_id: str = attribute("jobID", JOB_ID)
    watch: float | None = attribute("watch", NUMBER, default=None)
    explain: bool | None = attribute("explain", FLAG, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantJobs(Command):
    """Ours: submitter: which jobs of mine are there? In these `states` of `copilot.job.State` (none: that are not over), at most `limit`."""

    NAME: ClassVar[str] = "wantJobs"
    states: tuple[str, ...] | None = attribute("states", WORDS, default=None)
    limit: int | None = attribute("limit", SIZE, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedJob(Part):
    """Ours: a job, or an array as a whole. `since` in seconds since the epoch; `elements`: how many are in each state, as in `HaveJobState`."""

    TAG: ClassVar[str] = "listed"
    id: str = attribute("id", JOB_ID)
    state: str = attribute("state")
    owner: str = attribute("owner", default="")
    priority: int = attribute("priority", WHOLE, default=0)
    cores: int = attribute("cores", SIZE, default=1)
    since: float = attribute("since", NUMBER, default=0.0)
    attempt: int = attribute("attempt", SIZE, default=0)
    agent: str | None = attribute("agent", default=None)
    cause: str | None = attribute("cause", default=None)
    reason: str | None = attribute("reason", default=None)
    elements: tuple[str, ...] | None = attribute("elements", WORDS, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveJobs(Command):
    """Ours: job manager: these, in the order of the queue. `cut`: there may be more."""

    NAME: ClassVar[str] = "haveJobs"
    cut: bool | None = attribute("cut", FLAG, default=None)
    jobs: tuple[ListedJob, ...] = child(ListedJob, many=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class StopJob(Command):
    """Ours: submitter: I do not want that job any more."""

    NAME: ClassVar[str] = "stopJob"
    job_id: str = attribute("jobID", JOB_ID)
    reason: str = attribute("reason", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operate(Command):
    """Ours: submitter: do this with that job, array, elements of an array, or agent. `wish` is one of `copilot.store.arrays.Wish`, or `drain`,
    `quarantine`, `release-agent`; `target` is written as on the command line: `sim`, `sim.7`, `sim[10:20]`, `agent7@example.org`."""

    NAME: ClassVar[str] = "operate"
    wish: str = attribute("wish")
    target: str = attribute("target")
    reason: str = attribute("reason", default="")


@dataclass(frozen=True, slots=True, kw_only=True)
class Operated(Command):
    """Ours: job manager: so it went. `changed` jobs or elements are as wanted now and were not before; `ok`: nothing stood in the way.
    `text` says it to people."""

    NAME: ClassVar[str] = "operated"
    wish: str = attribute("wish")
    target: str = attribute("target")
    ok: bool = attribute("ok", FLAG)
    changed: int = attribute("changed", SIZE)
    text: str = attribute("text")


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveJobState(Command):
    """Ours: job manager: so it is. The answer to the three before, and sent again when that changes.

    `state` is one of `copilot.job.State`; what belongs to an attempt or to the end is left out as long as there is none.
    `published`: its result is where it can be fetched; `output_url` is where, if it has an output. `changed`: in answer to
    `stopJob`, whether that had an effect. `why` is a word of docs/explain.md, with a sentence and what to do next, if that was asked. `elements`
    of an array: how many are in each state, like `waiting=98`.
    """

    NAME: ClassVar[str] = "haveJobState"
    job_id: str = attribute("jobID", JOB_ID)
    state: str = attribute("state")
    attempt: int = attribute("attempt", SIZE, default=0)
    agent: str | None = attribute("agent", default=None)
    host: str | None = attribute("agentHost", default=None)
    exit_code: int | None = attribute("exitCode", WHOLE, default=None)
    cause: str | None = attribute("cause", default=None)
    reason: str | None = attribute("reason", default=None)
    published: bool | None = attribute("published", FLAG, default=None)
    output_url: str | None = attribute("outputUrl", default=None)
    output_size: int | None = attribute("outputSize", SIZE, default=None)
    output_sha256: str | None = attribute("outputSha256", default=None)
    changed: bool | None = attribute("changed", FLAG, default=None)
    why: str | None = attribute("why", default=None)
    why_text: str | None = attribute("whyText", default=None)
    why_next: str | None = attribute("whyNext", default=None)
    elements: tuple[str, ...] | None = attribute("elements", WORDS, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class WantJobOutput(Command):
    """Ours: submitter: show me what that job prints on `stream`, of which I have read attempt `attempt` up to `offset` (none: the end of
    what there is)."""

    NAME: ClassVar[str] = "wantJobOutput"
    job_id: str = attribute("jobID", JOB_ID)
    stream: str = attribute("stream")
    attempt: int | None = attribute("attempt", SIZE, default=None)
    offset: int | None = attribute("offset", SIZE, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveJobOutput(Command):
    """Ours: job manager: the job is in this `state`, and has printed `data` (base64) in attempt `attempt` from `offset` on; there were
    `size` bytes when its agent was asked last (none: it has not answered yet). `note`: why there is nothing."""

    NAME: ClassVar[str] = "haveJobOutput"
    job_id: str = attribute("jobID", JOB_ID)
    stream: str = attribute("stream")
    state: str = attribute("state")
    attempt: int = attribute("attempt", SIZE)
    offset: int = attribute("offset", SIZE)
    size: int | None = attribute("size", SIZE, default=None)
    data: str = attribute("data", default="")
    note: str | None = attribute("note", default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrol(Command):
    """Ours: a new agent, from the temporary account of its bundle: let me in. `key` is its Ed25519 public key in base64,
    `password` that of the account which it is to have. Always sealed."""

    NAME: ClassVar[str] = "enrol"
    bundle: str = attribute("bundle")
    secret: str = attribute("secret", hidden=True)
    key: str = attribute("key")
    password: str = attribute("password", hidden=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrolled(Command):
    """Ours: manager: you are in, and your account is this one (bare JID)."""

    NAME: ClassVar[str] = "enrolled"
    jid: str = attribute("jid")


@dataclass(frozen=True, slots=True, kw_only=True)
class Redirect(Command):
    """Manager: say this (`info`, unchanged) to `referral` instead. (2.2.4.1)"""

    NAME: ClassVar[str] = "redirect"
    referral: str = attribute("referral")
    info: Element = field(metadata={"raw": True})


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEvent(Command):
    """To the monitor: something happened. (2.2.5.1) `count` is ours: so many times since it was reported last."""

    NAME: ClassVar[str] = "reportEvent"
    component: str = attribute("component")
    event: str = attribute("event")
    count: int | None = attribute("count", SIZE, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEventDuration(Command):
    """To the monitor: something took `duration` ms. (2.2.5.2)

    The rest is ours, for several in one message: their number, geometrical mean, shortest and longest, in ms; `duration` is
    their arithmetical mean then.
    """

    NAME: ClassVar[str] = "reportEventDuration"
    component: str = attribute("component")
    event: str = attribute("event")
    duration: float = attribute("duration", NUMBER)
    count: int | None = attribute("count", SIZE, default=None)
    geometric_mean: float | None = attribute("gmean", NUMBER, default=None)
    shortest: float | None = attribute("min", NUMBER, default=None)
    longest: float | None = attribute("max", NUMBER, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportEventValue(Command):
    """To the monitor: something has this value now. (2.2.5.3)"""

    NAME: ClassVar[str] = "reportEventValue"
    component: str = attribute("component")
    event: str = attribute("event")
    value: float = attribute("value", NUMBER)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetStatus(Command):
    """To any component: how are you? `component` is one of `rules.STATUS_COMPONENTS`. (2.2.6.1)"""

    NAME: ClassVar[str] = "Heartbeat:getStatus"
    component: str = attribute("component")


@dataclass(frozen=True, slots=True, kw_only=True)
class HaveStatus(Command):
    """The answer. (2.2.6.2)"""

    NAME: ClassVar[str] = "haveStatus"
    component: str = attribute("component")
    status: str = attribute("status")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ping(Command):
    """To any component: are you there? (2.2.6.3)"""

    NAME: ClassVar[str] = "Heartbeat:ping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pong(Command):
    """The answer. (2.2.6.4)"""

    NAME: ClassVar[str] = "pong"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sleep(Command):
    """Manager: nothing now; to a peer with features, ask again in `retry_after` s. A 2011 agent reboots on it."""

    NAME: ClassVar[str] = "sleep"
    retry_after: float | None = attribute("retryAfter", NUMBER, default=None)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityError(Command):
    """Manager, in clear: your message could not be opened. (2.2.7)"""

    NAME: ClassVar[str] = "security_error"
    error_string: str = attribute("errorString")


@dataclass(frozen=True, slots=True, kw_only=True)
class NewKeys(Command):
    """Manager, inside a session: these are my keys from now on. Ours (section 5).

    `keys` is as a file of public keys has them, `signatures` (base64) are over that, under each signing key that the manager
    has: the agent knows one of the older ones.
    """

    NAME: ClassVar[str] = "newKeys"
    keys: str = attribute("keys")
    signatures: tuple[str, ...] = attribute("signatures", WORDS)


@dataclass(frozen=True, slots=True, kw_only=True)
class GetTicket(Command):
    """Component, to the key manager. (2.2.7)"""

    NAME: ClassVar[str] = "getTicket"
    credential: str = attribute("credential")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreTicket(Command):
    """The answer. (2.2.7)"""

    NAME: ClassVar[str] = "storeTicket"
    ticket: str = attribute("ticket")


@dataclass(frozen=True, slots=True, kw_only=True)
class Error(Command):
    """Ours: why a message had no effect. `in_reply_to` is its id, which this settles. Never sent to 2011 peers.

    `retry_after`: in so many seconds the same may have one.
    """

    NAME: ClassVar[str] = "error"
    error_string: str = attribute("errorString")
    code: str = attribute("code", default="")
    in_reply_to: str | None = attribute("inReplyTo", default=None)
    job_id: str | None = attribute("jobID", JOB_ID, default=None)
    retry_after: float | None = attribute("retryAfter", NUMBER, default=None)


COMMANDS: dict[str, type[Command]] = {kind.NAME: kind for kind in Command.__subclasses__()}
