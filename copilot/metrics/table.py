"""Every metric of ours: its name, what it means, who shows it, where its value is read. `docs/metrics.md` is made from this.

Labels are bounded: causes, reasons, codes, commands, schemes and states, all words of our own. No job, agent or host is ever
one. Each part is read from one object of a program; a program shows those parts whose objects it has.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from typing import Any, Generic, TypeVar

from copilot import __version__
from copilot.agent.counts import WAITS, AgentCounts
from copilot.files.counts import FETCH, METHODS, STORE, ServerCounts, TransferCounts
from copilot.histogram import Histogram
from copilot.job import Cause, Phase
from copilot.keymanager.counts import REFUSALS as NO_TICKETS
from copilot.keymanager.counts import KeyManagerCounts
from copilot.metrics.disk import Disk
from copilot.metrics.lag import Lag
from copilot.metrics.queue import Queue
from copilot.monitor.counts import REFUSALS, MonitorCounts
from copilot.protocol.endpoint import Counts
from copilot.protocol.rules import RULES
from copilot.protocol.security import Openings
from copilot.records import dataclass
from copilot.runtime.counts import FOREIGN, JobCounts
from copilot.runtime.loop_counts import NOT_HANDLED, LoopCounts
from copilot.store.base import Verdict
from copilot.store.counts import ERRORS, StoreCounts
from copilot.transport.counts import SessionCounts

MANAGERS, AGENTS, MONITOR, FILE_SERVER = "managers", "agents", "monitor", "file server"
KEY_MANAGER = "key manager"
ALL = (MANAGERS, AGENTS, MONITOR, FILE_SERVER, KEY_MANAGER)
TALKERS = (MANAGERS, AGENTS, MONITOR, KEY_MANAGER)  # those with an XMPP session

_NO_RETURN = (Cause.OK, Cause.CANCELLED)  # a job never goes back after these
_COMMANDS = tuple(RULES)

S = TypeVar("S")
Value = float | Histogram | Mapping[Any, float | Histogram]


class Kind(enum.StrEnum):
    """What Prometheus calls the type."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, kw_only=True)
class Metric(Generic[S]):
    """One metric. `read` returns a number, or a histogram; with `labels` many of these, by the label's value or by a tuple of
    values. Those in `known` are shown from the start, so that the first increase is one."""

    name: str
    meaning: str
    read: Callable[[S], Value]
    kind: Kind = Kind.COUNTER
    labels: tuple[str, ...] = ()
    known: Sequence[str | tuple[str, ...]] = ()


