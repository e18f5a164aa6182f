"""What a job is: its description, its states, how an attempt ended, and what happened to it when.

States (an arrow is one atomic step of the store):

    waiting ──claim──▶ running ──finish──▶ done | failed | cancelled
       ▲ │                │
       │ └──── revived ──▶│   (its agent was taken for dead and has it still)
       └── handed back, ──┘   (agent never got it or leaves, attempt lost, retryable failure with attempts left)
           requeued

A job that waits for others begins blocked, and waits from when they are done or over. Nobody else has to do anything for that.

An operator may hold a waiting or blocked job (held) and release it, release a blocked one whatever it waits for, cancel any that is not
over, and have a failed or cancelled one retried (waiting again).

`attempt` is a fencing token: it grows with every claim, and a report about an older one changes nothing.
"""

from __future__ import annotations

import enum
import json
import re
from dataclasses import asdict, field, fields, replace
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Self

from copilot.errors import BadName
from copilot.patterns import pattern
from copilot.records import dataclass

# A whole `runJob` must stay under 60 kB on the wire (protocol page, section 1); together these limits see to it.
MAX_INPUT_FILES = 32
MAX_INPUT_NAME_BYTES = 2048  # all names of a job together, command and validation included
MAX_TEXT_BYTES = 16 * 1024  # arguments, environment, packages, Chirp server and directory together
MAX_SECRETS = 16
MAX_SECRETS_BYTES = 8 * 1024  # of all secrets of a job together, before they are sealed: they go with the job
MAX_SEALED_TEXT = 32 * 1024  # characters of the same, sealed
MAX_REASON = 500  # characters of an outcome's reason
MAX_NAME_BYTES = 255  # one part of a path
DEFAULT_MAX_ATTEMPTS = 3
MAX_IMAGE = 255  # characters of an image's name
LARGEST_LIMIT = 2**63
MAX_CORES = 4095  # of one job
MAX_GPUS = 255
MAX_TAGS = 16
MAX_AFTER = 100  # jobs that one job waits for
MAX_ARRAY = 1_000_000  # elements
# The requirement of jobs with secrets: what a host says of itself has nothing of it, managers add it (`copilot.matching.host`).
NEEDS_SEALED = "other.Sealed =?= true"

_encode = json.JSONEncoder(separators=(",", ":")).encode
_JOB_ID = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}(\.a[0-9]{1,9})?\Z")
_SUBMITTED_ID = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
_ELEMENT = pattern(r"(?P<array>.+)\.(?P<index>0|[1-9][0-9]{0,5})\Z", re.ASCII)
_ALIAS = pattern(r"(?P<job>.+)\.a(?P<attempt>0|[1-9][0-9]*)\Z", re.ASCII)
_SECRET_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")
_IMAGE = pattern(
    r"docker://[a-z0-9][A-Za-z0-9._/:@-]*\Z|/(?:[A-Za-z0-9_+,=@-][A-Za-z0-9._+,=@-]*/)*[A-Za-z0-9_+,=@-][A-Za-z0-9._+,=@-]*\.sif\Z",
    re.ASCII,
)
_TAG = pattern(r"[A-Za-z0-9][A-Za-z0-9._:=-]{0,63}\Z")
_LOOKS_LIKE_ALIAS = pattern(r"\.a[0-9]+\Z")


class State(enum.StrEnum):
    """Where a job stands."""

    WAITING = "waiting"  # in a queue
    RUNNING = "running"  # claimed for one agent, under one attempt number
    DONE = "done"  # ended with exit code 0 and an accepted output
    FAILED = "failed"  # ended otherwise; the cause says whose fault it was
    CANCELLED = "cancelled"  # ended because somebody wanted it
    HELD = "held"  # not in a queue until somebody releases it
    BLOCKED = "blocked"  # not in a queue until the jobs that it waits for are done or over

    @property
    def final(self) -> bool:
        """Whether the job is over, unless somebody wants it to run once more."""
        return self in (State.DONE, State.FAILED, State.CANCELLED)


