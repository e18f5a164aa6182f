"""How one finished job gets home: find a storage manager, get a directory, upload, report (report, 2.2.2 and 2.2.3).

A state machine without I/O. Every step that fails is tried again, later and later, until a storage manager has
acknowledged the report, or said that it does not want it, or `until` has come.

    ASKING ◀──no answer── PLACING ──store──▶ UPLOADING ──▶ REPORTING ──ack──▶ (gone), or KEPT if it is of 2011
      ▲ └──────have──────────▲                   │              │ ▲               │
      └───────────── WAITING ◀──── failed ───────┴── mismatch ──┘ └── redirect ───┘

To an instance that takes reports directly there is a shorter way: WAITING ──▶ REPORTING at once if the packed output is so
small that it goes with the report, else WAITING ──▶ PLACING. The first failure leads back to the way of the report.

A `redirect` of what is out (`request`) sends that elsewhere, and changes no step. Each new round asks the manager from
which the job came: it knows best where the storage manager is now.
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import replace

from copilot.agent.effects import Assignment, Note, Remember, Taken, Upload
from copilot.agent.referral import NotFollowed, Referral, Request, forward
from copilot.agent.search import Wish
from copilot.errors import NoSpace, TransferUnavailable
from copilot.job import Cause, Outcome, one_line
from copilot.protocol.commands import GetJobOutputDir, JobDone, StoreJobOutputDir, WantGetJobOutputDir
from copilot.protocol.envelope import bare
from copilot.runtime.component import Action, Actions, Perform, Send, Withdraw

ANSWER_WITHIN = 10.0  # s until a request to all instances is made again
DIRECT_WITHIN = (
    20.0  # s that an instance has to acknowledge a report that went to it directly: time for one copy
)
PLACE_WITHIN = 60.0  # s that one has to answer `getJobOutputDir`: it may have died after its ack
FIRST_RETRY = 2.0  # s
LONGEST_RETRY = 600.0  # s
MOST_MISMATCHES = 5  # a package that arrives damaged so often is damaged here
DAY = 24 * 3600.0
RESULT_KEPT = 7 * DAY  # s after the end of a job until its result is given up: disks are finite
KEPT_AFTER_RECEIPT = DAY  # s after a manager of 2011, which has not worked on it yet, acknowledged the report

_STATES = {Cause.OK: "done", Cause.CANCELLED: "cancelled"}  # of a report


class Step(enum.Enum):
    """Where a delivery stands."""

    WAITING = enum.auto()  # for the time of the next try
    ASKING = enum.auto()  # `want_getJobOutputDir` is out
    PLACING = enum.auto()  # `getJobOutputDir` is out; it is sent again by itself, for a while
    UPLOADING = enum.auto()
    REPORTING = enum.auto()  # `jobDone` is out; it is sent again by itself
    KEPT = enum.auto()  # a manager of 2011 has acknowledged it; only a redirect could want it yet


class Delivery:
    """One result on its way. `ended`: when its job did, seconds since the epoch; `until`: when it is given up."""

    def __init__(
        self,
        assignment: Assignment,
        outcome: Outcome,
        *,
        ended: float,
        until: float,
        host: str,
        random: Callable[[], float],
    ) -> None:
        self.assignment = assignment
        self.outcome = outcome
        self.ended = ended
        self.until = until
        self.step = Step.WAITING
        self.request: Request | None = None
        self._host = host
        self._random = random
        self._claim = assignment.claim
        self._storage = ""
        self._failures = 0
        self._mismatches = 0
        self._due: float | None = 0.0

    @property
    def note(self) -> Note:
        """What the journal should say of it before anybody has taken it."""
        return Note(assignment=self.assignment, outcome=self.outcome, ended=self.ended)

    def wakeup(self) -> float:
        """When `tick` has something to do, or it is given up."""
        return self.until if self._due is None else min(self._due, self.until)

    def concerns(self, jid: str) -> bool:
        """Whether it came from, or is out at, this bare JID."""
        out = self.request is not None and bare(self.request.to) == jid
        return out or bare(self.assignment.manager) == jid

    def direct(
        self, instance: str, package: str | None, now: float, *, wish: Wish | None, agent_class: str | None
    ) -> Actions:
        """The short way, to this full JID. `package` is the output in base64, if it is small; `wish` says which jobs
        we can take now."""
        self._storage = instance
        if package is None and self.outcome.output is not None:
            return self._place(instance, now)
        actions = self._report(package, wish, None if wish is None else agent_class)
        self._due = now + DIRECT_WITHIN
        return actions

    def silent(self, now: float) -> bool:
        """Whether the instance that we have reported to has not answered in time."""
        return self.step is Step.REPORTING and self._due is not None and self._due <= now

    def tick(self, now: float) -> Actions:
        """Ask for a directory (again) when it is time."""
        if self._due is None or now < self._due:
            return []
        unsaid: list[Action] = []
        if self.silent(now) and self.request is not None:
            unsaid = [Withdraw(to=self.request.to, command=self.request.command)]
        self.step, self._due = Step.ASKING, self._answer_by(now)
        want = WantGetJobOutputDir(job_id=self.assignment.id, agent_host=self._host, jm_job_data=self._claim)
        return [*unsaid, *self._say(self.assignment.manager, want)]

    def offered(self, storage: str, now: float) -> Actions:
        """A storage manager would take it: ask that one."""
        return self._place(storage, now) if self.step is Step.ASKING else []

    def _place(self, storage: str, now: float) -> Actions:
        self.step, self._due = Step.PLACING, now + PLACE_WITHIN
        request = GetJobOutputDir(job_id=self.assignment.id, agent_host=self._host, jm_job_data=self._claim)
        return self._say(storage, request, void_at=self._due)

    def redirected(self, sender: str, referral: Referral, now: float) -> Actions:
        """Say what is out to somebody else. Raises `NotFollowed`."""
        if self.request is None:
            raise NotFollowed(f"nothing is out about job {self.assignment.id}")
        old, new = self.request, self.request.redirected(sender, referral)
        if new is None:
            return []
        self.request = new
        match self.step:
            case Step.ASKING:
                self._due = self._answer_by(now)
            case Step.PLACING:
                self._due = now + PLACE_WITHIN
            case Step.KEPT:
                self.step = Step.REPORTING
                # As the journal has it the report was taken; now a crash must lead to another one.
                written = Perform(effect=Remember(note=self.note))
                return [written, *forward(old, new, referral, self.until)]
        return forward(old, new, referral, self._due or self.until)

    def _say(
        self, to: str, command: WantGetJobOutputDir | GetJobOutputDir | JobDone, void_at: float | None = None
    ) -> list[Action]:
        self.request = Request(to=to, command=command)
        return [Send(to=to, command=command, void_at=void_at)]

    def _answer_by(self, now: float) -> float:
        return now + ANSWER_WITHIN * (0.5 + self._random())

    def awaits(self, command: GetJobOutputDir | JobDone) -> bool:
        """Whether an answer to `command` matters now: it may be of an earlier step, or attempt, of the same job."""
        awaited = {Step.PLACING: GetJobOutputDir, Step.REPORTING: JobDone}.get(self.step)
        return type(command) is awaited and command.jm_job_data == self._claim

    def placed(self, storage: str, answer: StoreJobOutputDir) -> Actions:
        """There is a directory: upload, or report at once if there is nothing to upload."""
        asked = self.request
        if self.step is not Step.PLACING or asked is None or bare(storage) != bare(asked.to):
            return []
        self._due = self.request = None
        self._storage = storage
        self._claim = answer.jm_job_data or self._claim
        if self.outcome.output is None:
            return self._report()
        self.step = Step.UPLOADING
        url = (
            answer.output_url
            or f"chirp://{answer.output_chirp_url}/{self.assignment.id}/{self.assignment.id}.tgz"
        )
        return [Perform(effect=Upload(assignment=self.assignment, url=url, output=self.outcome.output))]

    def uploaded(self, error: Exception | None, now: float) -> Actions:
        """The upload has ended."""
        if self.step is not Step.UPLOADING:
            return []
        if error is None:
            return self._report()
        if not isinstance(error, (TransferUnavailable, NoSpace)):  # those pass by themselves
            self._mismatches += 1
        return self._again(now, str(error))

    def refused(self, code: str, reason: str, now: float) -> Actions | None:
        """The storage manager answered `error`. None: it does not want this result, and never will."""
        if code in ("claim-refused", "stale-attempt"):
            return None
        if code == "output-mismatch":
            self._mismatches += 1
        return self._again(now, reason)

    def retry(self, now: float) -> Actions:
        """The report has become void: begin anew."""
        return self._again(now, "no answer")

    def keep(self, now: float, at: float) -> Note:
        """A manager of 2011 has acknowledged the report (`at`: seconds since the epoch); returns what to write down."""
        assert self.request is not None
        self.step, self._due, self.until = Step.KEPT, None, now + KEPT_AFTER_RECEIPT
        return replace(self.note, taken=Taken(at=at, by=bare(self.request.to), claim=self._claim))

    def was_kept(self, taken: Taken) -> None:
        """It was so already when the agent was started."""
        self._claim, self._storage = taken.claim, taken.by
        self._report()
        self.step = Step.KEPT

    def _report(
        self, package: str | None = None, wish: Wish | None = None, agent_class: str | None = None
    ) -> list[Action]:
        self.step, self._due = Step.REPORTING, None
        outcome, output = self.outcome, self.outcome.output
        report = JobDone(
            job_id=self.assignment.id,
            exit_code=outcome.exit_code,
            state=_STATES.get(outcome.cause, "failed"),
            agent_host=self._host,
            jm_job_data=self._claim,
            validate_exit_code=outcome.validate_exit_code,
            cause=outcome.cause.value,
            reason=outcome.reason or None,
            stderr_tail=outcome.tail or None,
            sandbox=outcome.sandbox or None,
            cpu_time=outcome.cpu_time,
            memory=outcome.memory,
            disk=outcome.disk,
            wall_time=outcome.wall_time,
            bytes_in=outcome.bytes_in,
            output_size=None if output is None else output.size,
            output_sha256=None if output is None else output.sha256,
            package=package,
            slots=None if wish is None else wish.slots,
            free=None if wish is None else wish.free,
            agent_class=agent_class,
        )
        return self._say(self._storage, report, void_at=self.until)

    def _again(self, now: float, reason: str) -> Actions:
        """Later, and without the package once it was found wrong too often."""
        if self._mismatches >= MOST_MISMATCHES and self.outcome.output is not None:
            self.outcome = Outcome(
                cause=Cause.INFRA_STORE,
                exit_code=self.outcome.exit_code,
                reason=one_line(f"the output could not be stored: {reason}"),
                host=self.outcome.host,
                validate_exit_code=self.outcome.validate_exit_code,
            )
        self._failures += 1
        longest = min(LONGEST_RETRY, FIRST_RETRY * 2.0**self._failures)
        self.step, self._due, self.request = Step.WAITING, now + self._random() * longest, None
        return []
