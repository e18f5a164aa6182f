"""What an agent is told of a job that it gets: in the report's words, and in ours for agents that understand them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from typing import Any, Protocol, Self
from urllib.parse import quote

from copilot.errors import CopilotError, SealError
from copilot.grid.environment import shell_environment
from copilot.job import LIMITS, MAX_SECRETS_BYTES, InputFile, JobSecret, JobSpec, alias
from copilot.protocol.claim import Claim, Claims
from copilot.protocol.commands import Job, JobInput, RunJob, Secret
from copilot.protocol.envelope import bare
from copilot.protocol.events import Received
from copilot.protocol.rules import (
    FEATURE_DIRECT,
    FEATURE_LEASE,
    FEATURE_PUSH,
    FEATURE_RESOURCES,
    FEATURE_STORAGE,
    FEATURES,
    SMALL_INPUTS,
)
from copilot.protocol.security import proves_sender
from copilot.records import dataclass
from copilot.store.base import Claimed, Parking

INDEX = "{index}"  # in the arguments of an array: the number of the element


class InputContents(Protocol):
    """Reads input files that are on this machine."""

    def small_input(self, job: str, name: str, size: int) -> bytes | None:
        """The contents of an input of so many bytes; None if it is not here, or not so large any more."""
        ...


class SecretOpener(Protocol):
    """Opens what was sealed for this service."""

    def __call__(self, secret: JobSecret, job: str) -> bytes:
        """Raises `SealError`."""
        ...


class NotSealed(CopilotError):
    """A job with secrets is for agents in a sealed session, and this one is in none."""


class InputUrls(Protocol):
    """Makes the URLs from which agents fetch input files."""

    def input_url(self, job: str, name: str, expires_in: float) -> str:
        """Where the input file `name` of `job` can be fetched for the next `expires_in` seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """An agent that wants jobs: its full JID, the features that it announces (None: one of 2011), and whether it speaks in a
    sealed session."""

    jid: str
    features: frozenset[str] | None
    sealed: bool = False
    session: str = ""  # the one in which it speaks, in secure mode

    @classmethod
    def of(cls, request: Received) -> Self:
        """Who has sent it."""
        return cls(
            jid=request.sender,
            features=request.features,
            sealed=request.sealed,
            session=request.session,
        )

    @classmethod
    def parked(cls, parking: Parking) -> Self:
        """Who was parked before."""
        session = parking.session
        return cls(
            jid=parking.jid,
            features=frozenset(parking.features),
            sealed=proves_sender(session),
            session=session,
        )

    @property
    def renews(self) -> bool:
        """Whether it holds jobs by leases."""
        return FEATURE_LEASE in (self.features or ())

    @property
    def takes_urls(self) -> bool:
        """Whether it can fetch files by URL; else by Chirp alone."""
        return FEATURE_STORAGE in (self.features or ())

    @property
    def takes_contents(self) -> bool:
        """Whether small files may come with the job."""
        return self.takes_urls and FEATURE_DIRECT in (self.features or ())

    @property
    def packs(self) -> bool:
        """Whether it says what it has free, and gives each job what it takes."""
        return FEATURE_RESOURCES in (self.features or ())

    @property
    def waits(self) -> bool:
        """Whether it is given work as soon as there is some; else it has to ask again."""
        return FEATURE_PUSH in (self.features or ())

    @property
    def parking(self) -> Parking | None:
        """As the store remembers it until there is work for it; None for one that has to ask again."""
        if not self.waits:
            return None
        known = frozenset(FEATURES) & (self.features or frozenset())  # the store keeps nothing else of theirs
        return Parking(jid=self.jid, features=tuple(sorted(known)), session=self.session)