class Cause(enum.StrEnum):
    """Why an attempt ended as it did. The prefix says whose affair it is."""

    OK = "ok"
    USER_EXIT = "user-exit"  # the payload exited non-zero
    USER_SIGNAL = "user-signal"  # the payload died by a signal that the agent did not send
    USER_NO_COMMAND = "user-no-command"  # the command is missing or cannot be executed
    USER_VALIDATION = "user-validation"  # the validation script exited non-zero
    USER_PREREQUISITE = "user-prerequisite"  # a package or required file is not on the host
    USER_MEMORY = "user-memory"  # its processes together used more memory than they may
    USER_CPU_TIME = "user-cpu-time"  # … more time of processors
    USER_PROCESSES = "user-processes"  # there were more of them than there may be
    USER_DISK = "user-disk"  # its directory grew over its quota of bytes or of files
    USER_FILE_SIZE = "user-file-size"  # one of its files grew over the limit
    INFRA_FETCH = "infra-fetch"  # input files could not be fetched
    INFRA_STORE = "infra-store"  # output could not be packed or stored
    INFRA_DISK_FULL = "infra-disk-full"  # the host's disk is full
    INFRA_KILLED = "infra-killed"  # SIGKILL from outside: out of memory, most often
    INFRA_LOST = "infra-lost"  # the agent came back without the job
    INFRA_UNDELIVERED = "infra-undelivered"  # the agent never confirmed that it has the job
    INFRA_PREEMPTED = "infra-preempted"  # the agent had to leave before the end
    INFRA_CUT_OFF = "infra-cut-off"  # exclusive, and its lease was not renewed: its agent stopped it
    POLICY_RUN_TIME = "policy-run-time"  # longer than the maximum run time
    POLICY_SECRETS = (
        "policy-secrets"  # its secrets cannot be opened: sealed for a key that the service has no more
    )
    CANCELLED = "cancelled"  # somebody wanted it

    @property
    def retryable(self) -> bool:
        """Whether another attempt on another host may end better."""
        return self.value.startswith("infra-")

    @property
    def own(self) -> bool:
        """Whether the job itself has failed."""
        return self.value.startswith("user-")


class Phase(enum.StrEnum):
    """What an agent is at with a job."""

    FETCH = "fetch"  # its input files
    RUN = "run"
    UPLOAD = "upload"  # its output, until its report is safe


class EventKind(enum.StrEnum):
    """What the event stream tells of."""

    SUBMITTED = "submitted"
    CLAIMED = "claimed"  # handed to an agent
    RUNNING = "running"  # the agent confirmed that it has the job
    DONE = "done"
    FAILED = "failed"
    REQUEUED = "requeued"  # the attempt ended without a result; counted
    HANDED_BACK = "handed-back"  # the attempt never began, or was pre-empted; not counted
    CANCELLED = "cancelled"
    CANCELLING = "cancelling"  # somebody wants the running attempt to end
    HELD = "held"
    RELEASED = "released"  # a held job, or an agent in quarantine
    RETRIED = "retried"  # once more, although it was over
    REVIVED = "revived"  # the attempt went back to waiting, but its agent lives and has it still
    PUBLISHED = "published"  # the output lies in its final place
    QUARANTINED = "quarantined"  # of an agent: jobs keep failing there, or somebody wants it, so it gets none for a while
    PAUSED = "paused"  # of the queue: nothing is given out, or nothing new is taken
    RESUMED = "resumed"  # of the queue: again


def check_job_id(text: str, *, submitted: bool = False) -> str:
    """Return `text` if it may be a job id, else raise `BadName`.

    `submitted`: it is the job's own; then it may not look like an alias, which otherwise may follow it.
    """
    if not (_SUBMITTED_ID if submitted else _JOB_ID).match(text):
        raise BadName(
            f"job id {text[:140]!r}: expected 1 to 128 letters, digits, '.', '_' or '-', the first a letter or digit"
        )
    if submitted and _LOOKS_LIKE_ALIAS.search(text):
        raise BadName(
            f"job id {text!r}: ids ending in '.a<digits>' are kept for second attempts; choose another"
        )
    return text


