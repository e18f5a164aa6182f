"""The generic job manager: gives waiting jobs to agents that ask (report, section 2.2.1).

Stateless: what it knows is in the store, what it said last is in the endpoint's outbox, and both may die with
it. Every instance of the account does all of this at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol
from urllib.parse import quote

from copilot.errors import StoreUnavailable
from copilot.job import Cause, EventKind, JobSpec, Outcome, alias, one_line, split_alias
from copilot.protocol.claim import Claim, Claims
from copilot.protocol.commands import (
    CancelJob,
    Drain,
    Error,
    GetJob,
    HaveGetJob,
    HeldJob,
    Job,
    JobInput,
    LeaseLost,
    Leaving,
    RenewLease,
    RunJob,
    Sleep,
    WantGetJob,
)
from copilot.protocol.envelope import bare
from copilot.protocol.events import Acked, Expired, Received, Refused
from copilot.protocol.rules import FEATURE_LEASE, FEATURE_STORAGE
from copilot.runtime.component import (
    Action,
    Actions,
    Event,
    Leave,
    Offline,
    Online,
    Refuse,
    Send,
    Stopping,
    Tick,
    Withhold,
)
from copilot.runtime.counts import JobCounts
from copilot.store.base import Claimed, Held, Store
from copilot.store.rules import MAX_BATCH, PHASES

log = logging.getLogger("copilot.jobmanager")

REAP_EVERY = 5.0  # s
LOOKS_A_LEASE = 4  # at least, so that a dead agent's job is back well within two leases
TOLD_AT_ONCE = 100  # agents in one round that somebody wants to leave
REFUSED_FOR_NOW = ("no-slot", "busy-with-job")


class InputUrls(Protocol):
    """Makes the URLs from which agents fetch input files."""

    def input_url(self, job: str, name: str, expires_in: float) -> str:
        """Where the input file `name` of `job` can be fetched for the next `expires_in` seconds."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class JobManagerSettings:
    """What the job manager's logic needs of the configuration; times in seconds. `leases`: other lengths than `lease`, by
    class of agent."""

    require_file: str | None = None
    request_cooldown: float = 0.0
    dispatch_limit: float = 60.0
    lease: float = 60.0
    leases: Mapping[str, float] = field(default_factory=dict)
    max_run_time: float = 24 * 3600.0
    url_lifetime: float = 7 * 24 * 3600.0
    chirp: str = ""  # host:port of the Chirp server, as agents reach it; empty where there is none


