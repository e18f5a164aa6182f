"""How the events that a store wrote for us are counted."""

from __future__ import annotations

import pytest

from copilot.job import Event, EventKind, JobSpec
from copilot.runtime.counts import JobCounts
from copilot.store.base import Claimed
from copilot.store.rules import LOST, SILENT


def event(kind: EventKind, cause: str = "infra-lost", text: str = "") -> Event:
    return Event(id="1-0", time=1.0, job="j1", kind=kind, attempt=1, agent="a@x", cause=cause, text=text)


@pytest.mark.parametrize("kind", [EventKind.REQUEUED, EventKind.HANDED_BACK])
def test_what_goes_back_has_ended_too(kind: EventKind) -> None:
    counts = JobCounts()
    counts.wrote([event(kind)])
    assert counts.requeues == counts.attempts_ended == {"infra-lost": 1}


@pytest.mark.parametrize("kind", [EventKind.DONE, EventKind.FAILED, EventKind.CANCELLED])
def test_what_is_over_does_not_go_back(kind: EventKind) -> None:
    counts = JobCounts()
    counts.wrote([event(kind, "user-exit")])
    assert counts.attempts_ended == {"user-exit": 1}
    assert counts.requeues == {}


def test_a_quarantine_is_no_end_of_an_attempt() -> None:
    counts = JobCounts()
    counts.wrote([event(EventKind.QUARANTINED)])
    assert counts.quarantines == 1
    assert counts.attempts_ended == {}


def test_a_lease_has_run_out_whatever_becomes_of_the_job_and_other_losses_are_none() -> None:
    counts = JobCounts()
    silent = [event(kind, text=SILENT.reason) for kind in (EventKind.REQUEUED, EventKind.CANCELLED)]
    counts.reaped([*silent, event(EventKind.REQUEUED, text=LOST.reason)])
    counts.reaped([])
    assert (counts.leases_ran_out, counts.reaps) == (2, 2)


def test_a_report_cannot_say_that_a_lease_ran_out() -> None:
    counts = JobCounts()
    counts.wrote([event(EventKind.REQUEUED, text=SILENT.reason)])
    assert counts.leases_ran_out == 0


def test_the_events_of_the_report_are_read_from_the_counts() -> None:
    counts = JobCounts(claims=5, empty=3)
    kinds = (EventKind.DONE, EventKind.DONE, EventKind.FAILED, EventKind.CANCELLED, EventKind.REQUEUED)
    counts.wrote([event(kind) for kind in kinds])
    counts.reports_fenced.update(unknown=1, foreign=2, stale=4)
    assert counts.happened() == {
        "job.start": 5,
        "job.end": 4,
        "job.succeeded": 2,
        "job.failed": 1,
        "job.requeued": 1,
        "error.invalidJobId": 3,
        "error.emptyQueue": 3,
    }


def test_how_long_jobs_took_is_told_once() -> None:
    counts = JobCounts()
    for claimed in (0.0, -2.0):
        counts.reported([event(EventKind.DONE)], claimed)
    counts.reported([event(EventKind.REQUEUED)], 0.0)
    taken = counts.took()["job"]
    assert (taken.count, taken.mean, taken.shortest, taken.longest) == (2, 2000.0, 1000.0, 3000.0)
    assert counts.took() == {}


def test_a_clock_that_was_set_back_makes_no_negative_duration() -> None:
    counts = JobCounts()
    counts.reported([event(EventKind.DONE)], 5.0)
    assert counts.took()["job"].mean == 0.0


def claimed(*, attempt: int = 1, again: bool = False) -> Claimed:
    spec = JobSpec(id="j1", command="c")
    return Claimed(spec=spec, attempt=attempt, claimed=100.0, again=again, submitted=60.0)


def test_the_first_claim_of_a_job_ends_its_wait() -> None:
    counts = JobCounts()
    counts.claimed(claimed(), leased=True)
    counts.claimed(claimed(attempt=2), leased=True)  # it waited for that only since it had gone back
    assert (counts.claims, counts.leases_granted) == (2, 2)
    assert (counts.wait.count, counts.wait.sum) == (1, 40.0)


def test_what_is_told_once_more_is_counted_once() -> None:
    counts = JobCounts()
    counts.claimed(claimed(again=True), leased=True)
    assert (counts.claims, counts.leases_granted, counts.wait.count) == (0, 0, 0)


def test_a_report_that_was_accepted_ends_a_run_by_what_becomes_of_the_job() -> None:
    counts = JobCounts()
    counts.reported([event(EventKind.DONE, "ok"), event(EventKind.QUARANTINED)], 0.25)
    counts.reported([event(EventKind.REQUEUED)], 0.5)
    counts.reported([], 0.5)  # of an attempt that holds the job no more
    assert {word: one.sum for word, one in counts.run.items()} == {"done": 0.75, "requeued": 0.5}
    assert counts.attempts_ended == {"ok": 1, "infra-lost": 1}
