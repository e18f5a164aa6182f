"""How one finished job gets home: find a storage manager, get a directory, upload, report (report, 2.2.2 and 2.2.3).

A state machine without I/O. A result is never given up: every step that fails is tried again, later and later,
until a storage manager has acknowledged the report or said that it does not want it.

    ASKING ◀──no answer── PLACING ──store──▶ UPLOADING ──▶ REPORTING ──ack──▶ (gone)
      ▲ └──────have──────────▲                   │              │
      └───────────── WAITING ◀──── failed ───────┴── mismatch ──┘
"""

from __future__ import annotations

import enum
from collections.abc import Callable

from copilot.agent.effects import Assignment, Upload
from copilot.errors import NoSpace, TransferUnavailable
from copilot.job import Cause, Outcome, one_line
from copilot.protocol.commands import GetJobOutputDir, JobDone, StoreJobOutputDir, WantGetJobOutputDir
from copilot.runtime.component import Action, Actions, Perform, Send

ANSWER_WITHIN = 10.0  # s until a request to all instances is made again
PLACE_WITHIN = 60.0  # s that one has to answer `getJobOutputDir`: it may have died after its ack
FIRST_RETRY = 2.0  # s
LONGEST_RETRY = 600.0  # s
MOST_MISMATCHES = 5  # a package that arrives damaged so often is damaged here


class Step(enum.Enum):
    """Where a delivery stands."""

    WAITING = enum.auto()  # for the time of the next try
    ASKING = enum.auto()  # `want_getJobOutputDir` is out
    PLACING = enum.auto()  # `getJobOutputDir` is out; it is sent again by itself, for a while
    UPLOADING = enum.auto()
    REPORTING = enum.auto()  # `jobDone` is out; it is sent again by itself


class Delivery:
    """One result on its way."""

    def __init__(
        self, assignment: Assignment, outcome: Outcome, *, host: str, random: Callable[[], float]
    ) -> None:
        self.assignment = assignment
        self.outcome = outcome
        self.step = Step.WAITING
        self._host = host
        self._random = random
        self._claim = assignment.claim
        self._storage = ""
        self._failures = 0
        self._mismatches = 0
        self._due: float | None = 0.0

    def wakeup(self) -> float | None:
        """When `tick` has something to do."""
        return self._due

    def tick(self, now: float) -> Actions:
        """Ask for a directory (again) when it is time."""
        if self._due is None or now < self._due:
            return []
        self.step, self._due = Step.ASKING, now + ANSWER_WITHIN * (0.5 + self._random())
        want = WantGetJobOutputDir(job_id=self.assignment.id, agent_host=self._host, jm_job_data=self._claim)
        return [Send(to=self.assignment.manager, command=want)]

    def offered(self, storage: str, now: float) -> Actions:
        """A storage manager would take it: ask that one."""
        if self.step is not Step.ASKING:
            return []
        self.step, self._due = Step.PLACING, now + PLACE_WITHIN
        request = GetJobOutputDir(job_id=self.assignment.id, agent_host=self._host, jm_job_data=self._claim)
        return [Send(to=storage, command=request, void_at=self._due)]

    def awaits(self, command: GetJobOutputDir | JobDone) -> bool:
        """Whether an answer to `command` matters now: it may be of an earlier step, or attempt, of the same job."""
        awaited = {Step.PLACING: GetJobOutputDir, Step.REPORTING: JobDone}.get(self.step)
        return type(command) is awaited and command.jm_job_data == self._claim

    def placed(self, storage: str, answer: StoreJobOutputDir) -> Actions:
        """There is a directory: upload, or report at once if there is nothing to upload."""
        if self.step is not Step.PLACING:
            return []
        self._due = None
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

    def _report(self) -> list[Action]:
        self.step, self._due = Step.REPORTING, None
        outcome, output = self.outcome, self.outcome.output
        report = JobDone(
            job_id=self.assignment.id,
            exit_code=outcome.exit_code,
            state="done" if outcome.cause is Cause.OK else "failed",
            agent_host=self._host,
            jm_job_data=self._claim,
            validate_exit_code=outcome.validate_exit_code,
            cause=outcome.cause.value,
            reason=outcome.reason or None,
            output_size=None if output is None else output.size,
            output_sha256=None if output is None else output.sha256,
        )
        return [Send(to=self._storage, command=report)]

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
        self.step, self._due = Step.WAITING, now + self._random() * longest
        return []
