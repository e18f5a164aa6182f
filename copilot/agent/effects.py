"""What an agent does beside talking: instructions that its logic returns and its service carries out.

Each comes back to the logic as `Finished(effect, result)`, but for `Remember`, `Begin`, `Stop` and `Kill`, which are done
on the spot.
"""

from __future__ import annotations

from dataclasses import asdict, field, fields
from typing import Any, Self

from copilot.agent.capacity import Share, request_of
from copilot.job import Cause, Outcome, Output
from copilot.log import JobRef
from copilot.matching.resources import Request
from copilot.protocol.commands import Job
from copilot.records import dataclass

_JOB = ("id", "command", "attempt", "lease", "exclusive")  # what a note keeps of a job
_OUTCOME = tuple(item.name for item in fields(Outcome) if item.name != "output")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assignment:
    """A job as an agent holds it. `manager` is the bare JID it came from; `claim` goes back with every word about it.

    `instance` is the full JID it came from, if that takes reports directly. `resources`: it knows what jobs take of an agent.
    """

    job: Job
    manager: str
    claim: str | None
    instance: str | None = None
    resources: bool = False
    needs: Request = field(
        init=False, compare=False, repr=False
    )  # what it takes of us: asked for at each event

    def __post_init__(self) -> None:
        object.__setattr__(self, "needs", request_of(self.job))

    @property
    def id(self) -> str:
        """The job's id, under which the agent keeps it."""
        return self.job.id

    @property
    def ref(self) -> JobRef:
        """For the log."""
        return JobRef(self.job.id, self.job.attempt)


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """A manager of 2011 has acknowledged the report, which says that it has it, not that it is safe there.

    `at` is when, in seconds since the epoch; `by` is its bare JID; `claim` is the one that the report bore.
    """

    at: float
    by: str
    claim: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the journal keeps of an assignment: enough to report it truthfully after a crash.

    `outcome` is None until the payload has ended; `ended` is when that was, in seconds since the epoch (None also in
    notes of older versions).
    """

    assignment: Assignment
    outcome: Outcome | None = None
    ended: float | None = None
    taken: Taken | None = None

    def to_data(self) -> dict[str, Any]:
        """As plain JSON data. Of the job, only what its report needs: what did not run is not run later."""
        one, outcome = self.assignment, self.outcome
        return {
            "job": {name: getattr(one.job, name) for name in _JOB},
            "manager": one.manager,
            "claim": one.claim,
            "instance": one.instance,
            "outcome": None if outcome is None else {name: getattr(outcome, name) for name in _OUTCOME},
            "output": None if outcome is None or outcome.output is None else asdict(outcome.output),
            "ended": self.ended,
            "taken": None if self.taken is None else asdict(self.taken),
        }

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Self:
        """The inverse; raises KeyError, TypeError or ValueError for anything else."""
        outcome, output, taken = data["outcome"], data["output"], data["taken"]
        if outcome is not None:
            outcome = Outcome(
                **outcome | {"cause": Cause(outcome["cause"])},
                output=None if output is None else Output(**output),
            )
        return cls(
            assignment=Assignment(
                job=Job(**data["job"]),
                manager=data["manager"],
                claim=data["claim"],
                instance=data["instance"],
            ),
            outcome=outcome,
            ended=data["ended"],
            taken=None if taken is None else Taken(**taken),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Remember:
    """Write the note to the journal, at once."""

    note: Note


@dataclass(frozen=True, slots=True, kw_only=True)
class Forget:
    """Remove the job's directory and its note."""

    assignment: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Execute:
    """Fetch, run, validate and pack; the result is an `Outcome`, with `output` if there is a package.

    What is exclusive is fetched, and does not run before `Begin`.
    """

    assignment: Assignment
    share: Share = field(default_factory=Share)


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """An exclusive job may run: its lease is sure. Done on the spot."""

    assignment: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop:
    """End what `Execute` is at, politely at first; its outcome then says `cancelled`. Done on the spot."""

    assignment: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Kill:
    """End at once what `Stop` could not; the outcome is the same. Done on the spot."""

    assignment: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Show:
    """Read what it has printed on `stream` so far, for `asker` (full JID): at most `most` bytes from `offset` on, or of the `last` ones;
    the result is a `showing.Part`."""

    assignment: Assignment
    stream: str
    offset: int | None
    last: int
    most: int
    asker: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Pack:
    """Pack what an interrupted attempt has left; the result is an `Output`, or None if nothing could be packed."""

    assignment: Assignment


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Put the package at `url`; the result is None."""

    assignment: Assignment
    url: str
    output: Output
