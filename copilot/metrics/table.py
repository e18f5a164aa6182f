"""Every metric of ours: its name, what it means, and where its value is read. `docs/metrics.md` is made from this.

Labels are bounded: causes, reasons, codes, commands and states, all words of our own. No job, agent or host is ever one.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from copilot.job import Cause
from copilot.metrics.queue import Queue
from copilot.protocol.endpoint import Counts
from copilot.protocol.rules import RULES
from copilot.runtime.counts import FOREIGN, JobCounts
from copilot.store.base import Verdict

_NO_RETURN = (Cause.OK, Cause.CANCELLED)  # a job never goes back after these
_COMMANDS = tuple(RULES)


class Kind(enum.StrEnum):
    """What Prometheus calls the type."""

    COUNTER = "counter"
    GAUGE = "gauge"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """Where the values are read, at the time of the scrape."""

    jobs: JobCounts
    messages: Counts
    queue: Queue


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric. `read` returns a number or, with a `label`, numbers by its values; those in `known` are shown from the
    start, so that the first increase is one."""

    name: str
    meaning: str
    read: Callable[[Sources], float | Mapping[str, int]]
    kind: Kind = Kind.COUNTER
    label: str = ""
    known: tuple[str, ...] = ()


METRICS = (
    Metric(
        name="copilot_jobs_claimed_total",
        meaning="Jobs given to agents; the same job once more for each new attempt.",
        read=lambda of: of.jobs.claims,
    ),
    Metric(
        name="copilot_leases_granted_total",
        meaning="Attempts given with a lease, which is to all agents but those of 2011.",
        read=lambda of: of.jobs.leases_granted,
    ),
    Metric(
        name="copilot_leases_renewed_total",
        meaning="Leases that began anew because their agent said that it lives; revived ones included.",
        read=lambda of: of.jobs.leases_renewed,
    ),
    Metric(
        name="copilot_leases_revived_total",
        meaning="Jobs that had gone back to the queue and came back to their old attempt by a renewal.",
        read=lambda of: of.jobs.leases_revived,
    ),
    Metric(
        name="copilot_leases_ran_out_total",
        meaning="Leases that were not renewed in time: the agent is dead or cut off.",
        read=lambda of: of.jobs.leases_ran_out,
    ),
    Metric(
        name="copilot_requeues_total",
        meaning="Attempts whose job went back to the queue, by why: lost, never confirmed, given back, failed.",
        read=lambda of: of.jobs.requeues,
        label="cause",
        known=tuple(cause for cause in Cause if cause not in _NO_RETURN),
    ),
    Metric(
        name="copilot_attempts_ended_total",
        meaning="Attempts that ended, by how; those in copilot_requeues_total included.",
        read=lambda of: of.jobs.attempts_ended,
        label="cause",
        known=tuple(Cause),
    ),
    Metric(
        name="copilot_reports_fenced_total",
        meaning="Reports, and requests for a place for output, that changed nothing: somebody else has the job (stale), "
        "this attempt's end is known (repeated), no such job (unknown), or not the sender's (foreign).",
        read=lambda of: of.jobs.reports_fenced,
        label="reason",
        known=(Verdict.STALE, Verdict.REPEATED, Verdict.UNKNOWN, FOREIGN),
    ),
    Metric(
        name="copilot_quarantines_total",
        meaning="Quarantines that began, of agents at which jobs keep failing.",
        read=lambda of: of.jobs.quarantines,
    ),
    Metric(
        name="copilot_reaps_total",
        meaning="Rounds in which this instance looked for attempts that ran out of time.",
        read=lambda of: of.jobs.reaps,
    ),
    Metric(
        name="copilot_messages_received_total",
        meaning="Commands that arrived, copies included.",
        read=lambda of: of.messages.received,
        label="command",
        known=_COMMANDS,
    ),
    Metric(
        name="copilot_messages_sent_total",
        meaning="Messages that were sent, copies included; ack: those with nothing but acknowledgements.",
        read=lambda of: of.messages.sent,
        label="command",
        known=("ack", *_COMMANDS),
    ),
    Metric(
        name="copilot_messages_resent_total",
        meaning="Copies that were sent because no acknowledgement came.",
        read=lambda of: of.messages.resent,
    ),
    Metric(
        name="copilot_messages_duplicate_total",
        meaning="Copies that arrived and were not worked on again.",
        read=lambda of: of.messages.copies,
    ),
    Metric(
        name="copilot_messages_dropped_total",
        meaning="Messages that had no effect, by why.",
        read=lambda of: of.messages.dropped,
        label="reason",
    ),
    Metric(
        name="copilot_messages_refused_total",
        meaning="Requests and reports that were understood and not served, by the code of the answer.",
        read=lambda of: of.messages.refused,
        label="code",
    ),
    Metric(
        name="copilot_jobs",
        meaning="Jobs on the queue, by state; the same at every instance, missing while the store is away.",
        read=lambda of: of.queue.states,
        kind=Kind.GAUGE,
        label="state",
    ),
    Metric(
        name="copilot_store_up",
        meaning="1 if the store answered within 2 s when it was last asked, else 0.",
        read=lambda of: of.queue.up,
        kind=Kind.GAUGE,
    ),
)
