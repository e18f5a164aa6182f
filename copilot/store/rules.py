"""What every version of the queue holds to: limits, checks of arguments, and the words it writes itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

from copilot.errors import (
    BadName,
    BadRequirements,
    IntakePaused,
    JobExists,
    QueueFull,
    TooManyJobs,
    TooManyWatches,
    UnknownJob,
)
from copilot.job import Cause, Event, JobSpec, Outcome, Phase, State, check_job_id, one_line
from copilot.matching import groups
from copilot.matching.needs import needed
from copilot.matching.rank import read_rank
from copilot.matching.requirements import read_requirements
from copilot.patterns import pattern
from copilot.store.base import Held
from copilot.store.controls import Gate, Pause

MAX_BATCH = 1000  # jobs or entries in one call, so that no step holds the store for long
REQUEST_MEMORY = 600.0  # seconds for which a request gets the same jobs again (protocol page, section 1)
EVENTS_KEPT = 100_000
ATTEMPTS_KEPT = 100  # of one job; the prelude of the scripts has the same number
MAX_EVENT_TEXT = 1000  # characters; a reason comes from an agent, and the stream keeps many
MAX_PRIORITY = 1_000_000_000  # either way; exact as a score, which is a double

DRAIN_WANTED = 24 * 3600.0  # seconds for which an agent that is not there is still to be told to leave
LONGEST = 1e12  # seconds
MOST_OVERDUE_AT_ONCE = 5000  # attempts that one `reap` looks at; the script has the same number
PHASES = ("", *Phase)  # what an agent may be at; empty: it does not say
LEAST_UP_TIME = 60.0  # seconds of undisturbed service before an attempt without a lease is taken back
HELD_MEMORY = (
    30 * 24 * 3600.0
)  # seconds for which it is known what was given to an agent of one job at a time
PARKED_FOR = 900.0  # seconds for which an agent that has found no job is given one that comes; claiming.lua has the same
LONGEST_SESSION = 2048  # characters of what is kept of a parked agent in secure mode
MOST_FORGOTTEN_AT_ONCE = 100  # parked agents that one step forgets
MOST_PARKED_LOOKED_AT = 1000  # by one `dispatch`; the script has the same number
HOST_MEMORY = 7 * 24 * 3600.0  # seconds for which it is known what an agent has said of its host
GROUP_LENGTH = groups.GROUP_LENGTH  # characters of the name of a group
MOST_GROUPS = 5000  # with requirements, whose jobs wait: a claim may have to look at each of them
FEW_GROUPS = 100  # with requirements, that an owner in a project may have in any case
GROUPS_TO_FREE = 4  # and so many for each that is still free: one has four fifths at most, and there is always room for others
MOST_PLAIN_GROUPS = 100_000  # without: a claim looks at those that stand before the first one that fits
MOST_HEADS_LOOKED_AT = 50_000  # by one `dispatch`; the script has the same number
GROUP_MEMORY = 24 * 3600.0  # seconds for which the number of a group without jobs is known
MATCHES_MEMORY = (
    3600.0  # seconds for which a match is known; these three, PAGE and the looks are those of the scripts
)
PAGE = 1000  # groups whose matches with a class of hosts stand in one key
REMEMBERED_FOR = 60  # s for which a dispatch whose answer was lost may be asked for once more
FIRST_LOOK, LARGEST_LOOK = 8, 512  # groups that a claim reads at once
MOST_CLASSES = 10000  # of hosts for which Redis knows where to go on
LONGEST_QUESTION = 64 * 1024  # bytes of requirements that are asked about at once, but for the last
TURN = 100  # how far one start of one core moves the turns on; turns.lua has the same numbers
TIES = 1000  # submissions that equal turns tell apart
MOST_SHARES = 100  # of an owner and a project together: with more a job of one core would take no turn at all
RESERVE_AFTER = (
    60.0  # seconds after which an agent is kept for a job that was passed over; reserving.lua has the same
)
RESERVED_FOR = 3600.0  # seconds
PASSED_MEMORY = 7200.0  # seconds for which it is known what was passed over
SUSPECT_AFTER = 60.0  # seconds since the claim; a `want_getJob` is void then, so it was said after the claim
SUSPECT_GRACE = 30.0  # seconds that the report of a suspected attempt may still be on its way

LOOKED_AT_OF_OLD = (
    100  # ids of jobs of older versions that may be in the way of a new array; arrays.lua has the same number
)
LET_IN_AT_ONCE = 1000  # jobs that waited for others; blocking.lua has the same number

HAND_BACKS_FREE = (
    5  # in a row, before a job waits for the next try; the prelude of the scripts has the same numbers
)
LONGEST_DELAY = 300.0  # seconds
MOST_PRIORITIES = 16  # of a queue, that are looked at for its oldest job; onlookers.lua has the same number
MOST_DELAYED_AT_ONCE = 100  # jobs that one step lets into the queue

UNDELIVERED_TEXT = "the agent did not confirm in time that it has the job"
LEFT_TEXT = "the agent had to leave and gave the job back"
OUT_OF_TIME = Outcome(
    cause=Cause.POLICY_RUN_TIME,
    exit_code=124,  # what timeout(1) says
    reason="the attempt ran longer than allowed, or its result never arrived",
)
SILENT = Outcome(
    cause=Cause.INFRA_LOST,
    exit_code=1,
    reason="the agent did not renew its lease on the job",
)
HELD_WHEN_SUBMITTED = "submitted on hold"  # why a job is held that nobody has held since


def ran_out(event: Event) -> bool:
    """Whether this event of `reap` tells of a lease that was not renewed, whatever became of the job then."""
    return event.text == SILENT.reason


def delay(hand_backs: int) -> float:
    """For how many seconds a job waits that was handed back so often in a row."""
    return 0.0 if hand_backs <= HAND_BACKS_FREE else min(2.0 ** (hand_backs - HAND_BACKS_FREE), LONGEST_DELAY)


def queue_full(share: float) -> QueueFull:
    """The error for new jobs that would take the memory that those on the queue need."""
    return QueueFull(
        f"the queue is full: Redis uses more than {share:.0%} of its memory, and the rest is kept for the jobs that are on "
        "it; submit again when some are done, remove old jobs with 'copilot clean', or raise maxmemory"
    )


def intake_paused(paused: Sequence[Pause]) -> IntakePaused:
    """The error for a new job while none is taken."""
    told = next((one.told() for one in paused if one.gate is Gate.INTAKE), "paused a moment ago")
    return IntakePaused(
        f"the queue is {told}; submit again later, or ask who runs it: `copilot resume --intake`"
    )


def too_many_jobs(most: int) -> TooManyJobs:
    """The error for a new job of an owner who has as many on the queue as he may."""
    return TooManyJobs(
        f"{most} of your jobs may wait or run at a time, and with this one there would be more: submit it again when some "
        "are over"
    )


def cancelled(reason: str) -> Outcome:
    """How a job ends that never gets to report."""
    return Outcome(
        cause=Cause.CANCELLED, exit_code=130, reason=one_line(reason)
    )  # 130: what Ctrl-C leaves in a shell


LOST = Outcome(
    cause=Cause.INFRA_LOST,
    exit_code=1,
    reason="the agent asked for work although it had this job, so it has lost it",
)

_SCAN = pattern(r"[0-9]{0,20}\Z")
_EVENT_ID = pattern(r"(\$|[0-9]{1,19}(-[0-9]{1,20})?)\Z")


def check_session(text: str) -> str:
    """`text`, if it is one word and not too long. Raises `ValueError`."""
    if len(text) > LONGEST_SESSION or text.split() != [text]:
        raise ValueError(f"a session is one word of at most {LONGEST_SESSION} characters, not {text[:40]!r}")
    return text


def check_batch(specs: Sequence[JobSpec]) -> dict[str, tuple[JobSpec, str]]:
    """The jobs to submit with their JSON, by id and in order, repetitions left out.

    Raises `BadName`, `BadRequirements`, `JobExists` (two different jobs of one id), `ValueError` (too many, numbers out of range).
    """
    if len(specs) > MAX_BATCH:
        raise ValueError(
            f"{len(specs)} jobs in one submit: at most {MAX_BATCH} are allowed; submit them in chunks"
        )
    batch: dict[str, tuple[JobSpec, str]] = {}
    for spec in specs:
        text = _checked(spec).to_json()
        if batch.setdefault(spec.id, (spec, text))[1] != text:
            raise job_exists(spec.id)
    return batch


def _checked(spec: JobSpec) -> JobSpec:
    check_job_id(spec.id, submitted=True)
    if spec.index is not None:
        raise BadName(f"job {spec.id}: an element of an array comes with its array; submit that")
    attributes_of(spec)
    if not -MAX_PRIORITY <= spec.priority <= MAX_PRIORITY:
        raise ValueError(
            f"job {spec.id}: priority {spec.priority}: expected at most {MAX_PRIORITY} either way"
        )
    if spec.max_attempts < 1:
        raise ValueError(f"job {spec.id}: max_attempts {spec.max_attempts}: expected 1 or more")
    if spec.max_user_attempts < 1:
        raise ValueError(f"job {spec.id}: max_user_attempts {spec.max_user_attempts}: expected 1 or more")
    if spec.max_run_time is not None:
        check_seconds(f"job {spec.id}: max_run_time", spec.max_run_time)
    return spec


def attributes_of(spec: JobSpec) -> tuple[str, ...]:
    """The attributes of hosts by which it is matched, and ranks them. Raises `BadRequirements`."""
    try:
        if spec.requirements and (text := read_requirements(spec.requirements).text) != spec.requirements:
            raise BadRequirements(
                f"requirements {spec.requirements[:140]!r}: expected the one way of writing that "
                f"copilot.matching.requirements.normal_requirements gives them, {text[:140]!r}"
            )
        if spec.rank and (text := read_rank(spec.rank).text) != spec.rank:
            raise BadRequirements(
                f"rank {spec.rank[:140]!r}: expected the one way of writing that copilot.matching.rank.normal_rank gives it, {text[:140]!r}"
            )
        all_of_them = needed(spec)
        required = read_requirements(all_of_them).attributes if all_of_them else ()
        return tuple(sorted({*required, *read_rank(spec.rank).attributes})) if spec.rank else required
    except BadRequirements as error:
        raise BadRequirements(f"job {spec.id}: {error}") from error


def too_many_watches(most: int) -> TooManyWatches:
    """The error for one more output that somebody wants to see."""
    return TooManyWatches(
        f"{most} outputs of running jobs are being looked at, and more are not shown at a time: try again when somebody has seen enough"
    )


def too_many_groups() -> QueueFull:
    """The error for new jobs whose requirements would be too many different ones."""
    return QueueFull(
        f"jobs with {MOST_GROUPS} different requirements wait already, and more are not allowed; submit again when some are "
        "done, or give jobs that can run on the same hosts the same requirements"
    )


def too_many_groups_of_one() -> QueueFull:
    """The error for new jobs of an owner who has most of the different requirements that wait."""
    return QueueFull(
        f"jobs of this owner with so many different requirements wait already that of the {MOST_GROUPS} that are allowed few are left for "
        "others; submit again when some are done, or give jobs that can run on the same hosts the same requirements"
    )


def most_groups_of_one(there: int) -> int:
    """How many groups with requirements one owner in one project may have, when there are so many in all, the new ones among them."""
    return max(FEW_GROUPS, GROUPS_TO_FREE * (MOST_GROUPS - there))


def job_exists(job: str) -> JobExists:
    """The error for an id that is taken."""
    return JobExists(
        f"job {job}: another job with this id was submitted before, with a different description; "
        "nothing of this submit was taken: choose another id"
    )


def unknown_wish(job: str, other: str) -> UnknownJob:
    """The error for a job that is to wait for one that there is not."""
    return UnknownJob(
        f"job {job}: is to wait for job {other}, which is not known; nothing of this submit was taken: look for a typing error, or "
        "submit that one first (records of old jobs are removed: one that is over for long need not be waited for)"
    )


def element_wish(job: str, other: str) -> UnknownJob:
    """The error for a job that is to wait for an element of an array."""
    return UnknownJob(
        f"job {job}: is to wait for {other}, which is an element of an array; nothing of this submit was taken: wait for the whole array, "
        f"{other.rpartition('.')[0]}"
    )


def check_seconds(name: str, value: float) -> float:
    """Return `value` if it is a length of time: finite, not negative. Raises `ValueError`."""
    if not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{name} {value}: expected seconds, 0 or more and finite")
    return value


def check_count(name: str, value: int) -> int:
    """Return `value` if it may be asked for in one call. Raises `ValueError`."""
    if not 1 <= value <= MAX_BATCH:
        raise ValueError(f"{name} {value}: expected 1 to {MAX_BATCH}")
    return value


def check_page(state: State, skip: int, limit: int) -> None:
    """Raise `ValueError` for a state in which a job is not over, or a part of the list that makes no sense."""
    if not state.final:
        raise ValueError(f"state {state}: expected done, failed or cancelled")
    check_part(skip, limit)


def check_part(skip: int, limit: int) -> None:
    """Raise `ValueError` for a part of a list that makes no sense."""
    if skip < 0:
        raise ValueError(f"skip {skip}: expected 0 or more")
    check_count("limit", limit)


def check_held(held: Sequence[Held]) -> None:
    """Raise `ValueError` for more attempts than may be renewed in one call, or a phase that is no word."""
    if len(held) > MAX_BATCH:
        raise ValueError(f"{len(held)} attempts in one message: at most {MAX_BATCH}; send them in parts")
    for one in held:
        if one.phase not in PHASES:
            raise ValueError(f"phase {one.phase[:40]!r}: expected one of {', '.join(filter(None, PHASES))}")


def check_jobs(jobs: Sequence[str]) -> None:
    """Raise `ValueError` for more jobs than may be asked about in one call."""
    if len(jobs) > MAX_BATCH:
        raise ValueError(f"{len(jobs)} jobs in one call: at most {MAX_BATCH}; ask in parts")


def check_agents(agents: Sequence[str]) -> None:
    """Raise `ValueError` for more agents than may be named in one call."""
    if len(agents) > MAX_BATCH:
        raise ValueError(f"{len(agents)} agents in one call: at most {MAX_BATCH}; name them in parts")


def check_event_id(text: str) -> str:
    """Return `text` if it is a place in the event stream. Raises `ValueError`."""
    if not _EVENT_ID.match(text):
        raise ValueError(
            f"event id {text[:60]!r}: expected '0', '$' or the id of an event, like '1700000000000-0'"
        )
    return text


def check_entry(text: str) -> str:
    """Return `text` if it is a place in the event stream other than its end. Raises `ValueError`."""
    if text == "$":
        raise ValueError("event id '$': expected '0' or the id of an event, for nothing is behind the end")
    return check_event_id(text)


def check_scan(text: str) -> str:
    """Return `text` if a part may begin there: "" or what the part before said. Raises `ValueError`."""
    if not _SCAN.match(text):
        raise ValueError(f"place {text[:60]!r}: expected '' or the number that the part before has told")
    return text


def owner_of(spec: JobSpec) -> str:
    """Under which name the job is counted: the owner, in UTF-8 whatever it is."""
    return words_of(spec.owner)


def words_of(text: str) -> str:
    """A name in UTF-8, whatever it is."""
    return text.encode(errors="replace").decode()


def event_text(reason: str) -> str:
    """A reason, short enough for the event stream; the record keeps all of it."""
    return reason[:MAX_EVENT_TEXT]