def image_kind(image: str) -> str:
    """What a host must be able to run for a container image: `docker`, or `sif` for a file. A word of the JDL's attribute `Images`."""
    return "docker" if image.startswith("docker://") else "sif"


def alias(job: str, attempt: int) -> str:
    """The name of one attempt: the job's own for the first, `<job>.a<attempt>` for later ones.

    Agents of 2011 get it as job id, and use it in paths: so a late upload of one attempt cannot touch another's
    (protocol page, section 2). No submitted id looks like an alias.
    """
    return job if attempt == 1 else f"{job}.a{attempt}"


def split_alias(text: str) -> tuple[str, int]:
    """The inverse of `alias`."""
    match = _ALIAS.match(text)
    return (match["job"], int(match["attempt"])) if match else (text, 1)


def element_id(array: str, index: int) -> str:
    """The id of an element of an array; the first one is number 0."""
    return f"{array}.{index}"


def split_element(text: str) -> tuple[str, int] | None:
    """The inverse of `element_id`; None for what can be no element. Other jobs may be called so, too."""
    match = _ELEMENT.match(text)
    return (match["array"], int(match["index"])) if match else None


def check_relative_name(text: str) -> str:
    """Return `text` if it names a file below a directory (no `..`, not absolute, no control characters).

    Raises `BadName`.
    """
    parts = text.split("/")
    if (
        not text
        or any(part in ("", ".", "..") for part in parts)
        or any(_utf8_bytes(part) > MAX_NAME_BYTES for part in parts)
        or any(ord(character) < 32 or ord(character) == 127 for character in text)
        or "\\" in text
        or len(parts) > 32
    ):
        raise BadName(
            f"file name {text[:140]!r}: expected a relative name without '..', empty parts, back-slashes "
            "or control characters"
        )
    return text


def _utf8_bytes(text: str) -> int:
    """The length of `text` on the wire. Raises `BadName` for lone surrogates, which stand for bytes that are no
    UTF-8 (PEP 383)."""
    try:
        return len(text.encode())
    except UnicodeEncodeError as error:
        raise BadName(
            f"{text[:140]!r}: character {error.start + 1} is not UTF-8; save or rename it as UTF-8 text"
        ) from error


def check_secret_name(text: str) -> str:
    """Return `text` if a secret of a job may be called so, else raise `BadName`: it becomes the name of a file."""
    if not _SECRET_NAME.match(text):
        raise BadName(
            f"secret {text[:80]!r}: expected a name of 1 to 64 letters, digits, '.', '_' or '-', the first a letter or digit"
        )
    return text


def one_line(text: str) -> str:
    """`text` without anything that moves a cursor or hides text, at most `MAX_REASON` characters long."""
    shown = text
    if not text.isprintable():
        shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
    return shown if len(shown) <= MAX_REASON else shown[: MAX_REASON - 1] + "…"


