"""The generic job manager: gives waiting jobs to agents that ask (report, section 2.2.1).

Stateless: what it knows is in the store, what it said last is in the endpoint's outbox, and both may die with
it. Every instance of the account does all of this at once.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field

from copilot.errors import CopilotError, SealError, StoreUnavailable
from copilot.job import Cause, EventKind, Outcome, one_line, split_alias
from copilot.jobmanager.late import LateOffers
from copilot.jobmanager.orders import Asker, InputContents, InputUrls, NotSealed, Orders, SecretOpener
from copilot.jobmanager.telling import Telling
from copilot.log import JobRef, PeerRef, rate_limited
from copilot.matching.host import marked
from copilot.matching.resources import Free
from copilot.protocol.claim import Claims
from copilot.protocol.commands import (
    Error,
    GetJob,
    HaveGetJob,
    HeldJob,
    JobDone,
    JobOutput,
    LeaseLost,
    Leaving,
    RenewLease,
    RunJob,
    Sleep,
    WantGetJob,
)
from copilot.protocol.envelope import bare
from copilot.protocol.events import Acked, Expired, Received, Refused, Undeliverable
from copilot.records import dataclass
from copilot.runtime.component import (
    Action,
    Actions,
    Came,
    Event,
    Gone,
    Hinted,
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
ORDERS = "orders"  # the hint that agents are to be told something
DISPATCH_EVERY = 1.0  # s, without a hint
DISPATCHED_AT_ONCE = 100  # jobs
SHOW_UP_WITHIN = 480.0  # s that a parked agent may be silent; the store forgets it after `rules.PARKED_FOR`
PUSH_WITHIN = 25.0  # s that a parked agent has to confirm a job: time for one copy, should the first get lost
GONE_FOR = 5.0  # s; who was parked later than that before we hear that it is gone has come back meanwhile
LONGEST_RETURN = 600.0  # s after an outage; who has not come back then is taken for dead
UNREADABLE = 125  # exit code of a job that never began, as an agent has it
REFUSED_FOR_NOW = ("no-slot", "busy-with-job", "no-file", "no-image")


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
        contents: InputContents | None = None,
        opener: SecretOpener | None = None,
        random: Callable[[], float],
        counts: JobCounts | None = None,
    ) -> None:
        """`urls` is None where files travel by Chirp alone, `contents` where they are on another machine. What is done is
        counted in `counts`."""
        self._store = store
        self.settings = settings  # may be replaced while it runs; of `url_lifetime`, `max_run_time` and `chirp` the first counts
        self._orders = Orders(
            claims,
            urls=urls,
            contents=contents,
            url_lifetime=settings.url_lifetime,
            chirp=settings.chirp,
            max_run_time=settings.max_run_time,
            require_file=settings.require_file,
            opener=opener,
        )
        self._random = random
        self._counts = counts or JobCounts()
        self._next_reap: float | None = None
        self._telling = Telling(store)
        self._up_since: float | None = None  # since when agents can reach us, and we the store
        self._online_since = -math.inf  # the begin of our session
        self._next_dispatch: float | None = None
        self._dispatching = False
        self._hinted = False  # while we were dispatching
        self._late = LateOffers()

    def wakeup(self) -> float | None:
        """When expired attempts are to be looked for, work for parked agents, or outputs that somebody wants to see."""
        times = (self._next_reap, self._next_dispatch, self._next_look)
        return min((when for when in times if when is not None), default=None)

    def handle(self, event: Event, now: float) -> Actions | Awaitable[Actions]:
        """As `Component.handle`."""
        match event:
            case Received():
                return self._heard(event, now)
            case Acked() | Refused() | Expired() | Undeliverable():
                return self._ordered(event)
            case Came():
                self._came(now)
            case Gone(jid=jid):
                return self._unpark(jid, parked_for=GONE_FOR)
            case Hinted(what=what) if self._up_since is not None:
                return self._telling.hinted(now) if what == ORDERS else self._dispatch(now)
            case Online():
                self._up_since = self._next_dispatch = self._online_since = now
                self._next_reap = now if self._next_reap is None else self._next_reap
            case Offline():
                self._up_since = self._next_dispatch = None
            case Tick():
                return self._tick(now)
            case Stopping():
                return [Leave()]
        return []

    def _tick(self, now: float) -> Actions | Awaitable[Actions]:
        """What is due; the next time is set before anything is awaited."""
        reap = self._next_reap is not None and self._next_reap <= now
        dispatch = self._next_dispatch is not None and self._next_dispatch <= now
        tell = None if self._up_since is None else self._telling.due(now)
        if reap:
            shortest = min([self.settings.lease, *self.settings.leases.values()])
            self._next_reap = now + min(REAP_EVERY, shortest / LOOKS_A_LEASE) * (0.5 + self._random())
        if dispatch:
            self._next_dispatch = now + DISPATCH_EVERY * (0.5 + self._random())
        idle = tell is None and not reap and not dispatch
        return [] if idle else self._round(now, reap=reap, dispatch=dispatch, tell=tell)

    @property
    def _next_look(self) -> float | None:
        return None if self._up_since is None else self._telling.wakeup()

    async def _round(
        self,
        now: float,
        *,
        reap: bool,
        dispatch: bool,
        tell: Callable[[float], Awaitable[Actions]] | None,
    ) -> Actions:
        actions = [*await self._reap(now)] if reap else []
        if tell is not None:
            actions.extend(await tell(now))
        if dispatch:
            actions.extend(await self._dispatch(now))
            actions.extend(await self._offer_late(now))
        return actions

    def _heard(self, received: Received, now: float) -> Actions | Awaitable[Actions]:
        match received.command:
            case WantGetJob():
                return self._offer(received, now)
            case GetJob() as request:
                return self._give(received, request, now)
            case JobDone() as report:
                return self._give_more(received, report, now)
            case RenewLease() as renewal:
                return self._renew(received, renewal)
            case Leaving() as goodbye:
                return self._part(received, goodbye)
            case JobOutput() as answer:
                return self._telling.heard(received, answer, now)
        return []

    async def _offer(self, want: Received, now: float) -> Actions:
        """`have_getJob` if there is anything to have (2.2.1.2), or if it can be given later."""
        asker = Asker.of(want)
        if not self._orders.can_serve(asker):
            return []
        holds = await self._held(want)
        if asker.waits or await self._store.waiting():
            return [Send(to=want.sender, command=HaveGetJob(require_file=self.settings.require_file))]
        nothing = self._nothing(want, holds)
        if want.features is None and not nothing:
            self._late.add(want.sender, now)
        return nothing

    async def _offer_late(self, now: float) -> list[Action]:
        """Work has come for agents of 2011 that wait for the time to ask again."""
        if not self._late:
            return []
        offer = HaveGetJob(require_file=self.settings.require_file)
        return [Send(to=jid, command=offer) for jid in self._late.take(await self._store.waiting(), now)]

    async def _give(self, request: Received, command: GetJob, now: float) -> Actions:
        """`runJob`, with a claim (2.2.1.4); the same request again gets the same jobs again."""
        asker = Asker.of(request)
        if not self._orders.can_serve(asker):
            text = (
                "this service hands files out by HTTP only, which needs an agent with the feature 'storage'"
            )
            return [Refuse(received=request, code="storage-needed", text=text)]
        self._late.forget(request.sender)
        holds = await self._held(request)
        slots = 1 if request.features is None else command.slots or 1
        lease = self._lease(command.agent_class)
        host = marked(command.jdl, sealed=asker.sealed)
        free = _free(command.free, asker)
        given = await self._claim(asker, request.id or "", slots, lease, now, host=host, free=free)
        return given or await self._nothing_claimed(request, holds)

    async def _claim(
        self,
        asker: Asker,
        request: str,
        slots: int,
        lease: float,
        now: float,
        *,
        host: str = "",
        free: Free | None,
    ) -> list[Action]:
        claimed = await self._store.claim(
            agent=bare(asker.jid),
            request=request,
            count=min(slots, MAX_BATCH),
            dispatch_limit=self.settings.dispatch_limit,
            holder=asker.jid if asker.features is None else "",
            lease=lease if asker.renews else None,
            host=host,
            park=asker.parking,
            free=free,
        )
        return await self._order(claimed, asker, now + self.settings.dispatch_limit)

    async def _order(self, claimed: Iterable[Claimed], asker: Asker, void_at: float) -> list[Action]:
        actions: list[Action] = []
        for item in claimed:
            try:
                command = self._orders.run_job(item, asker)
            except (NotSealed, SealError) as error:
                await self._not_ordered(item, asker, error)
                continue
            self._counts.claimed(item, leased=asker.renews)
            log.info("%s: handed to %s", JobRef(item.spec.id, item.attempt), PeerRef(asker.jid))
            actions.append(Send(to=asker.jid, command=command, void_at=void_at, session=asker.session))
        return actions

    async def _not_ordered(self, item: Claimed, asker: Asker, error: CopilotError) -> None:
        """What has secrets goes to nobody who must not have them: back to the queue. If they cannot be opened, nobody can
        run it."""
        job = JobRef(item.spec.id, item.attempt)
        if isinstance(error, NotSealed):
            log.warning("%s: not handed to %s, which speaks in no sealed session", job, PeerRef(asker.jid))
            await self._store.unpark(asker.jid)  # first, or it is given the same job again
            await self._hand_back(item.spec.id, item.attempt)
            return
        log.error("%s: %s; it has failed", job, error)
        outcome = Outcome(cause=Cause.POLICY_SECRETS, exit_code=UNREADABLE, reason=one_line(str(error)))
        settled = await self._store.finish(item.spec.id, item.attempt, outcome)
        self._counts.wrote(settled.events)

    def _give_more(self, received: Received, report: JobDone, now: float) -> Actions | Awaitable[Actions]:
        """The next jobs for an agent that has ended one and says how many it can take."""
        asker = Asker.of(received)
        if not asker.waits or not report.slots or not self._orders.can_serve(asker):
            return []
        lease, free = self._lease(report.agent_class), _free(report.free, asker)
        return self._claim(asker, received.id or "", report.slots, lease, now, free=free)

    async def _dispatch(self, now: float) -> Actions:
        """Work for agents that are parked. A hint that comes meanwhile makes us look again."""
        self._hinted = self._dispatching
        if self._dispatching:
            return []
        self._dispatching = True
        limit = min(self.settings.dispatch_limit, PUSH_WITHIN)
        try:
            given = await self._store.dispatch(dispatch_limit=limit, limit=DISPATCHED_AT_ONCE)
        finally:
            self._dispatching = False
        if (self._hinted or len(given) == DISPATCHED_AT_ONCE) and self._next_dispatch is not None:
            self._next_dispatch = now
        orders = [await self._order([one.claimed], Asker.parked(one.to), now + limit) for one in given]
        return [action for order in orders for action in order]

    async def _unpark(self, jid: str, *, parked_for: float = 0.0) -> Actions:
        await self._store.unpark(jid, parked_for=parked_for)
        return []

    def _lease(self, agent_class: str | None) -> float:
        return self.settings.leases.get(agent_class or "", self.settings.lease)

    async def _nothing_claimed(self, request: Received, holds: int) -> Actions:
        """Another agent was quicker, or this one is in quarantine: then ours comes again after it."""
        seconds = await self._store.quarantine(bare(request.sender))
        if not seconds:
            return self._nothing(request, holds)
        text, sender = "%s is in quarantine for %.0f s more: jobs keep failing there", PeerRef(request.sender)
        rate_limited(log, f"quarantine {bare(request.sender)}", logging.INFO, text, sender, seconds)
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
        self._counts.empty += 1
        cooldown = self.settings.request_cooldown
        if Asker.of(request).waits:  # it gets work by itself
            return [Send(to=request.sender, command=Sleep(retry_after=SHOW_UP_WITHIN))]
        if request.features is None and (cooldown == 0 or holds):
            return []
        return [Send(to=request.sender, command=Sleep(retry_after=cooldown))]

    def _ordered(self, event: Acked | Refused | Expired | Undeliverable) -> Actions | Awaitable[Actions]:
        """What became of a `runJob`."""
        match event:
            case Acked(command=RunJob() as command):
                return self._confirm(event.to, command)
            case Refused(command=RunJob() as command, error=error):
                return self._refused(event.to, command, error)
            case Expired(command=RunJob() as command):
                return self._undelivered(event.to, command)
            case Undeliverable(command=RunJob()):
                return self._unpark(event.to)
            case Undeliverable(command=HaveGetJob()):
                self._late.forget(event.to)
        return []

    async def _confirm(self, jid: str, command: RunJob) -> Actions:
        """The agent has it; from now on it may run."""
        job, attempt = _attempt(command)
        if not await self._store.confirm(job, attempt, max_run_time=self.settings.max_run_time):
            log.info("%s: confirmed too late by %s", JobRef(job, attempt), PeerRef(jid))
        return []

    async def _refused(self, jid: str, command: RunJob, error: Error) -> Actions:
        """The agent cannot take the job now, which counts nothing, or cannot read it: that attempt has failed."""
        job, attempt = _attempt(command)
        if error.code in REFUSED_FOR_NOW:
            await self._store.unpark(jid)  # first, or it is given the same job again
            if await self._hand_back(job, attempt):
                text = "%s: %s cannot take it (%s); back in the queue"
                log.info(text, JobRef(job, attempt), PeerRef(jid), error.code)
            return []
        reason = one_line(f"the agent refused the job: {error.code}: {error.error_string}")
        log.warning("%s: at %s: %s", JobRef(job, attempt), PeerRef(jid), reason)
        outcome = Outcome(cause=Cause.INFRA_UNDELIVERED, exit_code=1, reason=reason)
        self._counts.wrote((await self._store.finish(job, attempt, outcome)).events)
        return []

    async def _undelivered(self, jid: str, command: RunJob) -> Actions:
        """No acknowledgement within the dispatch limit: somebody else may have it. An agent that was parked may be there
        all the same, and believe that it still is: it is offered work, so that it asks."""
        job, attempt = _attempt(command)
        await self._store.unpark(jid, parked_for=PUSH_WITHIN)  # it may have come back, and asked, meanwhile
        if await self._hand_back(job, attempt):
            text = "%s: never confirmed by its agent %s; back in the queue"
            log.warning(text, JobRef(job, attempt), PeerRef(jid))
        if command.job.attempt is None:  # one of 2011, which asks by itself
            return []
        return [Send(to=jid, command=HaveGetJob(require_file=self.settings.require_file))]

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
            for one in renewed.revived:
                sender = PeerRef(received.sender)
                text = "%s: taken for lost, but %s has it still; it goes on"
                log.info(text, JobRef(one.job, one.attempt), sender)
        _tell_gone(received.sender, gone)
        if not gone:
            return []
        return [Send(to=received.sender, command=LeaseLost(held=tuple(gone))), Withhold()]

    async def _part(self, received: Received, goodbye: Leaving) -> Actions:
        """What an agent gives back waits again before it hears so; it may end then."""
        for held in _batches(goodbye.held):
            events = await self._store.leave(bare(received.sender), held)
            self._counts.wrote(events)
            for one in events:
                log.info("%s: given back by %s", JobRef(one.job, one.attempt), PeerRef(received.sender))
        sender = PeerRef(received.sender)
        rate_limited(log, ("leaves", received.sender), logging.INFO, "%s leaves", sender)
        return await self._unpark(received.sender)

    def _came(self, now: float) -> None:
        """A server that lets a large fleet in at once may take longer for that than a lease. While agents still come back,
        less than a lease apart, those who have not got through cannot reach us."""
        returning = self._up_since is not None and now - self._up_since < self.settings.lease
        if returning and now - self._online_since < LONGEST_RETURN:
            self._up_since = now

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
                log.warning("agent %s: quarantined: %s", PeerRef(event.agent), event.text)
            else:
                text, job = "%s: lost with agent %s: %s (%s)", JobRef(event.job, event.attempt)
                log.warning(text, job, PeerRef(event.agent), event.kind, event.cause)
        return await self._telling.all(now)


def _free(text: str | None, asker: Asker) -> Free | None:
    """What an agent has free; None for one that does not say, or says it in words that nobody knows: it gets jobs of one core."""
    if text is None or not asker.packs:
        return None
    try:
        return Free.read(text)
    except ValueError as error:
        rate_limited(log, ("free", asker.jid), logging.WARNING, "agent %s: %s", PeerRef(asker.jid), error)
        return None


def _tell_gone(agent: str, gone: Sequence[HeldJob]) -> None:
    """It says so with each renewal until it has heard us."""
    for one in gone:
        job = JobRef(one.id, one.attempt)
        text = "%s: %s says that it has it, which is over: it is told to stop"
        rate_limited(log, ("gone", job), logging.INFO, text, job, PeerRef(agent))


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