class JobManager:
    """Answers `want_getJob` and `getJob`, and takes back what was lost."""

    def __init__(
        self,
        store: Store,
        claims: Claims,
        settings: JobManagerSettings,
        *,
        urls: InputUrls | None,
        random: Callable[[], float],
        counts: JobCounts | None = None,
    ) -> None:
        """`urls` is None where files travel by Chirp alone. What is done is counted in `counts`."""
        self._store = store
        self._claims = claims
        self._settings = settings
        self._urls = urls
        self._random = random
        self._counts = counts or JobCounts()
        self._next_reap: float | None = None
        self._told = 0  # how many of the agents that somebody wants to leave were told in this turn
        self._up_since: float | None = None  # since when agents can reach us, and we the store

    def wakeup(self) -> float | None:
        """When expired attempts are to be looked for."""
        return self._next_reap

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        """As `Component.handle`."""
        match event:
            case Received():
                return self._heard(event, now)
            case Acked(command=RunJob() as command):
                return self._confirm(command)
            case Refused(command=RunJob() as command, error=error):
                return self._refused(command, error)
            case Expired(command=RunJob() as command):
                return self._undelivered(command)
            case Online():
                self._up_since = now
                self._next_reap = now if self._next_reap is None else self._next_reap
            case Offline():
                self._up_since = None
            case Tick() if self._next_reap is not None and self._next_reap <= now:
                shortest = min([self._settings.lease, *self._settings.leases.values()])
                every = min(REAP_EVERY, shortest / LOOKS_A_LEASE)
                self._next_reap = now + every * (0.5 + self._random())
                return self._reap(now)
            case Stopping():
                return [Leave()]
        return []

    def _heard(self, received: Received, now: float) -> Actions | Awaitable[Actions]:
        match received.command:
            case WantGetJob():
                return self._offer(received)
            case GetJob():
                return self._give(received, received.command, now)
            case RenewLease() as renewal:
                return self._renew(received, renewal)
            case Leaving() as goodbye:
                return self._part(received, goodbye)
        return []

    async def _offer(self, want: Received) -> Actions:
        """`have_getJob` if there is anything to have (2.2.1.2)."""
        if not self._can_serve(want):
            return []
        holds = await self._held(want)
        if await self._store.waiting():
            return [Send(to=want.sender, command=HaveGetJob(require_file=self._settings.require_file))]
        return self._nothing(want, holds)

    async def _give(self, request: Received, command: GetJob, now: float) -> Actions:
        """`runJob`, with a claim (2.2.1.4); the same request again gets the same job again."""
        if not self._can_serve(request):
            text = (
                "this service hands files out by HTTP only, which needs an agent with the feature 'storage'"
            )
            return [Refuse(received=request, code="storage-needed", text=text)]
        holds = await self._held(request)
        claimed = await self._store.claim(
            agent=bare(request.sender),
            request=request.id or "",
            dispatch_limit=self._settings.dispatch_limit,
            holder=request.sender if request.features is None else "",
            lease=self._lease(command.agent_class) if _renews(request) else None,
        )
        self._count_claims(claimed, leased=_renews(request))
        void_at = now + self._settings.dispatch_limit
        actions: list[Action] = [
            Send(to=request.sender, command=self._run_job(item, request), void_at=void_at) for item in claimed
        ]
        for item in claimed:
            log.info("job %s, attempt %d: handed to %s", item.spec.id, item.attempt, request.sender)
        return actions or await self._nothing_claimed(request, holds)

    def _lease(self, agent_class: str | None) -> float:
        return self._settings.leases.get(agent_class or "", self._settings.lease)

    def _count_claims(self, claimed: Sequence[Claimed], *, leased: bool) -> None:
        new = sum(not one.again for one in claimed)
        self._counts.claims += new
        self._counts.leases_granted += new * leased

    async def _nothing_claimed(self, request: Received, holds: int) -> Actions:
        """Another agent was quicker, or this one is in quarantine: then ours comes again after it."""
        seconds = await self._store.quarantine(bare(request.sender))
        if not seconds:
            return self._nothing(request, holds)
        log.warning("%s is in quarantine for %.0f s more: jobs keep failing there", request.sender, seconds)
        if request.features is None:  # it would reboot
            return []
        return [Send(to=request.sender, command=Sleep(retry_after=float(math.ceil(seconds))))]

    async def _held(self, request: Received) -> int:
        """How many jobs an agent of 2011 was given and has not reported. It asks only when it holds none, so
        they seem lost: the store gives them some time (protocol page, section 2)."""
        return 0 if request.features is not None else await self._store.suspect(request.sender)

    def _nothing(self, request: Received, holds: int) -> Actions:
        """No job. A 2011 agent reboots its machine on `sleep`: it gets it only where the operator wants that, and
        never while it may hold a job."""
        cooldown = self._settings.request_cooldown
        if request.features is None and (cooldown == 0 or holds):
            return []
        return [Send(to=request.sender, command=Sleep(retry_after=cooldown))]

    def _can_serve(self, request: Received) -> bool:
        """Whether the agent can get at files: by URLs, or by Chirp where there is a server."""
        return bool(self._settings.chirp) or _takes_urls(request)

    def _run_job(self, item: Claimed, request: Received) -> RunJob:
        spec, agent = item.spec, bare(request.sender)
        claim = Claim(job=spec.id, attempt=item.attempt, agent=agent, started=item.claimed)
        job = self._describe(spec, item.attempt)
        if request.features is not None:
            job = replace(job, id=spec.id, attempt=item.attempt, max_run_time=self._run_time(spec))
        if _renews(request):
            job = replace(job, lease=item.lease, exclusive=spec.exclusive or None)
        if _takes_urls(request):
            job = replace(job, inputs=self._inputs(spec))
        return RunJob(job=job, jm_job_data=self._claims.sign(claim))

    def _describe(self, spec: JobSpec, attempt: int) -> Job:
        """The job in the report's words, for agents of 2011."""
        return Job(
            id=alias(spec.id, attempt),
            command=spec.command,
            arguments=spec.arguments,
            environment=spec.environment,
            packages=spec.packages,
            validation=spec.validation,
            chirp_url=spec.chirp_server or self._settings.chirp,
            input_dir=_input_dir(spec),
            input_files=tuple(item.name for item in spec.inputs),
            output_dir=alias(spec.id, attempt),
        )

    def _inputs(self, spec: JobSpec) -> tuple[JobInput, ...]:
        return tuple(
            JobInput(name=item.name, url=self._url(spec, item.name), size=item.size, sha256=item.sha256)
            for item in spec.inputs
        )

    def _url(self, spec: JobSpec, name: str) -> str:
        """By the file server if it has the file, else by Chirp."""
        if self._urls is not None and spec.input_dir is None:
            return self._urls.input_url(spec.id, name, self._settings.url_lifetime)
        server = spec.chirp_server or self._settings.chirp
        return f"chirp://{server}{quote(_input_dir(spec).rstrip('/'))}/{quote(name)}"

    def _run_time(self, spec: JobSpec) -> float:
        limit = self._settings.max_run_time
        return limit if spec.max_run_time is None else min(limit, spec.max_run_time)

    async def _confirm(self, command: RunJob) -> Actions:
        """The agent has it; from now on it may run."""
        job, attempt = _attempt(command)
        if not await self._store.confirm(job, attempt, max_run_time=self._settings.max_run_time):
            log.info("job %s, attempt %d: confirmed too late", job, attempt)
        return []

    async def _refused(self, command: RunJob, error: Error) -> Actions:
        """The agent cannot take the job now, which counts nothing, or cannot read it: that attempt has failed."""
        job, attempt = _attempt(command)
        if error.code in REFUSED_FOR_NOW:
            await self._hand_back(job, attempt)
            return []
        reason = one_line(f"the agent refused the job: {error.code}: {error.error_string}")
        log.warning("job %s, attempt %d: %s", job, attempt, reason)
        outcome = Outcome(cause=Cause.INFRA_UNDELIVERED, exit_code=1, reason=reason)
        self._counts.wrote((await self._store.finish(job, attempt, outcome)).events)
        return []

    async def _undelivered(self, command: RunJob) -> Actions:
        """No acknowledgement within the dispatch limit: somebody else may have it."""
        job, attempt = _attempt(command)
        if await self._hand_back(job, attempt):
            log.warning("job %s, attempt %d: never confirmed by its agent; back in the queue", job, attempt)
        return []

    async def _hand_back(self, job: str, attempt: int) -> bool:
        event = await self._store.hand_back(job, attempt, cause=Cause.INFRA_UNDELIVERED)
        self._counts.wrote([] if event is None else [event])
        return event is not None

    async def _renew(self, received: Received, renewal: RenewLease) -> Actions:
        """The leases of a living agent begin anew; what it holds no longer it is told to stop. Then its renewal is not
        acknowledged: a copy of it must be told the same, not that all is well."""
        gone: list[HeldJob] = []
        for held in _batches(renewal.held):
            renewed = await self._store.renew(bare(received.sender), held)
            self._counts.leases_renewed += len(held) - len(renewed.lost)
            self._counts.leases_revived += len(renewed.revived)
            gone.extend(HeldJob(id=one.job, attempt=one.attempt) for one in renewed.lost)
        if not gone:
            return []
        return [Send(to=received.sender, command=LeaseLost(held=tuple(gone))), Withhold()]

    async def _part(self, received: Received, goodbye: Leaving) -> Actions:
        """What an agent gives back waits again before it hears so; it may end then."""
        for held in _batches(goodbye.held):
            events = await self._store.leave(bare(received.sender), held)
            self._counts.wrote(events)
            for one in events:
                log.info("job %s, attempt %d: given back by %s", one.job, one.attempt, received.sender)
        log.info("%s leaves", received.sender)
        return []

    async def _reap(self, now: float) -> Actions:
        """Only what its agent had time to renew: an outage of the service takes no job from anybody."""
        if self._up_since is None:
            return []
        try:
            events = await self._store.reap(up_for=now - self._up_since)
        except StoreUnavailable:
            if self._up_since is not None:  # the session may have gone meanwhile
                self._up_since = now
            raise
        self._counts.reaped(events)
        for event in events:
            if event.kind is EventKind.QUARANTINED:
                log.warning("agent %s: quarantined: %s", event.agent, event.text)
            else:
                log.warning("job %s, attempt %d: %s (%s)", event.job, event.attempt, event.kind, event.cause)
        cancel = [
            Send(to=one.agent, command=CancelJob(job_id=one.job, attempt=one.attempt))
            for one in await self._store.cancelling()
        ]
        return [*cancel, *await self._drain()]

    async def _drain(self) -> list[Action]:
        """Tell some of the agents that somebody wants to leave, in the next round the next ones."""
        agents = await self._store.draining(skip=self._told, limit=TOLD_AT_ONCE)
        self._told = self._told + TOLD_AT_ONCE if len(agents) == TOLD_AT_ONCE else 0
        return [Send(to=agent, command=Drain()) for agent in agents]


def _attempt(command: RunJob) -> tuple[str, int]:
    """The job and the attempt that we have sent: ours have both, those of 2011 an alias."""
    job = command.job
    return split_alias(job.id) if job.attempt is None else (job.id, job.attempt)


def _batches(named: Sequence[HeldJob]) -> Iterator[list[Held]]:
    """What an agent says that it holds, in parts that the store takes; at least one, for a goodbye without jobs is one,
    too. A phase of a newer version is none to us."""
    for start in range(0, max(1, len(named)), MAX_BATCH):
        yield [
            Held(job=one.id, attempt=one.attempt, phase=one.phase if one.phase in PHASES else "")
            for one in named[start : start + MAX_BATCH]
        ]


def _renews(request: Received) -> bool:
    return request.features is not None and FEATURE_LEASE in request.features


def _takes_urls(request: Received) -> bool:
    return request.features is not None and FEATURE_STORAGE in request.features


def _input_dir(spec: JobSpec) -> str:
    """Where the inputs lie on the Chirp server; attempts count from 1, so 0 is what was there before them."""
    return f"/{alias(spec.id, 0)}" if spec.input_dir is None else f"/{spec.input_dir.strip('/')}"
