"""The agent's state machine: look for work, hold it, have it done, get the result home. No I/O.

    (there is room) ──Search──▶ held ──a slot is free, Execute──▶ Delivery ──▶ (gone)

A report to a manager that takes it directly asks for the next jobs, too, and the slot is free before it is acknowledged;
of any other manager a job takes its slot until then.

Report, section 2.2. What the agent has said may be sent elsewhere by a `redirect` (`referral.py`).
"""

from __future__ import annotations

import base64
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import field, replace

from copilot.agent.capacity import NOTHING, Capacity, Room, request_of
from copilot.agent.counts import WAITS, AgentCounts
from copilot.agent.delivery import KEPT_AFTER_RECEIPT, RESULT_KEPT, Delivery, Step
from copilot.agent.drain import NO_LIMITS, Draining, Limits
from copilot.agent.effects import (
    Assignment,
    Execute,
    Forget,
    Kill,
    Note,
    Pack,
    Remember,
    Show,
    Stop,
    Upload,
)
from copilot.agent.exclusive import Exclusives
from copilot.agent.goodbye import GOODBYE_WITHIN, Goodbye
from copilot.agent.leases import Leases
from copilot.agent.referral import Named, NotFollowed, Referral
from copilot.agent.search import Search
from copilot.agent.showing import STREAMS, Part, Showing, answer
from copilot.agent.slots import Slots
from copilot.agent.standing import Standing
from copilot.job import Cause, Outcome, Output, Phase, one_line
from copilot.log import JobRef, MessageRef, PeerRef, in_words, level_of, rate_limited
from copilot.protocol.commands import (
    CancelJob,
    Drain,
    Error,
    GetJob,
    GetJobOutputDir,
    HaveGetJob,
    HaveGetJobOutputDir,
    HeldJob,
    Job,
    JobDone,
    LeaseLost,
    Leaving,
    NewKeys,
    Redirect,
    RenewLease,
    RunJob,
    Sleep,
    StoreJobOutputDir,
    TailJob,
    WantGetJob,
    WantGetJobOutputDir,
)
from copilot.protocol.envelope import bare
from copilot.protocol.events import Acked, Expired, Received, Refused, Undeliverable
from copilot.protocol.rules import FEATURE_DIRECT, FEATURE_RESOURCES
from copilot.records import dataclass
from copilot.runtime.about import message_ref
from copilot.runtime.component import (
    Action,
    Actions,
    Event,
    Finished,
    Ignore,
    Leave,
    Offline,
    Online,
    Perform,
    Refuse,
    Send,
    Stopping,
    Tick,
    Withdraw,
)

log = logging.getLogger("copilot.agent")

