"""Every key that the queue keeps in Redis: its name, type, meaning and life time.

The scripts spell no key. `TABLE` is handed to each of them as `KEYS`, in this order, and the first line of
`scripts/prelude.lua` gives the names. An entry ending in ':' is the base of many keys; what follows it is
a job id, a group or a digest. Below a base there is nothing but keys of that kind, so an unknown id from the wire
finds nothing and can reach nothing else; keys are only ever made for ids and groups that `submit` has checked.
"""

from __future__ import annotations

import enum
import hashlib

from copilot.errors import ConfigError
from copilot.patterns import pattern
from copilot.records import dataclass

DEFAULT_PREFIX = "copilot:"

_PREFIX = pattern(r"[A-Za-z0-9._:-]{0,99}:\Z")


class Kind(enum.StrEnum):
    """Redis' types that we use."""

    HASH = "hash"
    LIST = "list"
    SET = "set"
    ZSET = "sorted set"
    STRING = "string"
    STREAM = "stream"


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """One kind of key. `suffix` says what follows a base, "" for a single key. `called`: what the scripts call it, if not by its name."""

    name: str
    called: str = ""
    suffix: str = ""
    kind: Kind
    meaning: str
    life: str

    @property
    def word(self) -> str:
        """What the scripts call it, in small letters and with '-'."""
        return self.called or self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One field of the hash that describes a job. Times are seconds since the epoch with 17 digits."""

    name: str
    meaning: str


TABLE = (
    Key(
        name="job:",
        suffix="<id>",
        kind=Kind.HASH,
        meaning="all that is known about a job; the fields stand below",
        life="until an operator removes it",
    ),
    Key(
        name="array:",
        suffix="<id>",
        kind=Kind.HASH,
        meaning="what the elements of an array have in common: fields of a job that do not change, `size`, `step` (how far it is from one place to "
        "the next), `n:<state>` elements in each state, `n:removed` of these, `n:unpublished`, and `finished`, when the last one ended; `unblocked`: up to which one they were let in, if that takes several steps",
        life="until its last element is removed",
    ),
    Key(
        name="parts:",
        suffix="<id>",
        kind=Kind.ZSET,
        meaning="elements of an array that no agent ever had, as ranges in one state: `<from>:<to>:<state>:<since>:<outcome>`, without `to`; "
        "score: from",
        life="an entry leaves when its first element is claimed, or they come to another state",
    ),
    Key(
        name="in-ranges",
        kind=Kind.HASH,
        meaning="how many jobs more than entries there are in `queue:<group>` and in the indexes of `held`, `blocked` and `cancelled`, where each "
        "part of an array is one entry: `+<id>/<from, 7 digits>-<to>`",
        life="as these entries",
    ),
    Key(
        name="numbered:",
        suffix="<id>",
        kind=Kind.ZSET,
        meaning="jobs that are called as elements of an array `<id>` would be, and are none; score: the number",
        life="as these jobs",
    ),
    Key(
        name="queue:",
        suffix="<group>",
        kind=Kind.ZSET,
        meaning="waiting jobs of one group: what its name says stands in copilot/matching/groups.py; score: priority, negated; member: `<place>:<id>`, or a range for `<id>`",
        life="an entry leaves when its job is claimed or settled",
    ),
    Key(
        name="heads",
        kind=Kind.ZSET,
        meaning="the first job of each group with requirements; score: 0; member: `<priority, negated, and 1,000,000,000><place><number><group>` with 10, 16 and 8 characters, and the name",
        life="an entry leaves when the group has no waiting job any more",
    ),
    Key(
        name="plain-heads",
        kind=Kind.ZSET,
        meaning="the same of each group without requirements, with the number 0",
        life="as in `heads`",
    ),
    Key(
        name="seen",
        kind=Kind.HASH,
        meaning="up to which member of `heads` no group matches a class of hosts, and the last of these members as `furthest`",
        life="an hour after the last claim that went on; until a job joins the queue before one of them",
    ),
    Key(
        name="group:",
        suffix="<group>",
        kind=Kind.STRING,
        meaning="`<number> <requirements>` of a group; no other one ever has its number. Of a group without requirements if a host that asks for "
        "some jobs only has looked at it",
        life="24 hours after its last waiting job",
    ),
    Key(
        name="groups",
        kind=Kind.STRING,
        meaning="the last number given to a group",
        life="as long as the queue",
    ),
    Key(
        name="attributes",
        kind=Kind.STRING,
        meaning="attributes of hosts that requirements of waiting jobs name, in lower case, with blanks between",
        life="until no job with requirements waits",
    ),
    Key(
        name="matches:",
        suffix="<class>:<page>",
        kind=Kind.STRING,
        meaning="which groups hosts of a class match: one byte for each of 1,000 numbers, `+`, `-` or NUL for not known",
        life="an hour after the last that was found out",
    ),
    Key(
        name="ranks:",
        suffix="<class>:<page>",
        kind=Kind.HASH,
        meaning="how much jobs with a rank prefer hosts of a class: the number of their group, and their rank there",
        life="an hour after the last that was found out",
    ),
    Key(
        name="host:",
        suffix="<digest>",
        kind=Kind.STRING,
        meaning="what an agent that is parked when idle, or that takes one job at a time, has said of its host (JDL), behind `!` if it asks for "
        "some jobs only; the digest is "
        "SHA-256 over its full JID",
        life="7 days after it was said last",
    ),
    Key(
        name="request:",
        suffix="<digest>",
        kind=Kind.STRING,
        meaning="what a request for jobs was given: `<time> <id>:<attempt> …`; the digest is SHA-256 over agent, "
        "NUL and request id. Or what a dispatch gave, for a minute: lines of full JID, id, attempt and features, with tabs between",
        life="10 minutes",
    ),
    Key(
        name="held:",
        suffix="<digest>",
        kind=Kind.SET,
        meaning="attempts given to an agent that takes one job at a time, as `<id>:<attempt>`; the digest is SHA-256 "
        "over its full JID",
        life="30 days after the last claim; an entry leaves when the agent asks again and the attempt is over",
    ),
    Key(
        name="attempts:",
        suffix="<id>",
        kind=Kind.LIST,
        meaning="how the attempts of a job ended, one line of JSON each, the last 100",
        life="as the job's",
    ),
    Key(
        name="package:",
        suffix="<id>",
        kind=Kind.STRING,
        meaning="the packed output of a settled job in base64, if it came with the report",
        life="until the finisher has taken the result",
    ),
    Key(
        name="sequence",
        kind=Kind.STRING,
        meaning="the number of the last submission",
        life="as long as the queue",
    ),
    Key(
        name="started",
        kind=Kind.HASH,
        meaning="where the turns of each rank are (priority, negated): the virtual time of the last job that was started",
        life="as long as the queue",
    ),
    Key(
        name="turns",
        kind=Kind.HASH,
        meaning="where the last job of an owner ends in this time: `<rank>=<time> …`",
        life="an entry leaves with the last of his jobs, if it is not ahead of others",
    ),
    Key(
        name="shares",
        kind=Kind.HASH,
        meaning="what `owner:<name>` or `project:<name>` may have: `<shares> <most jobs> <most cores>` that run, `-` for no limit",
        life="until an operator removes it",
    ),
    Key(
        name="in-use",
        kind=Kind.HASH,
        meaning="what owners and projects use while their jobs run: `cores:owner:<name>` and `cores:project:<name>` beside the first core of each job, `jobs:project:<name>`",
        life="an entry leaves with the last of these jobs",
    ),
    Key(
        name="passed-over",
        kind=Kind.HASH,
        meaning="of a group whose first job did not fit on an agent: `<head of the job> <since> <until> <agent>`, the full JID of the agent that is kept for it; `<until>` 0: or was in vain",
        life="2 hours; an entry leaves when the job is claimed; of groups that are gone some 1000 stay at most",
    ),
    Key(
        name="running-2",
        called="running",
        kind=Kind.ZSET,
        meaning="running jobs; score: the deadline of the attempt",
        life="an entry leaves with the end of the attempt",
    ),
    Key(
        name="done",
        kind=Kind.ZSET,
        meaning="jobs that are done; score: the time of their end",
        life="as the job's",
    ),
    Key(
        name="failed",
        kind=Kind.ZSET,
        meaning="jobs that failed; score: the time of their end",
        life="as the job's",
    ),
    Key(
        name="cancelled",
        kind=Kind.ZSET,
        meaning="cancelled jobs; score: the time of their end",
        life="as the job's",
    ),
    Key(
        name="cancelling-2",
        called="cancelling",
        kind=Kind.ZSET,
        meaning="running jobs that somebody wants to end; score: since when",
        life="an entry leaves with the end of the attempt",
    ),
    Key(
        name="on-hold",
        kind=Kind.ZSET,
        meaning="held jobs; score: since when",
        life="an entry leaves when the job is released or cancelled",
    ),
    Key(
        name="blocked",
        kind=Kind.ZSET,
        meaning="jobs that wait for others; score: since when",
        life="an entry leaves when the others are done or over, or when the job is released, held or cancelled",
    ),
    Key(
        name="awaits:",
        suffix="<id>",
        kind=Kind.SET,
        meaning="what a job waits for yet: `done:<id>`, until that job is done, `over:<id>`, until it has ended somehow",
        life="an entry leaves when that is so; all when the job is released or removed",
    ),
    Key(
        name="awaited:",
        suffix="<done or over>:<id>",
        kind=Kind.ZSET,
        meaning="the jobs that wait for that; score: 0",
        life="as in `awaits`",
    ),
    Key(
        name="letting-in",
        kind=Kind.ZSET,
        meaning="such names (`done:<id>`, `over:<id>`) that are so, for which more jobs wait than one step lets into queues; score: since when",
        life="moments: the reaper goes on with them",
    ),
    Key(
        name="draining",
        kind=Kind.ZSET,
        meaning="agents (bare JIDs) that somebody wants to leave; score: until when they are to be told",
        life="an entry leaves when the agent says goodbye, or with its time",
    ),
    Key(
        name="delayed-2",
        called="delayed",
        kind=Kind.ZSET,
        meaning="waiting jobs that were handed back too often to be in the queue; score: until when",
        life="an entry leaves with its time, or when the job is held or settled",
    ),
    Key(
        name="agents",
        kind=Kind.ZSET,
        meaning="agents (bare JIDs) that got jobs lately; score: when the last one",
        life="24 hours after the last claim, entries and all",
    ),
    Key(
        name="failing",
        kind=Kind.ZSET,
        meaning="agents (bare JIDs) at which jobs fail; score: when the last one that counts",
        life="2 hours; an entry leaves with a success",
    ),
    Key(
        name="trials",
        kind=Kind.HASH,
        meaning="what is held against such an agent: `<quarantines in a row> <end of the last one> <probe> <jobs>`",
        life="as its entry in `failing`",
    ),
    Key(
        name="unpublished",
        kind=Kind.ZSET,
        meaning="settled jobs that their finisher has not taken yet; score: the time of their end",
        life="an entry leaves when the job is published",
    ),
    Key(
        name="parked",
        kind=Kind.ZSET,
        meaning="idle agents (full JIDs) that get jobs when some come; score: since when. The channel of the same name tells "
        "that some have come",
        life="15 minutes after the agent has asked last; an entry leaves when it has jobs for all its slots, or is gone",
    ),
    Key(
        name="parking",
        kind=Kind.HASH,
        meaning="what such an agent can take: `<bare JID> <jobs> <lease> <host> <class> <attributes> <features …>`, `-` for what "
        "there is not; the first feature may be `free=…`, what it has left; last may come `session=…`: the session that it has opened in secure mode, sealed for the managers",
        life="as its entry in `parked`",
    ),
    Key(
        name="owners",
        kind=Kind.ZSET,
        meaning="who has jobs on the queue, by the names that their jobs give them; score: how many wait or run",
        life="an entry leaves with the last of these jobs",
    ),
    Key(
        name="owners-running",
        kind=Kind.HASH,
        meaning="how many of an owner's jobs run",
        life="an entry leaves with the last of these jobs",
    ),
    Key(
        name="events",
        kind=Kind.STREAM,
        meaning="what happened, one entry a move: time, job, kind, attempt, agent, cause, text. The text of a job's first claim is for "
        "how many seconds it had waited, that of an array begins with the elements: `[<from>:<to>]`",
        life="the last 100,000 entries or a few more",
    ),
    Key(
        name="accounts",
        kind=Kind.HASH,
        meaning="who may come in: by bare JID a line of JSON with standing, projects, public key, bundle, times and whether it was "
        "revoked",
        life="as long as the queue",
    ),
    Key(
        name="accounts-changed",
        kind=Kind.ZSET,
        meaning="these bare JIDs; score: the number of the last change",
        life="as long as the queue",
    ),
    Key(
        name="accounts-ending",
        kind=Kind.ZSET,
        meaning="bare JIDs whose account ends by itself; score: when",
        life="an entry leaves when the account was cut off, or is to stay",
    ),
    Key(
        name="bundles",
        kind=Kind.HASH,
        meaning="what lets agents in: by id a line of JSON with the temporary account, the SHA-256 of the secret, how many agents may "
        "come and have come, their projects, times and whether it was revoked",
        life="as long as the queue",
    ),
    Key(
        name="errands",
        kind=Kind.HASH,
        meaning="what the XMPP server has yet to be told: by bare JID a line of JSON with a number, the password that the account is to "
        "have (none: it is to go), and why that could not be done",
        life="moments; an entry leaves when a manager has done it",
    ),
    Key(
        name="errands-due",
        kind=Kind.ZSET,
        meaning="bare JIDs with an errand; score: when an instance may try it",
        life="as its entry in `errands`",
    ),
    Key(
        name="hosts",
        kind=Kind.ZSET,
        meaning="agents (full JIDs) that asked for work lately, so that it can be told why a job does not run; score: when they asked "
        "last, or ten minutes before they were found gone",
        life="24 hours after the agent has asked last, the whole after the last one",
    ),
    Key(
        name="alive",
        kind=Kind.ZSET,
        meaning="agents (bare JIDs) that renewed leases lately; score: when they did last, or ten minutes before they were "
        "found gone",
        life="24 hours",
    ),
    Key(
        name="reach:",
        suffix="<digest>",
        kind=Kind.STRING,
        meaning="where an agent has spoken last: a line of JSON with its full JID, its features and in secure mode the session that it has "
        "opened, sealed for the managers; the digest is SHA-256 over its bare JID",
        life="25 hours after it was written last",
    ),
    Key(
        name="watched",
        kind=Kind.ZSET,
        meaning="outputs of jobs that somebody wants to see, as `<stream>:<id>`; score: when their agents are to be asked again",
        life="an entry leaves with the end of its job, or some seconds after its wish",
    ),
    Key(
        name="watch:",
        suffix="<stream>:<id>",
        kind=Kind.HASH,
        meaning="such a wish: `attempt` and `offset` that are to be asked for next (negative: before the end), and what was heard last: of "
        "attempt `heard`, the `size` of the output, a `note`",
        life="60 seconds after the last reader has asked",
    ),
    Key(
        name="output:",
        suffix="<stream>:<id>",
        kind=Kind.STREAM,
        meaning="what agents have shown: entries `<attempt>-<offset>` with `data` in base64, the last 16",
        life="60 seconds after the last entry",
    ),
    Key(
        name="usage:",
        suffix="<by>:<day>",
        kind=Kind.HASH,
        meaning="what attempts took that ended on a day (days since the epoch), by `owner`, `project` or `agent`: by name `<attempts> <ended "
        "well> <cancelled> <handed back> <s of wall time> <s of CPU> <s of cores> <most bytes of memory> <bytes in> <bytes out>`; 20,000 "
        "names at most, the others together as `*`",
        life="400 days after its last new name; 60 days for agents",
    ),
    Key(
        name="paused",
        kind=Kind.HASH,
        meaning="what somebody has stopped, `dispatch` or `intake`: a line of JSON with by whom, why and since when",
        life="until somebody lets it go on",
    ),
    Key(
        name="set-aside",
        kind=Kind.HASH,
        meaning="agents (bare JIDs) that somebody has put in quarantine: a line of JSON with until when (empty: until somebody lets it "
        "out), by whom, why and since when",
        life="until then; entries that are over leave with the next one that comes",
    ),
    Key(
        name="format",
        kind=Kind.STRING,
        meaning="`<number> <version>`: of what format the queue is, by which version of Co-Pilot. A manager of an older format does not start",
        life="as long as the queue",
    ),
    Key(
        name="running",
        called="running-of-1",
        kind=Kind.STRING,
        meaning="a word for managers of format 1, which take it for what `running-2` is now, and so can change nothing (docs/versions.md)",
        life="as long as the queue",
    ),
    Key(
        name="cancelling",
        called="cancelling-of-1",
        kind=Kind.STRING,
        meaning="the same in the place of `cancelling-2`",
        life="as long as the queue",
    ),
    Key(
        name="delayed",
        called="delayed-of-1",
        kind=Kind.ZSET,
        meaning="the same in the place of `delayed-2`: one entry, which is no job; their claims end before they have changed anything",
        life="as long as the queue",
    ),
)

# Outside of our prefix: tools of 2011 write these (protocol page, section 2). `<list>` is one of `OLD_LISTS`, or the
# one that the configuration names.
# Not handed to the scripts as `KEYS`: rights of their own can keep programs away from them (docs/audit.md).
APART = (
    Key(
        name="audit",
        kind=Kind.STREAM,
        meaning="who has changed what, one entry a call: time, who, standing, via, place, verb, target, reason, result",
        life="until an operator has exported it and cuts it",
    ),
    Key(
        name="passwords",
        kind=Kind.HASH,
        meaning="by bare JID what the dashboard checks a password against: `scrypt:<n>:<r>:<p>:<salt>:<hash>`",
        life="until it is taken away, or the account is revoked",
    ),
)

OLD_TABLE = (
    Key(
        name="<list>",
        kind=Kind.LIST,
        meaning="ids of new jobs, pushed at the right",
        life="an entry leaves when a manager takes it",
    ),
    Key(
        name="job:<id>:description",
        kind=Kind.STRING,
        meaning="what the job is: seven fields joined by `::::`",
        life="until the job is on the queue",
    ),
    Key(
        name="<list>:taking",
        kind=Kind.LIST,
        meaning="ids that a manager has taken and not yet put on the queue",
        life="moments; what a manager that died leaves there is found by another one within a minute",
    ),
    Key(
        name="<list>:rejected",
        kind=Kind.LIST,
        meaning="ids of jobs that were refused; the log says why",
        life="until an operator removes them; push them on `<list>` again when they are mended",
    ),
)
OLD_LISTS = ("waiting-jobs", "waiting_jobs")  # the report's default, and that of the code of 2011

FIELDS = (
    Field(name="spec", meaning="what was submitted, as one line of JSON"),
    Field(name="group", meaning="names the queue; `any` or 40 digits for jobs of older versions"),
    Field(
        name="attributes",
        meaning="attributes of hosts that its requirements and its rank name, in lower case; absent without them",
    ),
    Field(name="needs", meaning="all by which it is matched; absent if its requirements say it"),
    Field(name="prefers", meaning="its rank of hosts (decision 23); absent for none"),
    Field(name="project", meaning="for whose work it is; absent for none"),
    Field(name="rank", meaning="score in the queue: the priority, negated"),
    Field(
        name="place",
        meaning="its turn among jobs of its priority, 16 digits: the virtual time at which it is to start, and the last three digits of the number of "
        "the submission; kept for life",
    ),
    Field(name="max_attempts", meaning="how many attempts may count"),
    Field(name="max_user_attempts", meaning="how many attempts may fail by the job's own fault"),
    Field(name="max_run_time", meaning="the job's own limit in seconds, empty for the manager's"),
    Field(name="submitted", meaning="time of the submission"),
    Field(name="first_event", meaning="id of the entry of the event stream that tells of the submission"),
    Field(name="state", meaning="`waiting`, `held`, `blocked`, `running`, `done`, `failed` or `cancelled`"),
    Field(
        name="owner",
        meaning="under which name it is counted in `owners`; absent for a job of an older version, until it moves",
    ),
    Field(name="attempt", meaning="number of the last claim, the fencing token; 0 before the first"),
    Field(
        name="attempts_used",
        meaning="claims that count: those not handed back, and not followed by another after a failure of the job's own",
    ),
    Field(
        name="user_failures", meaning="attempts in which the job itself has failed; absent before the first"
    ),
    Field(
        name="hand_backs", meaning="how often it was handed back since an attempt last counted; absent before"
    ),
    Field(name="failed_at", meaning="agents at which it failed and that may be to blame; absent before"),
    Field(name="struck", meaning="when it last did"),
    Field(name="agent", meaning="bare JID that holds, or last held, the job"),
    Field(name="claimed", meaning="time of the last claim"),
    Field(name="cores", meaning="that this claim gave it; absent for one"),
    Field(
        name="lease",
        meaning="seconds within which its agent must renew; absent for an agent that renews none",
    ),
    Field(name="phase", meaning="what the agent was at when it last renewed: `fetch`, `run`, `upload`"),
    Field(name="confirmed", meaning="when the agent said that it has the job; absent before"),
    Field(name="handed_back", meaning="the attempt that was handed back last; absent before"),
    Field(name="suspected", meaning="the attempt that its agent seems to have lost; absent before"),
    Field(
        name="cancel",
        meaning="the outcome that the job has if its attempt ends without one; absent unless cancelled",
    ),
    Field(
        name="settled",
        meaning="the attempt whose end is known for good; a second report of it is a repetition",
    ),
    Field(
        name="charged",
        meaning="what an attempt that is over, but perhaps not for good, is in the sums of `usage` with: `<attempt> <ended well> <cancelled> "
        "<wall> <cpu> <cores> <in> <out>`; absent when the job is over",
    ),
    Field(name="array", meaning="the array that it is an element of; absent for others"),
    Field(name="outcome", meaning="how the attempt ended, as JSON without the output"),
    Field(name="output", meaning="size and SHA-256 of the output, as JSON, for settled jobs only"),
    Field(name="finished", meaning="time of the end"),
    Field(name="published", meaning="`1` once the finisher has taken the result to its place"),
)


class Keys:
    """The keys of one queue, under one prefix."""

    def __init__(self, prefix: str = DEFAULT_PREFIX) -> None:
        """Raises `ConfigError` for a prefix that is not 1 to 100 plain characters ending in ':'."""
        if not _PREFIX.match(prefix):
            raise ConfigError(
                f"Redis key prefix {prefix[:120]!r}: expected at most 100 letters, digits, '.', '_', '-' or ':', "
                "the last one ':', like 'copilot:'"
            )
        self.all = tuple(prefix + key.name for key in TABLE)
        self._prefix = prefix

    def job(self, job: str) -> str:
        """The hash of a job."""
        return f"{self._prefix}job:{job}"

    def array(self, array: str) -> str:
        """The hash of an array."""
        return f"{self._prefix}array:{array}"

    def queue(self, group: str) -> str:
        """The waiting jobs of a group (`copilot.matching.groups`)."""
        return f"{self._prefix}queue:{group}"

    def host(self, jid: str) -> str:
        """What an agent that is parked when idle has said of its host; its JID is from the wire."""
        return f"{self._prefix}host:{digest(jid)}"

    def attempts(self, job: str) -> str:
        """How the attempts of a job ended."""
        return f"{self._prefix}attempts:{job}"

    def package(self, job: str) -> str:
        """The packed output of a job, if it came with the report."""
        return f"{self._prefix}package:{job}"

    def reach(self, agent: str) -> str:
        """Where an agent has spoken last; its bare JID is from the wire."""
        return f"{self._prefix}reach:{digest(agent)}"

    def usage(self, by: str, day: int) -> str:
        """What attempts took that ended on a day."""
        return f"{self._prefix}usage:{by}:{day}"

    @property
    def accounts(self) -> str:
        """Who may come in."""
        return f"{self._prefix}accounts"

    @property
    def bundles(self) -> str:
        """What lets agents in."""
        return f"{self._prefix}bundles"

    @property
    def errands(self) -> str:
        """What the XMPP server has yet to be told."""
        return f"{self._prefix}errands"

    @property
    def trials(self) -> str:
        """What is held against agents."""
        return f"{self._prefix}trials"

    @property
    def paused(self) -> str:
        """What somebody has stopped."""
        return f"{self._prefix}paused"

    @property
    def set_aside(self) -> str:
        """Agents that somebody has put in quarantine."""
        return f"{self._prefix}set-aside"

    @property
    def parked(self) -> str:
        """Idle agents; also the channel on which managers hear that there is work for them."""
        return f"{self._prefix}parked"

    @property
    def unpublished(self) -> str:
        """Settled jobs that their finisher has not taken yet."""
        return f"{self._prefix}unpublished"

    @property
    def events(self) -> str:
        """The event stream."""
        return f"{self._prefix}events"

    @property
    def audit(self) -> str:
        """The audit trail."""
        return f"{self._prefix}audit"

    @property
    def passwords(self) -> str:
        """What the dashboard checks passwords against."""
        return f"{self._prefix}passwords"

    @property
    def mark(self) -> str:
        """No key, but the channel of the messages that are waited for in place of changes that change nothing."""
        return f"{self._prefix}mark"


def old_description(job: str) -> str:
    """Where the description of a job of the old format stands; the id has been checked."""
    return f"job:{job}:description"


def old_taking(name: str) -> str:
    """The ids of the list `name` that are being taken."""
    return f"{name}:taking"


def old_rejected(name: str) -> str:
    """The ids of the list `name` that were refused."""
    return f"{name}:rejected"


def digest(*words: str) -> str:
    """What stands for words from the wire in a key (an agent, or its request): only their hash gets there."""
    return hashlib.sha256("\0".join(words).encode()).hexdigest()


def rights(user: str, prefix: str = DEFAULT_PREFIX) -> str:
    """The line that gives a program's account of Redis (7 or later) all that it needs, and on the audit trail nothing but adding.

    Each key is named, for what is not named is forbidden; on the trail, a selector allows one command. Its keys never come as `KEYS`
    of a script, which would need the rights of both."""
    keys = Keys(prefix)
    named = [
        f"~{key}{'*' if base.name.endswith(':') else ''}" for key, base in zip(keys.all, TABLE, strict=True)
    ]
    words = (
        "on",
        ">PASSWORD",
        *named,
        f"%R~{keys.passwords}",
        f"&{prefix}*",
        "+@all",
        "-@admin",
        "-@dangerous",
        "+info",
    )
    return " ".join(("ACL SETUSER", user, *words, f"(~{keys.audit} +xadd)"))