class Orders:
    """Makes `runJob` of what was claimed."""

    def __init__(
        self,
        claims: Claims,
        *,
        urls: InputUrls | None,
        contents: InputContents | None,
        url_lifetime: float,
        chirp: str,
        max_run_time: float,
        require_file: str | None,
        opener: SecretOpener | None = None,
    ) -> None:
        """As in `JobManagerSettings`; `urls` is None where files travel by Chirp alone, `contents` where they are
        elsewhere, `opener` where there are no keys."""
        self._opener = opener
        self._claims = claims
        self._urls = urls
        self._contents = contents
        self._url_lifetime = url_lifetime
        self._chirp = chirp
        self._max_run_time = max_run_time
        self._require_file = require_file

    def can_serve(self, asker: Asker) -> bool:
        """Whether the agent can get at files: by URLs, or by Chirp where there is a server."""
        return bool(self._chirp) or asker.takes_urls

    def run_job(self, item: Claimed, asker: Asker) -> RunJob:
        """With a claim in its name (2.2.1.4). Raises `NotSealed`, and `SealError` if a secret of the job cannot be opened."""
        spec = item.spec
        claim = Claim(job=spec.id, attempt=item.attempt, agent=bare(asker.jid), started=item.claimed)
        ours: dict[str, Any] = {}
        if asker.features is not None:
            ours |= {"attempt": item.attempt, "max_run_time": self._run_time(spec)}
            ours |= {name: value for name in LIMITS if (value := getattr(spec, name)) is not None}
            ours |= {"network": spec.network, "image": spec.image or None}
        if asker.packs:
            ours |= {"cores": item.cores, "gpus": spec.gpus or None}
        if asker.renews:
            ours |= {"lease": item.lease, "exclusive": spec.exclusive or None}
        secrets = self._secrets(spec, asker) if spec.secrets else ()
        if asker.takes_urls:  # what goes with the job goes in one stanza, secrets and inputs
            room = SMALL_INPUTS - sum(len(secret.data) for secret in secrets)
            ours |= {"inputs": self._inputs(spec, with_contents=asker.takes_contents, room=room)}
        if secrets:
            ours |= {"secrets": secrets}
        job = self._describe(spec, item.attempt, ours)
        required = self._require_file if asker.waits else None
        return RunJob(job=job, jm_job_data=self._claims.sign(claim), require_file=required)

    def _describe(self, spec: JobSpec, attempt: int, ours: Mapping[str, Any]) -> Job:
        """The job in the report's words, and what agents with features are told besides; those of 2011 know an attempt by
        an alias of the job's id."""
        return Job(
            id=spec.id if "attempt" in ours else alias(spec.id, attempt),
            command=spec.command,
            arguments=_arguments(spec),
            environment=_environment(spec),
            packages=spec.packages,
            validation=spec.validation,
            chirp_url=spec.chirp_server or self._chirp,
            input_dir=_input_dir(spec),
            input_files=tuple(item.name for item in spec.inputs),
            output_dir=alias(spec.id, attempt),
            **ours,
        )

    def _secrets(self, spec: JobSpec, asker: Asker) -> tuple[Secret, ...]:
        if not asker.sealed or asker.features is None:
            raise NotSealed(f"{asker.jid} speaks in no sealed session")
        if self._opener is None:
            raise SealError("this manager has no keys")
        values = [(one.name, self._opener(one, spec.submitted_as)) for one in spec.secrets]
        if sum(len(value) for _, value in values) > MAX_SECRETS_BYTES:
            raise SealError(f"the secrets of the job are more than {MAX_SECRETS_BYTES} bytes")
        return tuple(Secret(name=name, data=b64encode(value).decode("ascii")) for name, value in values)

    def _inputs(self, spec: JobSpec, *, with_contents: bool, room: int) -> tuple[JobInput, ...]:
        inputs, left = [], room if with_contents else 0
        for item in spec.inputs:
            data = self._data(spec, item) if item.size <= left else None
            left -= 0 if data is None else item.size
            url = self._url(spec, item.name)
            inputs.append(JobInput(name=item.name, url=url, size=item.size, sha256=item.sha256, data=data))
        return tuple(inputs)

    def _data(self, spec: JobSpec, item: InputFile) -> str | None:
        if self._contents is None or spec.input_dir is not None or not item.sha256:
            return None
        found = self._contents.small_input(spec.submitted_as, spec.staged_name(item.name), item.size)
        return None if found is None else b64encode(found).decode("ascii")

    def _url(self, spec: JobSpec, name: str) -> str:
        """By the file server if it has the file, else by Chirp."""
        if self._urls is not None and spec.input_dir is None:
            return self._urls.input_url(spec.submitted_as, spec.staged_name(name), self._url_lifetime)
        server = spec.chirp_server or self._chirp
        return f"chirp://{server}{quote(_input_dir(spec).rstrip('/'))}/{quote(name)}"

    def _run_time(self, spec: JobSpec) -> float:
        limit = self._max_run_time
        return limit if spec.max_run_time is None else min(limit, spec.max_run_time)


def _arguments(spec: JobSpec) -> str:
    """An element of an array finds its number where `{index}` stands."""
    return spec.arguments if spec.index is None else spec.arguments.replace(INDEX, str(spec.index))


def _environment(spec: JobSpec) -> str:
    """As shell text; an element of an array finds in it which one it is, so agents of any age can run it."""
    if spec.index is None:
        return spec.environment
    told = {"ID": spec.submitted_as, "INDEX": str(spec.index), "SIZE": str(spec.array)}
    ours = shell_environment({f"COPILOT_ARRAY_{name}": value for name, value in told.items()})
    return "\n".join(filter(None, (spec.environment, ours)))


def _input_dir(spec: JobSpec) -> str:
    """Where the inputs lie on the Chirp server; attempts count from 1, so 0 is what was there before them."""
    if spec.input_dir is not None:
        return f"/{spec.input_dir.strip('/')}"
    return f"/{alias(spec.submitted_as, 0)}/{spec.staged}".rstrip("/")