LONGEST_WAIT_FOR_DISK = 60.0  # s without asking for work after the journal could not be written
LOOK_AGAIN = 1.0  # s without asking for work while our managers do not hear of us
MOST_UNREPORTED = 16  # results for each slot that may be on their way while new jobs are begun
LEAST_AFTER_RESTART = 3600.0  # s that a result is offered, however old the clock says it is


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What the logic needs of the configuration. `manager` is a bare JID; times in seconds.

    `referral_domains`: where a redirect may lead. `agent_class`: a word by which managers choose the length of leases.
    """

    manager: str
    host: str
    agent_class: str | None = None
    capacity: Capacity = field(default_factory=Capacity)
    request_interval: float = 10.0
    referral_domains: Sequence[str] = ()
    limits: Limits = NO_LIMITS


def _no_images(image: str) -> str:
    return f"image {image}: this agent runs no container images"


class Agent:
    """One agent. `jdl()` describes the host, `has_file(path)` looks for a required file, `random()` yields 0 … 1.

    `wall()` is in seconds since the epoch: what the journal keeps must outlive the clock that `now` is of. `phase(…)`
    says what an assignment that is being executed is at; `package(…)` has the packed output of one if it is so small that it
    goes with the report itself; `image_fault(…)` says why this host cannot run a container image, None if it may. What is done is counted in `counts`.
    """

    def __init__(
        self,
        settings: AgentSettings,
        *,
        jdl: Callable[[], str],
        has_file: Callable[[str], bool],
        random: Callable[[], float],
        wall: Callable[[], float],
        phase: Callable[[Assignment], str],
        package: Callable[[Assignment], bytes | None],
        image_fault: Callable[[str], str | None] = _no_images,
        journal: Iterable[Note] = (),
        counts: AgentCounts | None = None,
    ) -> None:
        self._counts = counts or AgentCounts()
        self._settings = settings
        self._random = random
        self._has_file = has_file
        self._image_fault = image_fault
        self._wall = wall
        self._search = Search(
            settings.manager,
            host=settings.host,
            agent_class=settings.agent_class,
            longest_wait=settings.request_interval,
            jdl=jdl,
            has_file=has_file,
            random=random,
        )
        self._held: dict[str, Assignment] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._referrals = Named()
        self._leases = Leases(random)
        self._exclusive = Exclusives()
        self._drain = Draining(settings.limits)
        self._goodbye = Goodbye()
        self._showing = Showing()
        self._removing: set[Assignment] = set()
        self._stirred = False  # something has happened since we looked whether to leave
        self._phase = phase
        self._package = package
        self._slots = Slots(settings.capacity)
        self._unwanted: set[str] = set()  # jobs whose payload is being stopped, and whose result nobody wants
        self._left_over = sorted(journal, key=lambda note: note.taken is None)  # read from its end

    def change(self, *, request_interval: float, limits: Limits) -> None:
        """What may change while it runs. Of `limits` all but the life time. It counts from the next event on."""
        self._search.longest_wait = request_interval
        self._drain.change(limits)

    def describes_anew(self) -> None:
        """The JDL of this host is another one: it is told with the next event."""
        self._search.describes_anew()

    # -- for the loop

    def wakeup(self) -> float | None:
        """When something is to be said."""
        if self._stirred:
            return 0.0
        times = [delivery.wakeup() for delivery in self._deliveries.values()]
        search = self._search.wakeup() if self._jobs_wanted() else None
        lasting = (self._leases, self._exclusive, self._drain, self._goodbye)
        others = (search, *(part.wakeup() for part in lasting))
        return min((when for when in (*times, *others) if when is not None), default=None)

    def trusts(self, jid: str) -> bool:
        """Whether this bare JID may give orders: the manager, who has to do with what we hold, or a late referral."""
        return (
            jid == bare(self._settings.manager)
            or jid in self._referrals
            or self._search.concerns(jid)
            or any(jid == bare(assignment.manager) for assignment in self._held.values())
            or any(delivery.concerns(jid) for delivery in self._deliveries.values())
        )

    def phases(self) -> Counter[str]:
        """How many jobs it holds, by what it is at with them."""
        return Counter(
            WAITS if self._slots.waits(job) else str(self._at(one)) for job, one in self._held.items()
        )

    def cores_used(self) -> int:
        """How many of its cores jobs have now."""
        return self._slots.cores_used

    def standing(self) -> Standing:
        """What there is to do and how far it is."""
        at = self.phases()
        return Standing(
            manager=self._settings.manager,
            slots=self._settings.capacity.jobs,
            held=len(self._held),
            waiting=at[WAITS],
            fetching=at[Phase.FETCH],
            running=at[Phase.RUN],
            uploading=at[Phase.UPLOAD],
            kept=len(self._deliveries.keys() - self._held.keys()),
            leaving=self._drain.closed is not None,
        )

    def handle(self, event: Event, now: float) -> Actions:
        """As `Component.handle`."""
        actions = self._decide(event, now)
        self._drain.holds(len(self._held), now)
        self._stirred = self._drain.closed is not None and not isinstance(event, Tick)
        return [*self._begin(now), *actions]  # an action that fails must not keep another job from beginning

    def _decide(self, event: Event, now: float) -> Actions:
        match event:
            case Received():
                return self._heard(event, now)
            case Tick():
                return self._tick(now)
            case Finished(effect=effect, result=result):
                return self._finished(effect, result, now)
            case Acked():
                return self._acked(event, now)
            case Refused():
                return self._refused(event, now)
            case Expired() | Undeliverable():
                return self._unanswered(event, now)
            case Online():
                return self._online(now)
            case Offline():
                self._search.offline()
            case Stopping():
                self._drain.stop(now)
                return self._give_back_unbegun(now)
        return []

    def _jobs_wanted(self) -> int:
        """How many jobs we want besides those that we have."""
        return 0 if self._reports_first() else self._slots.jobs(self._counted(), ahead=self._search.direct)

    def _room(self, now: float) -> Room:
        """Which jobs we want besides those that we have."""
        if self._reports_first():
            return NOTHING
        time = self._drain.left(now)
        return self._slots.room(self._counted(), ahead=self._search.direct, time=time)

    def _reports_first(self) -> bool:
        """Whether so many results are on their way that nothing new is asked for."""
        return len(self._on_their_way()) > MOST_UNREPORTED * self._settings.capacity.places

    def _counted(self) -> list[Assignment]:
        """Those of our jobs that take something of what we have."""
        gone = self._on_their_way() if self._deliveries else ()
        return [one for job, one in self._held.items() if job not in gone]

    def _on_their_way(self) -> set[str]:
        """Jobs whose results go to managers that take them directly; they take nothing."""
        return {
            job
            for job, one in self._deliveries.items()
            if one.assignment.instance is not None and one.step is not Step.KEPT
        }

    def _wants_work(self) -> bool:
        return self._jobs_wanted() > 0 and self._drain.closed is None

    def _begin(self, now: float) -> list[Action]:
        """Execute what there is a slot for, unless somebody else may have it by now."""
        if self._cut_off(now):
            return []
        new = self._slots.begin(now)
        for one, _ in new:
            self._leases.begun(one, now)
        return [Perform(effect=Execute(assignment=one, share=share)) for one, share in new]

    def _online(self, now: float) -> Actions:
        actions: list[Action] = []
        while self._left_over:
            actions.extend(self._resume(self._left_over.pop(), now))
        self._leases.online(now)
        self._search.online(now)
        return actions

    def _tick(self, now: float) -> Actions:
        actions: list[Action] = []
        for delivery in list(self._deliveries.values()):
            if delivery.silent(now):
                self._search.unanswered(delivery.assignment.id)
            actions.extend(self._given_up(delivery, now) if delivery.until <= now else delivery.tick(now))
        self._drain.tick(now)
        actions.extend(self._exclusive.tick(self._running(), now))
        keeping = [
            one for job, one in self._held.items() if not self._goodbye.has(job) and job not in self._unwanted
        ]
        actions.extend(self._leases.tick(keeping, self._at, now))
        if self._drain.closed is not None:
            actions.extend(self._way_out(self._drain.closed, now))
        elif self._cut_off(now):
            self._search.not_before(now + LOOK_AGAIN)
        elif self._search.due(now) and (room := self._room(now)).jobs:
            actions.extend(self._search.tick(now, room))
        return actions

    def _at(self, assignment: Assignment) -> str:
        """What is going on with a job, for its manager."""
        if self._slots.waits(assignment.id):
            return Phase.FETCH
        return Phase.UPLOAD if assignment.id in self._deliveries else self._phase(assignment)

    def _cut_off(self, now: float) -> bool:
        """Whether our managers do not hear of us: what we hold goes on, nothing new is begun."""
        return any(self._leases.run_out(assignment, now) for assignment in self._held.values())

    # -- holding work

    def _assigned(self, received: Received, order: RunJob, now: float) -> Actions:
        job = order.job
        delivery = self._deliveries.get(job.id)
        kept = delivery if delivery is not None and delivery.step is Step.KEPT else None
        if kept is None and (job.id in self._held or delivery is not None):
            return self._held_already(received, order)
        if kept is not None and order.jm_job_data is not None and order.jm_job_data == kept.assignment.claim:
            return []  # a copy, too
        if job.exclusive and job.lease is None:
            text = "an exclusive job needs a lease, for its end is when the job is stopped"
            return [Refuse(received=received, code="no-lease", text=text, job=job.id)]
        if job.secrets and not received.sealed:
            text = "secrets of a job are taken in a sealed session alone"
            return [Refuse(received=received, code="not-sealed", text=text, job=job.id)]
        if order.require_file is not None and not self._has_file(order.require_file):
            self._search.unsuitable(now)
            text = f"it requires {order.require_file}, which this host does not have"
            log.info("%s: %s", JobRef(job.id, job.attempt), text)
            return [Refuse(received=received, code="no-file", text=text, job=job.id)]
        if job.image and (reason := self._image_fault(job.image)) is not None:
            self._search.refused()
            log.info("%s: %s", JobRef(job.id, job.attempt), reason)
            return [Refuse(received=received, code="no-image", text=reason, job=job.id)]
        if (reason := self._why_not(job, now)) is not None:
            self._search.refused()
            return [Refuse(received=received, code="no-slot", text=reason, job=job.id)]
        features = received.features or frozenset()
        direct = received.sender if FEATURE_DIRECT in features else None
        assignment = Assignment(
            job=job,
            manager=bare(received.sender),
            claim=order.jm_job_data,
            instance=direct,
            resources=FEATURE_RESOURCES in features,
        )
        self._held[job.id] = assignment
        self._slots.add(assignment)
        self._leases.assigned(assignment, received.sender, now)
        self._search.heard(received.sender, features)
        self._search.found(request_of(job), now)
        self._tell_of_room(now)
        self._drain.taken(now)
        self._counts.taken += 1
        log.info("%s: got it from %s", assignment.ref, PeerRef(received.sender))
        return [
            *([] if kept is None else self._replaced(kept, job)),
            Perform(effect=Remember(note=Note(assignment=assignment))),
            *self._begin(now),
        ]

    def _why_not(self, job: Job, now: float) -> str | None:
        """Why we do not take a job that is new to us."""
        longest = job.max_run_time
        if longest is not None and self._drain.closed is None and self._drain.too_long(longest, now):
            if self._search.told_time_for(longest):
                return f"it may run for {longest:g} s, and this agent leaves in {self._drain.left(now)} s"
            self._drain.close(f"job {job.id} may run for longer than it will live", now)
        if self._drain.closed is not None:
            self._search.found(request_of(job), now)
            return "this agent is about to leave"
        return self._slots.why_not(job, self._counted(), now)

    def _held_already(self, received: Received, order: RunJob) -> Actions:
        """A copy under another id changes nothing; a newer attempt of what we hold must wait for its end."""
        held = self._held.get(order.job.id) or self._deliveries[order.job.id].assignment
        if held.claim == order.jm_job_data:
            return []
        self._search.refused()
        text = f"this agent still holds attempt {held.job.attempt} of job {order.job.id}"
        return [Refuse(received=received, code="busy-with-job", text=text, job=order.job.id)]

    def _replaced(self, kept: Delivery, job: Job) -> Actions:
        """A manager that gives a job again does not want the result that we still keep."""
        del self._deliveries[job.id]
        if (kept.assignment.job.attempt or 1) == (job.attempt or 1):
            return []  # they share a directory, and the new one is made afresh
        return [self._forget(kept.assignment)]

    def _resume(self, note: Note, now: float) -> Actions:
        """A note of a former life: report what ended, and say of the rest that it was lost."""
        assignment = note.assignment
        if note.outcome is not None and note.taken is not None:
            if assignment.id in self._held:  # given out again since
                return [self._forget(assignment)]
            left = min(KEPT_AFTER_RECEIPT, note.taken.at + KEPT_AFTER_RECEIPT - self._wall())
            self._deliver(note, note.outcome, now + left).was_kept(note.taken)
            return []
        self._held[assignment.id] = assignment
        self._leases.assigned(assignment, assignment.manager, now)
        if note.outcome is not None:
            log.info("%s: ended before the restart; reporting it", assignment.ref)
            left = RESULT_KEPT if note.ended is None else note.ended + RESULT_KEPT - self._wall()
            self._deliver(note, note.outcome, now + min(RESULT_KEPT, max(LEAST_AFTER_RESTART, left)))
            return []
        log.warning("%s: was not at its end when the agent stopped; reporting it as lost", assignment.ref)
        return [Perform(effect=Pack(assignment=assignment))]

    def _finished(self, effect: object, result: object, now: float) -> Actions:
        match effect:
            case Remember(note=note):
                return self._not_remembered(note, result, now)
            case Execute(assignment=assignment):
                return self._executed(assignment, result, now)
            case Pack(assignment=assignment):
                return self._executed(assignment, _lost(self._settings.host, result), now)
            case Upload(assignment=assignment):
                delivery = self._deliveries.get(assignment.id)
                if delivery is None or delivery.assignment != assignment:
                    return []
                if isinstance(result, Exception):
                    log.warning("%s: its output could not be stored yet: %s", assignment.ref, result)
                return delivery.uploaded(result if isinstance(result, Exception) else None, now)
            case Show() as show:
                return [Send(to=show.asker, command=answer(show, result))] if isinstance(result, Part) else []
            case Forget(assignment=assignment):
                self._removing.discard(assignment)
                if isinstance(result, Exception):
                    log.error("%s: what it left cannot be removed: %s", assignment.ref, result)
        return []

    def _not_remembered(self, note: Note, error: object, now: float) -> Actions:
        """The journal could not be written. A job that was not begun is not ours: its manager was not answered."""
        log.error("%s: the journal cannot be written: %s", note.assignment.ref, error)
        if note.outcome is None:
            self._held.pop(note.assignment.id, None)
            self._slots.drop(note.assignment.id)
            self._search.put_off(LONGEST_WAIT_FOR_DISK, now)
        return self._make_room()

    def _make_room(self) -> Actions:
        """The disk is full: jobs go before results that nobody is likely to ask for again."""
        kept = [delivery for delivery in self._deliveries.values() if delivery.step is Step.KEPT]
        return [action for delivery in kept for action in self._forgotten(delivery)]

    def _executed(self, assignment: Assignment, result: object, now: float) -> Actions:
        took = self._slots.ended(assignment.id, now)
        result = self._exclusive.ended(assignment.id, result)
        if self._goodbye.ended(assignment.id):
            return []
        if assignment.id in self._unwanted:
            self._unwanted.remove(assignment.id)
            self._held.pop(assignment.id, None)
            self._search.soon(now)
            return [self._forget(assignment)]
        if isinstance(result, Outcome):
            outcome = replace(result, host=self._settings.host)
        else:
            reason = one_line(f"the agent failed: {type(result).__name__}: {result}")
            log.error("%s: %s", assignment.ref, reason)
            outcome = Outcome(cause=Cause.INFRA_LOST, exit_code=1, reason=reason, host=self._settings.host)
        log.log(level_of(outcome), "%s: %s", assignment.ref, in_words(outcome, took))
        self._counts.ended[outcome.cause] += 1
        note = Note(assignment=assignment, outcome=outcome, ended=self._wall())
        delivery = self._deliver(note, outcome, now + RESULT_KEPT)
        room = self._make_room() if outcome.cause is Cause.INFRA_DISK_FULL else []
        return [*room, *self._report(delivery, now), Perform(effect=Remember(note=note))]

    def _report(self, delivery: Delivery, now: float) -> Actions:
        """The short way, where there is one."""
        assignment, output = delivery.assignment, delivery.outcome.output
        if assignment.instance is None:
            return []
        package = None
        if output is not None and (data := self._package(assignment)) is not None:
            package = base64.b64encode(data).decode("ascii")
        wish = None
        reports_now = package is not None or output is None  # else it is uploaded first
        if reports_now and self._drain.closed is None and not self._cut_off(now):
            wish = self._search.ask_with(assignment.id, self._room(now), now)
        agent_class = self._settings.agent_class
        return delivery.direct(assignment.instance, package, now, wish=wish, agent_class=agent_class)

    def _deliver(self, note: Note, outcome: Outcome, until: float) -> Delivery:
        assignment = note.assignment
        delivery = self._deliveries[assignment.id] = Delivery(
            assignment,
            outcome,
            ended=self._wall() if note.ended is None else note.ended,
            until=until,
            host=self._settings.host,
            random=self._random,
        )
        return delivery

    # -- letting go

    def _told_to_let_go(self, received: Received, now: float) -> Actions:
        match received.command:
            case LeaseLost(held=held):
                return self._lost_hold(received.sender, held, now)
            case CancelJob() as order:
                return self._cancelled(received.sender, order, now)
            case Drain():
                return self._drain_ordered(received, now)
            case TailJob() as order:
                return self._show(received.sender, order, now)
        return []

    def _show(self, sender: str, order: TailJob, now: float) -> Actions:
        """Somebody wants to see what it prints. What is over is in the output that goes home, and what has not begun prints nothing."""
        self._showing.keep(self._held)
        assignment = self._mine(sender, order.job_id, order.attempt)
        if assignment is None or order.stream not in STREAMS or self._slots.waits(order.job_id):
            return []
        most = self._showing.take(order, now)
        show = Show(
            assignment=assignment,
            stream=order.stream,
            offset=order.offset,
            last=order.last or 0,
            most=most,
            asker=sender,
        )
        return [Perform(effect=show)]

    def _lost_hold(self, sender: str, lost: Sequence[HeldJob], now: float) -> Actions:
        """These are somebody else's by now, or over: stop them, and drop what they have left."""
        actions: list[Action] = []
        for one in lost:
            assignment = self._mine(sender, one.id, one.attempt)
            if assignment is None or one.id in self._unwanted or self._goodbye.has(one.id):
                continue
            log.warning("%s: is not ours any more, says %s", JobRef(one.id, one.attempt), PeerRef(sender))
            self._counts.leases_lost += 1
            if one.id in self._deliveries:
                actions.extend(self._home(one.id, now))
            elif self._slots.waits(one.id):
                self._slots.drop(one.id)
                del self._held[one.id]
                actions.append(self._forget(assignment))
            else:
                self._unwanted.add(one.id)
                at_once = assignment.job.exclusive
                effect = Kill(assignment=assignment) if at_once else Stop(assignment=assignment)
                actions.append(Perform(effect=effect))
        return actions

    def _cancelled(self, sender: str, order: CancelJob, now: float) -> Actions:
        """Somebody wants it to end. What has ended already is reported as it ended."""
        assignment = self._mine(sender, order.job_id, order.attempt)
        if assignment is None or order.job_id in self._deliveries:
            return []
        log.info("%s: to be cancelled, says %s", JobRef(order.job_id, order.attempt), PeerRef(sender))
        if self._slots.waits(order.job_id):
            self._slots.drop(order.job_id)
            never = Outcome(cause=Cause.CANCELLED, exit_code=1, reason="cancelled before it began")
            return self._executed(assignment, never, now)
        return [Perform(effect=Stop(assignment=assignment))]

    def _mine(self, sender: str, job: str, attempt: int) -> Assignment | None:
        """What we hold, if it is that attempt, and `sender` is who gave it to us."""
        held = self._held.get(job)
        fits = held is not None and (held.job.attempt or 1) == attempt and held.manager == bare(sender)
        return held if fits else None

    # -- leaving

    def _drain_ordered(self, received: Received, now: float) -> Actions:
        if bare(received.sender) != bare(self._settings.manager):
            text = f"only {bare(self._settings.manager)} may tell this agent to leave"
            return [Ignore(received=received, reason="not-our-manager", text=text)]
        self._drain.close(f"{received.sender} wants it to leave", now)
        return self._give_back_unbegun(now)

    def _give_back_unbegun(self, now: float) -> Actions:
        """Somebody else can begin at once what we have not begun."""
        return self._give_back([one for one in self._running() if self._at(one) == Phase.FETCH], now)

    def _give_back(self, assignments: Sequence[Assignment], now: float) -> Actions:
        actions = self._goodbye.begin(assignments, now)
        for one in self._slots.waiting:
            if self._goodbye.has(one.id):
                self._slots.drop(one.id)
                self._goodbye.ended(one.id)
        return actions

    def _running(self) -> list[Assignment]:
        """What is being executed, and wanted."""
        over = {*self._deliveries, *self._unwanted}
        return [one for one in self._held.values() if one.id not in over]

    def _way_out(self, closed: float, now: float) -> Actions:
        """Give back what has no time left; and go when there is nothing left to do or to wait for."""
        self._search.end(closed + GOODBYE_WITHIN)
        actions = [*self._search.tick(now, self._room(now))]
        if self._drain.over:
            actions.extend(self._give_back(self._running(), now))
        actions.extend(self._goodbye.tick(now))
        busy = not self._drain.over and any(not self._goodbye.has(job) for job in self._held)
        if busy or self._goodbye.waits or self._removing or self._search.requested:
            return actions
        return [*actions, *self._goodbye.last(bare(self._settings.manager)), Leave()]

    def _returned(self, accepted: Leaving) -> Actions:
        """These are their manager's again; a payload that has not ended yet ends unwanted."""
        actions: list[Action] = []
        for one in self._goodbye.accepted(accepted):
            log.info("%s: given back", one.ref)
            if self._goodbye.runs(one.id):
                self._unwanted.add(one.id)
            else:
                del self._held[one.id]
                actions.append(self._forget(one))
        return actions

    # -- getting it home

    def _heard(self, received: Received, now: float) -> Actions:
        self._goodbye.heard(received)
        match received.command:
            case HaveGetJob() as offer if self._wants_work():
                features = received.features or ()
                return self._search.offered(received.sender, features, offer, self._room(now), now)
            case RunJob() as order:
                return self._assigned(received, order, now)
            case NewKeys():  # it is parked under the old ones, which may go any time: it asks again, under the new
                self._search.soon(now)
            case Sleep() as sleep:
                self._search.told_to_sleep(received.sender, sleep, now)
                self._tell_of_room(now)
            case HaveGetJobOutputDir(job_id=job):
                return self._storage_offered(received.sender, job, now)
            case StoreJobOutputDir(job_id=job) as answer if job in self._deliveries:
                return self._deliveries[job].placed(received.sender, answer)
            case Redirect() as redirect:
                return self._redirected(received, redirect, now)
            case Error() as error:
                self._told_of_error(received, error)
            case _:
                return self._told_to_let_go(received, now)
        return []

    def _told_of_error(self, received: Received, error: Error) -> None:
        what, sender = MessageRef(received.id, error.job_id), PeerRef(received.sender)
        key, text = f"error {bare(received.sender)} {error.code}", "%s says: %s (%s, in message %s)"
        rate_limited(log, key, logging.WARNING, text, sender, error.error_string, error.code, what)

    def _redirected(self, received: Received, redirect: Redirect, now: float) -> Actions:
        """Say what is out to somebody else, whose answers then count."""
        try:
            referral = Referral.read(redirect, self._settings.referral_domains)
            actions = self._follow(received.sender, referral, now)
        except NotFollowed as reason:
            return [Ignore(received=received, reason="not-followed", text=str(reason))]
        if actions:
            what, to = message_ref(received.id, referral.command), PeerRef(referral.to)
            text = "%s redirects our %s to %s (message %s)"
            log.info(text, received.sender, referral.command.NAME, to, what)
            self._referrals.add(referral.to)
        return actions

    def _follow(self, sender: str, referral: Referral, now: float) -> Actions:
        match referral.command:
            case WantGetJob() | GetJob() if self._wants_work():
                return self._search.redirected(sender, referral, now)
            case WantGetJobOutputDir(job_id=job) | GetJobOutputDir(job_id=job) | JobDone(job_id=job):
                if job in self._deliveries:
                    return self._deliveries[job].redirected(sender, referral, now)
        raise NotFollowed(f"no {referral.command.NAME} of ours is out")

    def _storage_offered(self, storage: str, job: str | None, now: float) -> Actions:
        """The report's answer does not say for which job: then it is for the first that waits for its sender."""
        waiting = [
            delivery
            for delivery in self._deliveries.values()
            if delivery.step is Step.ASKING
            and delivery.concerns(bare(storage))
            and job in (None, delivery.assignment.id)
        ]
        return waiting[0].offered(storage, now) if waiting else []

    def _awaits(self, command: GetJobOutputDir | JobDone) -> bool:
        delivery = self._deliveries.get(command.job_id)
        return delivery is not None and delivery.awaits(command)

    def _refused(self, refused: Refused, now: float) -> Actions:
        command, error = refused.command, refused.error
        what, manager = message_ref(refused.id, command), PeerRef(refused.to)
        text = "%s refused %s (message %s): %s (%s)"
        log.warning(text, manager, command.NAME, what, error.error_string, error.code)
        match command:
            case GetJob():
                self._search.not_served(refused.to, now)
            case GetJobOutputDir() | JobDone() if self._awaits(command):
                actions = self._deliveries[command.job_id].refused(error.code, error.error_string, now)
                if actions is None:
                    return self._home(command.job_id, now)
                self._search.answered(command.job_id)
                self._tell_of_room(now)
                return actions
        return []

    def _unanswered(self, event: Expired | Undeliverable, now: float) -> Actions:
        match event.command:
            case GetJob():
                self._search.not_served(event.to, now)
            case JobDone() as command if self._awaits(command):
                delivery = self._deliveries[command.job_id]
                gone = isinstance(event, Undeliverable)
                if gone and event.to != delivery.assignment.instance:
                    return []
                self._search.unanswered(command.job_id)
                self._tell_of_room(now)
                again = delivery.retry(now)  # if it is gone: ask who else takes it
                return [Withdraw(to=event.to, command=command), *again] if gone else again
        return []

    def _acked(self, event: Acked, now: float) -> Actions:
        match event.command:
            case RenewLease(held=held) as renewal:
                said = self._leases.accepted(event.to, renewal)
                if said is not None:
                    self._counts.leases_renewed += len(held)
                    begun = [one for one in self._running() if not self._slots.waits(one.id)]
                    return self._exclusive.renewed(held, said, begun, now)
            case Leaving() as accepted:
                return self._returned(accepted)
            case JobDone(job_id=job) as report if self._awaits(report):
                self._counts.reported += 1
                if event.on_receipt:
                    return self._received(job, now)
                return self._home(job, now)
        return []

    def _received(self, job: str, now: float) -> Actions:
        """A manager of 2011 has the report and has not looked at it yet: the slot is free, the result is kept a while."""
        note = self._deliveries[job].keep(now, self._wall())
        self._held.pop(job, None)
        self._search.answered(job)
        self._search.soon(now)
        return [Perform(effect=Remember(note=note))]

    def _home(self, job: str, now: float) -> Actions:
        """The report is safe, or nobody wants it: the slot is free."""
        actions = self._forgotten(self._deliveries[job])
        self._search.answered(job)
        if self._search.pushes:
            self._tell_of_room(now)
        else:
            self._search.soon(now)
        return actions

    def _tell_of_room(self, now: float) -> None:
        busy = self._slots.busy or bool(self._slots.waiting)
        self._search.has_room(self._room(now), now, busy=busy)

    def _given_up(self, delivery: Delivery, now: float) -> Actions:
        """Its time is over."""
        if delivery.step is Step.KEPT:
            return self._forgotten(delivery)
        log.error(
            "%s: nobody has taken its result in time, so it is dropped. It came from %s: is that still the address "
            "of a manager, and does its storage manager run?",
            *(delivery.assignment.ref, PeerRef(delivery.assignment.manager)),
        )
        return self._home(delivery.assignment.id, now)

    def _forgotten(self, delivery: Delivery) -> Actions:
        del self._deliveries[delivery.assignment.id]
        self._held.pop(delivery.assignment.id, None)
        return [self._forget(delivery.assignment)]

    def _forget(self, assignment: Assignment) -> Perform:
        """Remove what is left of it; we do not leave before that is done."""
        self._removing.add(assignment)
        return Perform(effect=Forget(assignment=assignment))


def _lost(host: str, packed: object) -> Outcome:
    output = packed if isinstance(packed, Output) else None
    reason = "the agent stopped while it held the job"
    return Outcome(cause=Cause.INFRA_LOST, exit_code=1, reason=reason, host=host, output=output)