def sized(number: int) -> str:
    """Bytes for people."""
    for unit, name in ((2**40, "TiB"), (2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if number >= unit:
            return f"{number / unit:.4g} {name}"
    return f"{number} bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a job may use at most; None: as much as its agent lets any job use. Sizes in bytes.

    `memory`, `cpu_time` (s), `processes` (threads count) and `disk` (of its directory) are of all that runs of it together,
    `open_files` and `file_size` of each process and file.
    """

    memory: int | None = None
    cpu_time: float | None = None
    processes: int | None = None
    open_files: int | None = None
    file_size: int | None = None
    disk: int | None = None

    def within(self, most: Limits) -> Limits:
        """The smaller of each."""
        pairs = ((name, getattr(self, name), getattr(most, name)) for name in LIMITS)
        return Limits(
            **{name: min((one for one in (a, b) if one is not None), default=None) for name, a, b in pairs}
        )


LIMITS = tuple(field.name for field in fields(Limits))


@dataclass(frozen=True, slots=True, kw_only=True)
class InputFile:
    """A file that the job needs. `name` is relative to its directory, `size` in bytes, `sha256` in hex."""

    name: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        check_relative_name(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSecret:
    """A secret that the job needs, sealed for the service (`copilot.protocol.crypto.job_secrets`) and bound to job and name."""

    name: str
    sealed: str = field(repr=False)

    def __post_init__(self) -> None:
        check_secret_name(self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobSpec:
    """What was submitted; never changes.

    `command` and `validation` name files below the job's directory. `arguments` is a shell word list and
    `environment` shell text: a shell reads them inside the job's sandbox and nowhere else (protocol page,
    section 2). The job fails with the `max_attempts`-th attempt that the infrastructure has spoilt, or the
    `max_user_attempts`-th that failed by itself. `max_run_time` in seconds, None for the manager's own. Higher `priority` goes first. `input_dir` is
    the directory on `chirp_server` where the inputs lie, None: where staging puts them. `exclusive`: never two attempts
    at once, rather stopped than doubled. `requirements` is an expression over what a host says of itself
    (`copilot.matching`), empty for a job that may run on any. `project`: for whose work it is, a word of its owner's account.
    `staged` is the directory below that of the job's inputs where they lie, empty for that one itself: who submits from
    afar has one of his own, so that two who choose one id cannot meet. A job with `secrets` requires a sealed session. `memory` to `disk`
    as in `Limits`. `network`: it needs the network. `image` names the container image that it runs in, empty for none.
    It needs at least so many `cores`, can use as many as `max_cores` (None: no more than that), and needs `gpus` for itself
    (decision 20). `tags` are words by which people find it. It waits until the jobs of `after` are done, and those of
    `after_any` over, however they ended (decision 21). With `array` it is so many jobs, its elements: each has it, too, and its `index`, from 0.
    `rank` is an expression like `requirements`, a number: of several idle hosts the one with the highest is preferred (decision 23).
    With `hold` it is held from the beginning, until somebody releases it.
    """

    id: str
    command: str
    arguments: str = ""
    environment: str = ""
    packages: tuple[str, ...] = ()
    inputs: tuple[InputFile, ...] = ()
    validation: str | None = None
    priority: int = 0
    owner: str = ""
    requirements: str = ""
    max_attempts: int = DEFAULT_MAX_ATTEMPTS
    max_user_attempts: int = 1
    max_run_time: float | None = None
    chirp_server: str | None = None
    input_dir: str | None = None
    exclusive: bool = False
    project: str = ""
    staged: str = ""
    secrets: tuple[JobSecret, ...] = ()
    memory: int | None = None
    cpu_time: float | None = None
    processes: int | None = None
    open_files: int | None = None
    file_size: int | None = None
    disk: int | None = None
    network: bool = False
    image: str = ""
    cores: int = 1
    max_cores: int | None = None
    gpus: int = 0
    tags: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    after_any: tuple[str, ...] = ()
    array: int = 0
    index: int | None = None
    rank: str = ""
    hold: bool = False

    def __post_init__(self) -> None:
        check_job_id(self.id)
        check_relative_name(self.command)
        if self.validation is not None:
            check_relative_name(self.validation)
        if self.input_dir is not None and self.input_dir != "/":  # that is the server's root
            check_relative_name(self.input_dir.removeprefix("/"))
        if self.staged:
            check_relative_name(self.staged)
        self._check_names()
        self._check_text()
        if self.secrets:
            self._check_secrets()
        self._check_limits()
        self._check_wishes()
        if self.array or self.index is not None:
            self._check_array()

    @property
    def submitted_as(self) -> str:
        """The id under which it was submitted: that of its array, or its own. Inputs and secrets are for that one."""
        return self.id if self.index is None else self.id.removesuffix(f".{self.index}")

    @property
    def is_array(self) -> bool:
        """Whether it stands for its elements, and is not one of them."""
        return self.array > 0 and self.index is None

    def element(self, index: int) -> Self:
        """The job that is this element of the array."""
        return replace(self, id=element_id(self.id, index), index=index)

    @property
    def limits(self) -> Limits:
        """What it may use at most."""
        return Limits(**{name: getattr(self, name) for name in LIMITS})

    def with_secrets_of(self, known: JobSpec) -> JobSpec:
        """With the secrets of `known`, if they have the same names: nobody can tell whether what is sealed is the same, and
        those that are on the queue count."""
        same = [one.name for one in self.secrets] == [one.name for one in known.secrets]
        return replace(self, secrets=known.secrets) if same else self

    def staged_name(self, name: str) -> str:
        """Where the input `name` lies below the directory of the job's inputs."""
        return f"{self.staged}/{name}" if self.staged else name

    def _check_names(self) -> None:
        named = (self.command, self.validation or "", *(item.name for item in self.inputs))
        names = sum(map(_utf8_bytes, named))
        if len(self.inputs) > MAX_INPUT_FILES or names > MAX_INPUT_NAME_BYTES:
            raise BadName(
                f"job {self.id}: {len(self.inputs)} input files, {names} bytes of names with command and validation; "
                f"at most {MAX_INPUT_FILES} files and {MAX_INPUT_NAME_BYTES} bytes are allowed: pack them into one "
                "archive"
            )
        files = {item.name for item in self.inputs}
        for name in files:
            if clash := files.intersection(map(str, PurePosixPath(name).parents)):
                raise BadName(
                    f"job {self.id}: input {clash.pop()!r} is a file and the directory of {name!r}: rename one"
                )

    def _check_text(self) -> None:
        packages = " ".join(self.packages)
        places = (self.chirp_server or "", self.input_dir or "")
        _utf8_bytes(self.requirements)  # their length has a limit of its own: they do not go to agents
        _utf8_bytes(self.rank)  # nor does this
        text = sum(map(_utf8_bytes, (self.arguments, self.environment, packages, *places)))
        if text > MAX_TEXT_BYTES:
            raise BadName(
                f"job {self.id}: {text} bytes of arguments, environment, packages, Chirp server and directory; at most "
                f"{MAX_TEXT_BYTES} are allowed: put them into an input file"
            )

    def _check_secrets(self) -> None:
        names = {secret.name for secret in self.secrets}
        size = sum(len(secret.sealed) for secret in self.secrets)
        if len(names) < len(self.secrets) or len(names) > MAX_SECRETS or size > MAX_SEALED_TEXT:
            raise BadName(
                f"job {self.id}: {len(self.secrets)} secrets, {size} characters sealed: at most {MAX_SECRETS} with names of "
                f"their own and {MAX_SEALED_TEXT} characters are allowed"
            )
        if not self.requirements.endswith(NEEDS_SEALED):
            raise BadName(f"job {self.id}: a job with secrets must require {NEEDS_SEALED}")

    def _check_limits(self) -> None:
        for name in LIMITS:
            value = getattr(self, name)
            if value is not None and not 0 < value < LARGEST_LIMIT:
                raise BadName(f"job {self.id}: {name} {value}: expected more than 0 and less than 2^63")
        if len(self.image) > MAX_IMAGE or (self.image and not _IMAGE.match(self.image)):
            raise BadName(
                f"job {self.id}: image {self.image[:140]!r}: expected docker://name[:tag], or the absolute path of a .sif file"
            )

    def _check_wishes(self) -> None:
        most = self.cores if self.max_cores is None else self.max_cores
        if not 1 <= self.cores <= most <= MAX_CORES:
            raise BadName(
                f"job {self.id}: {self.cores} to {most} cores: expected 1 to {MAX_CORES}, and no more at least than at most"
            )
        if not 0 <= self.gpus <= MAX_GPUS:
            raise BadName(f"job {self.id}: {self.gpus} gpus: expected 0 to {MAX_GPUS}")
        if len(self.tags) > MAX_TAGS or not all(map(_TAG.match, self.tags)):
            raise BadName(
                f"job {self.id}: tags {' '.join(self.tags)[:140]!r}: expected at most {MAX_TAGS}, each of 1 to 64 letters, digits, "
                "'.', '_', ':', '=' or '-', the first a letter or digit"
            )
        if len(self.after) + len(self.after_any) > MAX_AFTER:
            raise BadName(
                f"job {self.id}: waits for {len(self.after) + len(self.after_any)} jobs: at most {MAX_AFTER} are allowed; give "
                "one job the task to wait for some of them"
            )
        for job in (*self.after, *self.after_any):
            if check_job_id(job, submitted=True) == self.id:
                raise BadName(f"job {self.id}: cannot wait for its own end")

    def _check_array(self) -> None:
        if not 1 <= self.array <= MAX_ARRAY:
            raise BadName(f"job {self.id}: an array of {self.array}: expected 1 to {MAX_ARRAY} elements")
        if self.index is None:
            check_job_id(element_id(self.id, self.array - 1))
        elif not 0 <= self.index < self.array or split_element(self.id) != (self.submitted_as, self.index):
            raise BadName(
                f"job {self.id}: index {self.index} of {self.array}: expected an id that ends in it"
            )

    def to_json(self) -> str:
        """One line of JSON with the fields that differ from their defaults."""
        said = {name: value for name, default in _defaults() if (value := getattr(self, name)) != default}
        for name in ("inputs", "secrets"):
            if name in said:
                said[name] = [asdict(item) for item in getattr(self, name)]
        return _encode(said)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """The inverse of `to_json`; fields of a newer version are ignored."""
        data: dict[str, Any] = json.loads(text)
        data = {name: value for name, value in data.items() if name in cls.__slots__}
        data["inputs"] = tuple(InputFile(**item) for item in data.get("inputs", ()))
        data["secrets"] = tuple(JobSecret(**item) for item in data.get("secrets", ()))
        for name in ("packages", "tags", "after", "after_any"):
            data[name] = tuple(data.get(name, ()))
        return cls(**data)


@cache
def _defaults() -> tuple[tuple[str, object], ...]:
    """The fields of a specification in order, each with its default."""
    return tuple((one.name, one.default) for one in fields(JobSpec))


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """The packed output of one attempt: `<id>.tgz`, `size` in bytes, `sha256` in hex."""

    size: int
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an attempt ended.

    `exit_code` is what a shell would say (signal n as 128 + n). `reason` is one line for people.
    `output` is None where nothing could be stored. `tail` is the end of stderr. `sandbox` is how the payload was kept apart and
    limited, in the words of the host's JDL. What it used, as far as that is known: `cpu_time` (s) of all its processes,
    the most `memory` at a time and `disk` in its directory (bytes). It lasted for `wall_time` (s), from the first input to the last
    process; `bytes_in` were fetched for it, and `bytes_out` of output stored.
    """

    cause: Cause
    exit_code: int
    reason: str = ""
    host: str = ""
    validate_exit_code: int | None = None
    output: Output | None = None
    tail: str = ""
    sandbox: str = ""
    cpu_time: float | None = None
    memory: int | None = None
    disk: int | None = None
    wall_time: float | None = None
    bytes_in: int | None = None
    bytes_out: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How one attempt ended: `done`, `failed`, `requeued` or `handed-back`. Times are seconds since the epoch.

    `outcome` is without its output, and None for an attempt that was handed back.
    """

    attempt: int
    agent: str
    claimed: float
    ended: float
    kind: EventKind
    cause: Cause
    outcome: Outcome | None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """All that the store knows about a job. Times are seconds since the epoch, by the store's clock."""

    spec: JobSpec
    state: State
    attempt: int  # of the last claim; 0 before the first
    attempts_used: int  # claims that count: not those handed back, or tried again after a failure of its own
    agent: str | None  # bare JID of the agent that holds, or last held, the job
    submitted: float
    first_event: str  # where its story begins in the event stream
    claimed: float | None = None
    finished: float | None = None
    outcome: Outcome | None = None
    published: bool = False  # the finisher has taken the result to its place
    user_failures: int = 0  # attempts in which the job itself has failed
    cores: int = 1  # that the last claim gave it


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One entry of the event stream. `id` orders them; `time` is seconds since the epoch. `job` is "" where it tells of
    an agent alone. `wait` of a job's first claim: seconds since its submission."""

    id: str
    time: float
    job: str
    kind: EventKind
    attempt: int = 0
    agent: str = ""
    cause: str = ""
    text: str = ""
    wait: float | None = None
