"""The agent's state machine: ask for work, hold it, have it done, get the result home. No I/O.

Report, section 2.2. One `Slot`'s worth of asking goes on at a time:

    IDLE ──want_getJob──▶ ASKED ──have_getJob──▶ REQUESTED ──runJob──▶ (a job is held) ─▶ IDLE
      ▲                     │                        │
      └───── no answer ─────┴── sleep, no answer ────┘

A `have_getJob` is taken at any time while a slot is free: a manager may answer late, when work arrives.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from copilot.agent.delivery import Delivery, Step
from copilot.agent.effects import Assignment, Execute, Forget, Note, Pack, Remember, Upload
from copilot.job import Cause, Outcome, Output, one_line
from copilot.protocol.commands import (
    Error,
    GetJob,
    GetJobOutputDir,
    HaveGetJob,
    HaveGetJobOutputDir,
    JobDone,
    RunJob,
    Sleep,
    StoreJobOutputDir,
    WantGetJob,
)
from copilot.protocol.envelope import bare
from copilot.protocol.events import Acked, Expired, Received, Refused, Undeliverable
from copilot.runtime.component import (
    Action,
    Actions,
    Event,
    Finished,
    Leave,
    Offline,
    Online,
    Perform,
    Refuse,
    Send,
    Stopping,
    Tick,
)

log = logging.getLogger("copilot.agent")

FIRST_WAIT = 1.0  # s between the first two requests for work while there is none
RUN_JOB_WITHIN = 60.0  # s that a manager has to answer `getJob` before we ask anew
LONGEST_WAIT_FOR_DISK = 60.0  # s without asking for work after the journal could not be written
LONGEST_SLEEP = 3600.0  # s that a manager may send us to sleep for


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """What the logic needs of the configuration. `manager` is a bare JID; times in seconds."""

    manager: str
    host: str
    slots: int = 1
    request_interval: float = 10.0


class Asking(enum.Enum):
    """Where the search for work stands."""

    IDLE = enum.auto()
    ASKED = enum.auto()
    REQUESTED = enum.auto()


class Agent:
    """One agent. `jdl()` describes the host, `has_file(path)` looks for a required file, `random()` yields 0 … 1."""

    def __init__(
        self,
        settings: AgentSettings,
        *,
        jdl: Callable[[], str],
        has_file: Callable[[str], bool],
        random: Callable[[], float],
        journal: Iterable[Note] = (),
    ) -> None:
        self._settings = settings
        self._jdl = jdl
        self._has_file = has_file
        self._random = random
        self._asking = Asking.IDLE
        self._next_ask: float | None = None  # None until the first session
        self._waits = 0
        self._unsuitable: set[str] = set()  # managers whose required file is missing, until the next round
        self._held: dict[str, Assignment] = {}
        self._deliveries: dict[str, Delivery] = {}
        self._left_over = list(journal)

    # -- for the loop

    def wakeup(self) -> float | None:
        """When something is to be said."""
        times = [delivery.wakeup() for delivery in self._deliveries.values()]
        if self._free() > 0:
            times.append(self._next_ask)
        return min((when for when in times if when is not None), default=None)

    def handle(self, event: Event, now: float) -> Actions:
        """As `Component.handle`."""
        match event:
            case Received():
                return self._heard(event, now)
            case Tick():
                return self._tick(now)
            case Finished(effect=effect, result=result):
                return self._finished(effect, result, now)
            case Acked(command=JobDone() as report) if self._awaits(report):
                return self._home(report.job_id, now)
            case Refused(command=command, error=error):
                return self._refused(command, error, now)
            case Expired(command=command) | Undeliverable(command=command):
                return self._unanswered(event, command, now)
            case Online():
                return self._online(now)
            case Offline():
                self._asking = Asking.IDLE if self._asking is Asking.ASKED else self._asking
            case Stopping():
                return [Leave()]
        return []

    # -- asking for work

    def _free(self) -> int:
        return self._settings.slots - len(self._held)

    def _online(self, now: float) -> Actions:
        actions: list[Action] = []
        if self._next_ask is None:
            log.info("Component was waken up. Asking job manager for a job")
        while self._left_over:
            actions.extend(self._resume(self._left_over.pop()))
        if self._asking is not Asking.REQUESTED:
            self._next_ask = now
        return actions

    def _tick(self, now: float) -> Actions:
        actions: list[Action] = []
        for delivery in self._deliveries.values():
            actions.extend(delivery.tick(now))
        if self._next_ask is not None and self._next_ask <= now and self._free() > 0:
            actions.extend(self._ask(now))
        return actions

    def _ask(self, now: float) -> Actions:
        self._asking, self._next_ask = Asking.ASKED, now + self._wait()
        self._unsuitable.clear()
        log.info("Asking %s for an address of the job manager", self._settings.manager)
        want = WantGetJob(agent_host=self._settings.host, jdl=self._jdl())
        return [Send(to=self._settings.manager, command=want)]

    def _wait(self) -> float:
        """Longer each time that nothing came, with jitter, so that a fleet does not ask in step."""
        longest = min(self._settings.request_interval, FIRST_WAIT * 2.0**self._waits)
        self._waits = min(self._waits + 1, 30)
        return longest * (0.5 + 0.5 * self._random())

    def _offered(self, received: Received, offer: HaveGetJob, now: float) -> Actions:
        if self._asking is Asking.REQUESTED or self._free() <= 0 or received.sender in self._unsuitable:
            return []
        if offer.require_file is not None and not self._has_file(offer.require_file):
            log.info("%s requires %s, which this host does not have", received.sender, offer.require_file)
            self._unsuitable.add(received.sender)
            return []
        self._asking, self._next_ask = Asking.REQUESTED, now + RUN_JOB_WITHIN
        request = GetJob(agent_host=self._settings.host, jdl=self._jdl())
        return [Send(to=received.sender, command=request, void_at=now + RUN_JOB_WITHIN)]

    def _nothing_now(self, sleep: Sleep, now: float) -> Actions:
        """`sleep`: the manager says when to ask again. Ours never reboots its machine."""
        if self._asking is not Asking.IDLE:
            self._asking = Asking.IDLE
            least = min(sleep.retry_after or 0.0, LONGEST_SLEEP)
            self._next_ask = now + max(self._wait(), least * (1.0 + 0.5 * self._random()))
        return []

    def _ask_soon(self, now: float) -> None:
        if self._asking is not Asking.REQUESTED:
            self._asking, self._next_ask = Asking.IDLE, now
        self._waits = 0

    # -- holding work

    def _assigned(self, received: Received, order: RunJob, now: float) -> Actions:
        job = order.job
        if job.id in self._held or job.id in self._deliveries:
            return self._held_already(received, order)
        if self._free() <= 0:
            text = f"all {self._settings.slots} slots of this agent are taken"
            return [Refuse(received=received, code="no-slot", text=text, job=job.id)]
        assignment = Assignment(job=job, manager=bare(received.sender), claim=order.jm_job_data)
        self._held[job.id] = assignment
        self._asking, self._next_ask, self._waits = Asking.IDLE, now, 0
        log.info("job %s: got it from %s", job.id, received.sender)
        return [
            Perform(effect=Remember(note=Note(assignment=assignment))),
            Perform(effect=Execute(assignment=assignment)),
        ]

    def _held_already(self, received: Received, order: RunJob) -> Actions:
        """A copy under another id changes nothing; a newer attempt of what we hold must wait for its end."""
        held = self._held.get(order.job.id) or self._deliveries[order.job.id].assignment
        if held.claim == order.jm_job_data:
            return []
        text = f"this agent still holds attempt {held.job.attempt} of job {order.job.id}"
        return [Refuse(received=received, code="busy-with-job", text=text, job=order.job.id)]

    def _resume(self, note: Note) -> Actions:
        """A note of a former life: report what ended, and say of the rest that it was lost."""
        assignment = note.assignment
        self._held[assignment.id] = assignment
        if note.outcome is not None:
            log.info("job %s: ended before the restart; reporting it", assignment.id)
            self._deliver(assignment, note.outcome)
            return []
        log.warning("job %s: was not at its end when the agent stopped; reporting it as lost", assignment.id)
        return [Perform(effect=Pack(assignment=assignment))]

    def _finished(self, effect: object, result: object, now: float) -> Actions:
        match effect:
            case Remember(note=note):
                return self._not_remembered(note, result)
            case Execute(assignment=assignment):
                return self._executed(assignment, result)
            case Pack(assignment=assignment):
                return self._executed(assignment, _lost(self._settings.host, result))
            case Upload(assignment=assignment):
                delivery = self._deliveries.get(assignment.id)
                if delivery is None:
                    return []
                if isinstance(result, Exception):
                    log.warning("job %s: its output could not be stored yet: %s", assignment.id, result)
                return delivery.uploaded(result if isinstance(result, Exception) else None, now)
            case Forget(assignment=assignment) if isinstance(result, Exception):
                log.error("job %s: what it left cannot be removed: %s", assignment.id, result)
        return []

    def _not_remembered(self, note: Note, error: object) -> Actions:
        """The journal could not be written. A job that was not begun is not ours: its manager was not answered."""
        log.error("job %s: the journal cannot be written: %s", note.assignment.id, error)
        if note.outcome is None:
            self._held.pop(note.assignment.id, None)
            self._next_ask = None if self._next_ask is None else self._next_ask + LONGEST_WAIT_FOR_DISK
        return []

    def _executed(self, assignment: Assignment, result: object) -> Actions:
        if isinstance(result, Outcome):
            outcome = replace(result, host=self._settings.host)
        else:
            reason = one_line(f"the agent failed: {type(result).__name__}: {result}")
            log.error("job %s: %s", assignment.id, reason)
            outcome = Outcome(cause=Cause.INFRA_LOST, exit_code=1, reason=reason, host=self._settings.host)
        log.info(
            "job %s: %s, exit code %d %s", assignment.id, outcome.cause, outcome.exit_code, outcome.reason
        )
        self._deliver(assignment, outcome)
        return [Perform(effect=Remember(note=Note(assignment=assignment, outcome=outcome)))]

    def _deliver(self, assignment: Assignment, outcome: Outcome) -> None:
        self._deliveries[assignment.id] = Delivery(
            assignment, outcome, host=self._settings.host, random=self._random
        )

    # -- getting it home

    def _heard(self, received: Received, now: float) -> Actions:
        match received.command:
            case HaveGetJob() as offer:
                return self._offered(received, offer, now)
            case RunJob() as order:
                return self._assigned(received, order, now)
            case Sleep() as sleep:
                return self._nothing_now(sleep, now)
            case HaveGetJobOutputDir(job_id=job):
                return self._storage_offered(received.sender, job, now)
            case StoreJobOutputDir(job_id=job) as answer if job in self._deliveries:
                return self._deliveries[job].placed(received.sender, answer)
            case Error() as error:
                log.warning("%s says: %s (%s)", received.sender, error.error_string, error.code)
        return []

    def _storage_offered(self, storage: str, job: str | None, now: float) -> Actions:
        """The report's answer does not say for which job: then it is for the first that waits."""
        waiting: Sequence[Delivery] = [
            delivery
            for delivery in self._deliveries.values()
            if delivery.step is Step.ASKING and job in (None, delivery.assignment.id)
        ]
        return waiting[0].offered(storage, now) if waiting else []

    def _awaits(self, command: GetJobOutputDir | JobDone) -> bool:
        delivery = self._deliveries.get(command.job_id)
        return delivery is not None and delivery.awaits(command)

    def _refused(self, command: object, error: Error, now: float) -> Actions:
        log.warning("a manager refused %s: %s (%s)", type(command).__name__, error.error_string, error.code)
        match command:
            case GetJob():
                return self._nothing_now(Sleep(), now)
            case GetJobOutputDir() | JobDone() if self._awaits(command):
                actions = self._deliveries[command.job_id].refused(error.code, error.error_string, now)
                return self._home(command.job_id, now) if actions is None else actions
        return []

    def _unanswered(self, event: Expired | Undeliverable, command: object, now: float) -> Actions:
        match command:
            case GetJob() if self._asking is Asking.REQUESTED:
                return self._nothing_now(Sleep(), now)
            case JobDone() if isinstance(event, Expired) and self._awaits(command):
                return self._deliveries[command.job_id].retry(now)
        return []

    def _home(self, job: str, now: float) -> Actions:
        """The report is safe, or nobody wants it: the slot is free."""
        delivery = self._deliveries.pop(job, None)
        if delivery is None:
            return []
        self._held.pop(job, None)
        self._ask_soon(now)
        return [Perform(effect=Forget(assignment=delivery.assignment))]


def _lost(host: str, packed: object) -> Outcome:
    output = packed if isinstance(packed, Output) else None
    reason = "the agent stopped while it held the job"
    return Outcome(cause=Cause.INFRA_LOST, exit_code=1, reason=reason, host=host, output=output)