@dataclass(frozen=True, kw_only=True)
class Part(Generic[S]):
    """What is read from one object, a `source`; and which programs have one."""

    source: type[S]
    shown_by: tuple[str, ...]
    metrics: tuple[Metric[S], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """Which program this is, as in `copilot-<component>`."""

    component: str


_ABOUT = Part[About](
    source=About,
    shown_by=ALL,
    metrics=(
        Metric(
            name="copilot_info",
            meaning="Always 1; which program and which version this is.",
            read=lambda of: {(of.component, __version__): 1},
            kind=Kind.GAUGE,
            labels=("component", "version"),
        ),
    ),
)

_LAG = Part[Lag](
    source=Lag,
    shown_by=ALL,
    metrics=(
        Metric(
            name="copilot_loop_lag_seconds",
            meaning="How late the program came to something that was due, tried once a second: it was busy, or the machine "
            "was.",
            read=lambda of: of.seconds,
            kind=Kind.HISTOGRAM,
        ),
    ),
)

_LOOP = Part[LoopCounts](
    source=LoopCounts,
    shown_by=TALKERS,
    metrics=(
        Metric(
            name="copilot_handling_seconds",
            meaning="Time from the arrival of a command until the answers to it were handed to the session: for getJob, how "
            "long an agent waits for a job that is there.",
            read=lambda of: of.handling,
            kind=Kind.HISTOGRAM,
            labels=("command",),
        ),
        Metric(
            name="copilot_handling_failures_total",
            meaning="Events that could not be handled, because the store or the files were away, or by a mistake in the "
            "program. Messages are not acknowledged then, and come again.",
            read=lambda of: of.failures,
            labels=("reason",),
            known=NOT_HANDLED,
        ),
        Metric(
            name="copilot_events_at_work",
            meaning="Messages and other events that have come and are not done with. At 256 the program stops reading.",
            read=lambda of: of.at_work(),
            kind=Kind.GAUGE,
        ),
        Metric(
            name="copilot_effects_running",
            meaning="What an agent does beside talking: jobs that it executes, uploads, removals.",
            read=lambda of: of.effects(),
            kind=Kind.GAUGE,
        ),
    ),
)

_SESSION = Part[SessionCounts](
    source=SessionCounts,
    shown_by=TALKERS,
    metrics=(
        Metric(
            name="copilot_session_up",
            meaning="1 while there is a session with the XMPP server, else 0.",
            read=lambda of: of.up,
            kind=Kind.GAUGE,
        ),
        Metric(
            name="copilot_sessions_begun_total",
            meaning="Sessions with the XMPP server that began; all but the first one after a start are reconnects.",
            read=lambda of: of.begun,
        ),
        Metric(
            name="copilot_sessions_lost_total",
            meaning="Sessions that ended although the program wanted to go on.",
            read=lambda of: of.lost,
        ),
        Metric(
            name="copilot_logins_failed_total",
            meaning="Attempts to connect and to log in that led to no session.",
            read=lambda of: of.failed,
        ),
        Metric(
            name="copilot_login_seconds",
            meaning="Time from the begin of an attempt to connect to the session.",
            read=lambda of: of.login,
            kind=Kind.HISTOGRAM,
        ),
        Metric(
            name="copilot_send_buffer_bytes",
            meaning="Bytes that wait for the socket to the XMPP server.",
            read=lambda of: of.buffered(),
            kind=Kind.GAUGE,
        ),
        Metric(
            name="copilot_unread_events",
            meaning="Messages and presence that have come, and that the program has not taken from its session yet.",
            read=lambda of: of.unread(),
            kind=Kind.GAUGE,
        ),
    ),
)

_MESSAGES = Part[Counts](
    source=Counts,
    shown_by=TALKERS,
    metrics=(
        Metric(
            name="copilot_messages_received_total",
            meaning="Commands that arrived, copies included.",
            read=lambda of: of.received,
            labels=("command",),
            known=_COMMANDS,
        ),
        Metric(
            name="copilot_messages_sent_total",
            meaning="Messages that were sent, copies included; ack: those with nothing but acknowledgements.",
            read=lambda of: of.sent,
            labels=("command",),
            known=("ack", *_COMMANDS),
        ),
        Metric(
            name="copilot_messages_resent_total",
            meaning="Copies that were sent because no acknowledgement came.",
            read=lambda of: of.resent,
        ),
        Metric(
            name="copilot_messages_duplicate_total",
            meaning="Copies that arrived and were not worked on again.",
            read=lambda of: of.copies,
        ),
        Metric(
            name="copilot_messages_dropped_total",
            meaning="Messages that had no effect, by why.",
            read=lambda of: of.dropped,
            labels=("reason",),
        ),
        Metric(
            name="copilot_messages_refused_total",
            meaning="Requests and reports that were understood and not served, by the code of the answer.",
            read=lambda of: of.refused,
            labels=("code",),
        ),
        Metric(
            name="copilot_messages_unanswered",
            meaning="Messages of this program that it says again until somebody acknowledges them.",
            read=lambda of: of.unanswered(),
            kind=Kind.GAUGE,
        ),
    ),
)

_OPENINGS = Part[Openings](
    source=Openings,
    shown_by=(MANAGERS, MONITOR, KEY_MANAGER),
    metrics=(
        Metric(
            name="copilot_sealed_sessions_opened_total",
            meaning="Sealed sessions (suite v2) that others have opened with this instance; an agent opens one a day with each "
            "service, and each costs 2 ms.",
            read=lambda of: of.opened,
        ),
        Metric(
            name="copilot_sealed_sessions_refused_total",
            meaning="Attempts to open one that were refused: no key is registered for the sender, or another one, or too many at "
            "a time. The log says which.",
            read=lambda of: of.refused,
        ),
    ),
)

_JOBS = Part[JobCounts](
    source=JobCounts,
    shown_by=(MANAGERS,),
    metrics=(
        Metric(
            name="copilot_jobs_claimed_total",
            meaning="Jobs given to agents; the same job once more for each new attempt.",
            read=lambda of: of.claims,
        ),
        Metric(
            name="copilot_job_wait_seconds",
            meaning="Time from the submission of a job to its first claim.",
            read=lambda of: of.wait,
            kind=Kind.HISTOGRAM,
        ),
        Metric(
            name="copilot_job_run_seconds",
            meaning="Time from the claim of a job to the report that was accepted, by what became of the job: done, failed, "
            "requeued, cancelled.",
            read=lambda of: of.run,
            kind=Kind.HISTOGRAM,
            labels=("outcome",),
        ),
        Metric(
            name="copilot_leases_granted_total",
            meaning="Attempts given with a lease, which is to all agents but those of 2011.",
            read=lambda of: of.leases_granted,
        ),
        Metric(
            name="copilot_leases_renewed_total",
            meaning="Leases that began anew because their agent said that it lives; revived ones included.",
            read=lambda of: of.leases_renewed,
        ),
        Metric(
            name="copilot_leases_revived_total",
            meaning="Jobs that had gone back to the queue and came back to their old attempt by a renewal.",
            read=lambda of: of.leases_revived,
        ),
        Metric(
            name="copilot_leases_ran_out_total",
            meaning="Leases that were not renewed in time: the agent is dead or cut off.",
            read=lambda of: of.leases_ran_out,
        ),
        Metric(
            name="copilot_requeues_total",
            meaning="Attempts whose job went back to the queue, by why: lost, never confirmed, given back, failed.",
            read=lambda of: of.requeues,
            labels=("cause",),
            known=tuple(cause for cause in Cause if cause not in _NO_RETURN),
        ),
        Metric(
            name="copilot_attempts_ended_total",
            meaning="Attempts that ended, by how; those in copilot_requeues_total included.",
            read=lambda of: of.attempts_ended,
            labels=("cause",),
            known=tuple(Cause),
        ),
        Metric(
            name="copilot_reports_fenced_total",
            meaning="Reports, and requests for a place for output, that changed nothing: somebody else has the job (stale), "
            "this attempt's end is known (repeated), no such job (unknown), or not the sender's (foreign).",
            read=lambda of: of.reports_fenced,
            labels=("reason",),
            known=(Verdict.STALE, Verdict.REPEATED, Verdict.UNKNOWN, FOREIGN),
        ),
        Metric(
            name="copilot_quarantines_total",
            meaning="Quarantines that began, of agents at which jobs keep failing.",
            read=lambda of: of.quarantines,
        ),
        Metric(
            name="copilot_reaps_total",
            meaning="Rounds in which this instance looked for attempts that ran out of time.",
            read=lambda of: of.reaps,
        ),
    ),
)

_STORE = Part[StoreCounts](
    source=StoreCounts,
    shown_by=(MANAGERS, MONITOR),
    metrics=(
        Metric(
            name="copilot_store_round_trips_total",
            meaning="Questions that went to Redis: one for all commands of the same moment.",
            read=lambda of: of.round_trips,
        ),
        Metric(
            name="copilot_store_round_trip_seconds",
            meaning="Time until Redis had answered such a question; those that only wait for news are not in it.",
            read=lambda of: of.seconds,
            kind=Kind.HISTOGRAM,
        ),
        Metric(
            name="copilot_store_errors_total",
            meaning="Commands without an answer of use: Redis was away, full or not yet replicated (unavailable), did not take "
            "the command (refused), or our password (no-entry).",
            read=lambda of: of.errors,
            labels=("kind",),
            known=ERRORS,
        ),
    ),
)

_QUEUE = Part[Queue](
    source=Queue,
    shown_by=(MANAGERS,),
    metrics=(
        Metric(
            name="copilot_jobs",
            meaning="Jobs on the queue, by state; the same at every instance, missing while the store is away.",
            read=lambda of: of.states,
            kind=Kind.GAUGE,
            labels=("state",),
        ),
        Metric(
            name="copilot_store_up",
            meaning="1 if the store answered within 2 s when it was last asked, else 0.",
            read=lambda of: of.up,
            kind=Kind.GAUGE,
        ),
    ),
)

_AGENT = Part[AgentCounts](
    source=AgentCounts,
    shown_by=(AGENTS,),
    metrics=(
        Metric(
            name="copilot_agent_slots",
            meaning="How many jobs this agent executes at the same time.",
            read=lambda of: of.slots,
            kind=Kind.GAUGE,
        ),
        Metric(
            name="copilot_agent_cores",
            meaning="How many cores this agent has for jobs.",
            read=lambda of: of.cores,
            kind=Kind.GAUGE,
        ),
        Metric(
            name="copilot_agent_cores_used",
            meaning="How many of them jobs have now.",
            read=lambda of: of.cores_used(),
            kind=Kind.GAUGE,
        ),
        Metric(
            name="copilot_agent_jobs",
            meaning="Jobs that it holds, by what it is at: they wait for a slot, their inputs are fetched, they run, or their "
            "results are on their way.",
            read=lambda of: of.held(),
            kind=Kind.GAUGE,
            labels=("phase",),
            known=(WAITS, *Phase),
        ),
        Metric(
            name="copilot_agent_jobs_taken_total",
            meaning="Jobs that it was given and has taken.",
            read=lambda of: of.taken,
        ),
        Metric(
            name="copilot_agent_jobs_ended_total",
            meaning="Jobs that came to an end here and are reported, by how.",
            read=lambda of: of.ended,
            labels=("cause",),
            known=tuple(Cause),
        ),
        Metric(
            name="copilot_agent_reports_accepted_total",
            meaning="Reports on jobs that a manager has acknowledged.",
            read=lambda of: of.reported,
        ),
        Metric(
            name="copilot_agent_payload_seconds",
            meaning="How long the commands of jobs ran, without inputs, validation and packing.",
            read=lambda of: of.payload,
            kind=Kind.HISTOGRAM,
        ),
        Metric(
            name="copilot_agent_leases_renewed_total",
            meaning="Leases that a manager has renewed: one for each job in each accepted message.",
            read=lambda of: of.leases_renewed,
        ),
        Metric(
            name="copilot_agent_leases_lost_total",
            meaning="Jobs that a manager had taken back while this agent held them: it was taken for dead.",
            read=lambda of: of.leases_lost,
        ),
        Metric(
            name="copilot_agent_journal_writes_total",
            meaning="Notes written to the journal, two for a job.",
            read=lambda of: of.journal_writes,
        ),
        Metric(
            name="copilot_agent_journal_failures_total",
            meaning="Notes that the disk did not take at the first try.",
            read=lambda of: of.journal_failures,
        ),
        Metric(
            name="copilot_agent_cache_hits_total",
            meaning="Input files that were here already.",
            read=lambda of: of.cache_hits,
        ),
        Metric(
            name="copilot_agent_cache_misses_total",
            meaning="Input files that had to be fetched, and are small enough to be kept.",
            read=lambda of: of.cache_misses,
        ),
        Metric(
            name="copilot_agent_cache_bytes",
            meaning="Size of the input files that are kept for other jobs.",
            read=lambda of: of.cache_bytes,
            kind=Kind.GAUGE,
        ),
    ),
)

_TRANSFERS = Part[TransferCounts](
    source=TransferCounts,
    shown_by=(AGENTS,),
    metrics=(
        Metric(
            name="copilot_transfer_seconds",
            meaning="Time of file transfers that came to their end, by scheme (http, chirp, file) and direction (fetch, store).",
            read=lambda of: of.seconds,
            kind=Kind.HISTOGRAM,
            labels=("scheme", "direction"),
        ),
        Metric(
            name="copilot_transfer_bytes_total",
            meaning="Bytes in these files.",
            read=lambda of: of.volume,
            labels=("scheme", "direction"),
        ),
        Metric(
            name="copilot_transfer_failures_total",
            meaning="Transfers that ended in an error; some are tried again.",
            read=lambda of: of.failures,
            labels=("scheme", "direction"),
            known=tuple(product(("http", "chirp", "file"), (FETCH, STORE))),
        ),
    ),
)

_SERVER = Part[ServerCounts](
    source=ServerCounts,
    shown_by=(FILE_SERVER,),
    metrics=(
        Metric(
            name="copilot_fileserver_requests_total",
            meaning="Requests that ended, by method (GET, PUT, other) and class of the answer's status; aborted: the peer did not "
            "wait for the end.",
            read=lambda of: of.requests,
            labels=("method", "status"),
            known=tuple(product(METHODS, ("2xx", "4xx", "5xx"))),
        ),
        Metric(
            name="copilot_fileserver_seconds",
            meaning="Time of requests from their head to the last byte of the answer.",
            read=lambda of: of.seconds,
            kind=Kind.HISTOGRAM,
            labels=("method",),
        ),
        Metric(
            name="copilot_fileserver_received_bytes_total",
            meaning="Bytes of outputs that came in, broken uploads included.",
            read=lambda of: of.received,
        ),
        Metric(
            name="copilot_fileserver_sent_bytes_total",
            meaning="Bytes of inputs that were sent to the end.",
            read=lambda of: of.sent,
        ),
    ),
)

_TICKETS = Part[KeyManagerCounts](
    source=KeyManagerCounts,
    shown_by=(KEY_MANAGER,),
    metrics=(
        Metric(
            name="copilot_tickets_issued_total",
            meaning="Tickets that the key manager has given.",
            read=lambda of: of.issued,
        ),
        Metric(
            name="copilot_tickets_refused_total",
            meaning="Requests for a ticket that were refused, by why: not sealed (in-clear), from somebody who is not on the list "
            "and has no account record (not-registered), or with the wrong credential (wrong-credential).",
            read=lambda of: of.refused,
            labels=("reason",),
            known=NO_TICKETS,
        ),
    ),
)

_MONITOR = Part[MonitorCounts](
    source=MonitorCounts,
    shown_by=(MONITOR,),
    metrics=(
        Metric(
            name="copilot_monitor_reports_total",
            meaning="Reports of components that were taken.",
            read=lambda of: of.reports,
        ),
        Metric(
            name="copilot_monitor_reports_refused_total",
            meaning="Reports that were not taken, by why: of nobody whom MON_ALLOW names (not-allowed), under a name of somebody "
            "else (foreign-name) or no name (bad-name), with no number (bad-number), or one metric too many (too-many-paths).",
            read=lambda of: of.refused,
            labels=("reason",),
            known=REFUSALS,
        ),
        Metric(
            name="copilot_monitor_paths",
            meaning="Different metrics that were forwarded to Carbon; MON_MAX_PATHS is the limit.",
            read=lambda of: of.paths,
            kind=Kind.GAUGE,
        ),
        Metric(
            name="copilot_monitor_lines_sent_total",
            meaning="Lines that went to Carbon, those that went again included.",
            read=lambda of: of.sent,
        ),
        Metric(
            name="copilot_monitor_lines_dropped_total",
            meaning="Lines that were dropped because Carbon was away for longer than there is room for.",
            read=lambda of: of.dropped,
        ),
        Metric(
            name="copilot_monitor_lines_waiting",
            meaning="Lines that wait for Carbon.",
            read=lambda of: of.waiting,
            kind=Kind.GAUGE,
        ),
        Metric(
            name="copilot_monitor_carbon_up",
            meaning="1 while there is a connection to Carbon, else 0.",
            read=lambda of: of.connected,
            kind=Kind.GAUGE,
        ),
        Metric(
            name="copilot_monitor_carbon_connects_total",
            meaning="Connections to Carbon that began.",
            read=lambda of: of.connections,
        ),
    ),
)

_DISK = Part[Disk](
    source=Disk,
    shown_by=ALL,
    metrics=(
        Metric(
            name="copilot_disk_free_bytes",
            meaning="Room on the disk of a directory of the program: state, files (the file area), work (of an agent). Missing "
            "while the disk does not answer.",
            read=lambda of: of.free,
            kind=Kind.GAUGE,
            labels=("directory",),
        ),
        Metric(
            name="copilot_disk_size_bytes",
            meaning="Size of that disk.",
            read=lambda of: of.size,
            kind=Kind.GAUGE,
            labels=("directory",),
        ),
    ),
)

PARTS: tuple[Part[Any], ...] = (
    *(_ABOUT, _JOBS, _QUEUE, _STORE, _AGENT, _TRANSFERS, _SERVER, _MONITOR, _TICKETS),
    *(_LOOP, _MESSAGES, _OPENINGS, _SESSION, _LAG, _DISK),
)
METRICS: tuple[Metric[Any], ...] = tuple(metric for part in PARTS for metric in part.metrics)
