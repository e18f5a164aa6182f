"""What every version of the queue promises: one suite for memory, fakeredis and real servers."""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from dataclasses import replace
from typing import Any

import pytest

from copilot.client.follow import follow
from copilot.errors import BadName, JobExists, TooManyJobs
from copilot.job import Cause, EventKind, JobSpec, Outcome, Output, State
from copilot.store import trial
from copilot.store.base import Changed, Held, Renewed, Running, Store, Verdict
from copilot.store.memory import MemoryStore
from copilot.store.redis import RedisStore
from copilot.store.rules import ATTEMPTS_KEPT, DRAIN_WANTED
from tests.contract import store_fixtures
from tests.contract.store_fixtures import eventually, history, spec
from tests.patience import PATIENCE_S

shared_server, store = store_fixtures.shared_server, store_fixtures.store

AGENT = "agent@example.org"
OTHER = "other@example.org"
T = 1_700_000_000.123456  # a time with microseconds, to see that none is lost
OUTPUT = Output(size=3, sha256="ab" * 32)
GOOD = Outcome(cause=Cause.OK, exit_code=0, reason="fine", host="h1", validate_exit_code=0, output=OUTPUT)
BAD = Outcome(cause=Cause.USER_EXIT, exit_code=3, reason="exit code 3, naïve", output=OUTPUT)
LOST = Outcome(cause=Cause.INFRA_LOST, exit_code=1, reason="gone", output=OUTPUT)
ACCEPTED, REPEATED, STALE = Verdict.ACCEPTED, Verdict.REPEATED, Verdict.STALE


async def claim(
    store: Store, request: str = "r", *, agent: str = AGENT, now: float = T, count: int = 1
) -> list[str]:
    """Claim with a dispatch limit of 10 s; `job-<n>/<attempt>` for each."""
    found = await store.claim(agent=agent, request=request, dispatch_limit=10, count=count, now=now)
    return [f"{one.spec.id}/{one.attempt}" for one in found]


async def finish(
    store: Store, job: str, attempt: int, outcome: Outcome, *, now: float = T
) -> tuple[Verdict, State | None]:
    """Report, and look at the answer: the record comes with it if, and only if, the report has ended the job; and what
    was written is told."""
    before = await store.events(count=1000)
    settled = await store.finish(job, attempt, outcome, now=now)
    assert settled.events == (await store.events(count=1000))[len(before) :]
    ended = settled.verdict is ACCEPTED and settled.state is not None and settled.state.final
    assert settled.record == (await store.get(job) if ended else None)
    return settled.verdict, settled.state


async def run_one(store: Store, **fields: Any) -> None:
    """Submit `job-1` at T, claim it and confirm it with an hour to run."""
    await store.submit([spec(**fields)], now=T)
    assert await claim(store) == ["job-1/1"]
    assert await store.confirm("job-1", 1, max_run_time=3600, now=T)


# ---------------------------------------------------------------- submit


async def test_a_submitted_job_waits_with_all_it_was_given(store: Store) -> None:
    job = spec(arguments="-n 'ä b'", priority=7, packages=("a", "b"), max_run_time=0.1, max_attempts=9)
    await store.submit([job], now=T)
    record = await store.get("job-1")
    assert record is not None
    assert record.spec == job
    assert (record.state, record.attempt, record.attempts_used, record.submitted) == (State.WAITING, 0, 0, T)
    assert (record.agent, record.claimed, record.finished, record.outcome) == (None, None, None, None)
    assert not record.published
    assert await history(store) == ["submitted 0"]
    assert await store.waiting() == 1


async def test_an_unknown_job_has_no_record(store: Store) -> None:
    assert await store.get("nobody") is None


async def test_submitting_nothing_does_nothing(store: Store) -> None:
    await store.submit([])
    assert await store.waiting() == 0


async def test_the_same_submit_again_changes_nothing(store: Store) -> None:
    await store.submit([spec(), spec()], now=T)
    await claim(store)
    await store.submit([spec(), spec(2)], now=T + 5)
    assert await history(store) == ["submitted 0", "claimed 1"]
    assert await store.waiting() == 1


async def test_one_taken_id_refuses_the_whole_batch(store: Store) -> None:
    await store.submit([spec(2)])
    with pytest.raises(JobExists, match="job-2"):
        await store.submit([spec(1), spec(2, command="other.sh"), spec(3)])
    assert await store.waiting() == 1
    assert await store.get("job-1") is None


async def test_an_owner_has_no_more_jobs_on_the_queue_than_he_may(store: Store) -> None:
    jobs = [JobSpec(id=f"job-{number}", command="run.sh", owner="ada@x") for number in range(4)]
    await store.submit(jobs[:2], most=2)
    await store.submit(jobs[:2], most=2)  # known: no more of them than before
    for more in (jobs[2:3], jobs[2:]):
        with pytest.raises(TooManyJobs, match="2 of your jobs"):
            await store.submit(more, most=2)
    await store.submit([JobSpec(id="other", command="run.sh", owner="bob@x")], most=2)
    assert await store.get("job-2") is None
    await store.cancel("job-0")
    await store.submit(jobs[2:3], most=2)
    await store.submit(jobs[3:])  # who may have any number


async def test_one_id_for_two_jobs_of_a_batch_is_refused(store: Store) -> None:
    with pytest.raises(JobExists, match="job-1"):
        await store.submit([spec(), spec(command="other.sh")])
    assert await store.waiting() == 0


async def test_a_thousand_jobs_go_in_one_step_and_not_one_more(store: MemoryStore | RedisStore) -> None:
    jobs = [spec(number) for number in range(1000)]
    await store.submit(jobs[:1])
    before = store.round_trips
    await store.submit(jobs)
    assert store.round_trips == before + 1
    assert await store.waiting() == 1000
    with pytest.raises(ValueError, match="at most 1000"):
        await store.submit([*jobs, spec("extra")])
    assert await store.waiting() == 1000


@pytest.mark.parametrize(
    "fields",
    [
        {"priority": 2**53},
        {"max_attempts": 0},
        {"max_user_attempts": 0},
        {"max_run_time": math.nan},
        {"max_run_time": math.inf},
        {"max_run_time": -1.0},
    ],
)
async def test_what_could_not_be_served_is_refused_at_once(store: Store, fields: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="job job-2: "):
        await store.submit([spec(), spec(2, **fields)])
    assert await store.waiting() == 0


async def test_an_id_that_looks_like_a_second_attempt_is_refused(store: Store) -> None:
    with pytest.raises(BadName, match="second attempts"):
        await store.submit([spec("1.a2")])


# ---------------------------------------------------------------- claim


async def test_priority_goes_before_age_and_age_before_anything_else(store: Store) -> None:
    big = 1_000_000_000
    jobs = [spec(9), spec(8), spec(7, priority=1), spec(6, priority=-1), spec(5, priority=big)]
    await store.submit([*jobs, spec(4, priority=big - 1), spec(3, priority=-big)], now=T)
    await store.submit([spec(1)], now=T - 100)  # a clock that went back makes nobody older
    expected = [5, 4, 7, 9, 8, 1, 6, 3]
    assert await claim(store, count=1000) == [f"job-{number}/1" for number in expected]


async def test_age_is_a_number_and_not_a_word(store: Store) -> None:
    jobs = [f"job-{number}" for number in range(120, 0, -1)]
    await store.submit([spec(job.removeprefix("job-")) for job in jobs])
    assert await claim(store, count=120) == [f"{job}/1" for job in jobs]


async def test_a_claim_gives_the_job_and_starts_an_attempt(store: Store) -> None:
    await store.submit([spec(arguments="x")], now=T)
    (claimed,) = await store.claim(agent=AGENT, request="r", dispatch_limit=10, now=T + 1)
    assert (claimed.spec, claimed.attempt, claimed.claimed) == (spec(arguments="x"), 1, T + 1)
    record = await store.get("job-1")
    assert record is not None
    assert (record.state, record.attempt, record.attempts_used) == (State.RUNNING, 1, 1)
    assert (record.agent, record.claimed) == (AGENT, T + 1)
    assert await history(store) == ["submitted 0", "claimed 1"]


async def test_a_claim_says_when_the_job_was_submitted_whatever_attempt_it_is(store: Store) -> None:
    await store.submit([spec()], now=T)
    for wait in (1, 20):
        (claimed,) = await store.claim(agent=AGENT, request=f"{wait}", dispatch_limit=10, now=T + wait)
        (again,) = await store.claim(agent=AGENT, request=f"{wait}", dispatch_limit=10, now=T + wait)
        assert (claimed.submitted, again.submitted) == (T, T)
        await store.hand_back("job-1", claimed.attempt, cause=Cause.INFRA_UNDELIVERED, now=T + wait)


async def test_an_empty_queue_gives_nothing(store: Store) -> None:
    assert await claim(store) == []


async def test_a_claim_takes_no_more_than_asked_for(store: Store) -> None:
    await store.submit([spec(number) for number in range(5)])
    assert await claim(store, count=3) == ["job-0/1", "job-1/1", "job-2/1"]
    assert await store.waiting() == 2


@pytest.mark.parametrize(("count", "limit"), [(0, 1.0), (1001, 1.0), (1, -1.0), (1, math.nan), (1, math.inf)])
async def test_a_claim_of_nonsense_is_refused(store: Store, count: int, limit: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        await store.claim(agent=AGENT, request="r", dispatch_limit=limit, count=count)


async def test_a_repeated_request_gets_the_same_jobs_in_the_same_order(store: Store) -> None:
    await store.submit([spec(number, priority=number) for number in range(4)], now=T)
    first = await store.claim(agent=AGENT, request="r", dispatch_limit=10, count=2, now=T)
    again = await store.claim(agent=AGENT, request="r", dispatch_limit=10, count=2, now=T + 599)
    assert again == tuple(replace(one, again=True) for one in first)
    assert not any(one.again for one in first)
    assert await store.waiting() == 2


async def test_a_repeated_request_gets_only_what_still_runs(store: Store) -> None:
    await store.submit([spec(number) for number in range(6)], now=T)
    await claim(store, count=4)
    await store.finish("job-1", 1, GOOD, now=T)
    await store.hand_back("job-2", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await claim(store, "other") == ["job-2/2"]
    assert await claim(store, count=4) == ["job-0/1", "job-3/1"]
    await store.finish("job-0", 1, GOOD, now=T)
    await store.finish("job-3", 1, GOOD, now=T)
    assert await claim(store, count=4) == []


async def test_requests_are_known_by_agent_and_id_for_ten_minutes(store: Store) -> None:
    await store.submit([spec(number) for number in range(4)], now=T)
    assert await claim(store, "r") == ["job-0/1"]
    assert await claim(store, "s") == ["job-1/1"]
    assert await claim(store, "r", agent=OTHER) == ["job-2/1"]
    assert await claim(store, "r", now=T + 600) == ["job-3/1"]
    assert await claim(store, "r", now=T + 601) == ["job-3/1"]


async def test_a_request_that_got_nothing_may_get_something_later(store: Store) -> None:
    assert await claim(store) == []
    await store.submit([spec()])
    assert await claim(store) == ["job-1/1"]


async def test_ids_from_the_wire_do_no_harm(store: Store) -> None:
    await store.submit([spec()], now=T)
    strange = "r:\n\0 * {x} 'ä"
    assert await claim(store, strange, agent=strange) == ["job-1/1"]
    assert await claim(store, strange, agent=strange) == ["job-1/1"]
    assert await store.get(strange) is None
    assert not await store.confirm(strange, 1, max_run_time=1)
    assert not await store.hand_back("", 1, cause=Cause.INFRA_UNDELIVERED)
    assert await finish(store, strange, 1, GOOD) == (Verdict.UNKNOWN, None)
    assert not await store.publish(strange)


# ---------------------------------------------------------------- confirm, hand back


async def test_a_confirmation_is_written_once(store: Store) -> None:
    await run_one(store)
    assert await store.confirm("job-1", 1, max_run_time=99999, now=T + 1)
    assert await history(store) == ["submitted 0", "claimed 1", "running 1"]
    assert await store.reap(now=T + 3599.9) == ()
    assert len(await store.reap(now=T + 3600)) == 1


async def test_every_attempt_has_to_be_confirmed_anew(store: Store) -> None:
    await run_one(store)
    await store.finish("job-1", 1, LOST, now=T)
    await claim(store, "s")
    (event,) = await store.reap(now=T + 10)
    assert event.kind is EventKind.HANDED_BACK
    await claim(store, "t")
    assert await store.confirm("job-1", 3, max_run_time=3600, now=T)
    assert (await history(store))[-1] == "running 3"
    assert await store.reap(now=T + 10) == ()


@pytest.mark.parametrize("own", [60.0, 4000.0])
async def test_the_shorter_of_both_run_times_counts(store: Store, own: float) -> None:
    await run_one(store, max_run_time=own)
    limit = min(own, 3600)
    assert await store.reap(now=T + limit - 0.001) == ()
    assert len(await store.reap(now=T + limit)) == 1


async def test_only_the_attempt_that_holds_the_job_can_confirm_it_or_hand_it_back(store: Store) -> None:
    await store.submit([spec()], now=T)
    for attempt in (0, 1, 2):
        assert not await store.confirm("job-1", attempt, max_run_time=1, now=T)
        assert not await store.hand_back("job-1", attempt, cause=Cause.INFRA_UNDELIVERED, now=T)
    await claim(store)
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    await claim(store, "s")
    for attempt in (0, 1, 3):
        assert not await store.confirm("job-1", attempt, max_run_time=1, now=T)
        assert not await store.hand_back("job-1", attempt, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await store.confirm("job-1", 2, max_run_time=1, now=T)
    with pytest.raises(ValueError, match="max_run_time"):
        await store.confirm("job-1", 2, max_run_time=math.inf)


async def test_a_job_that_was_handed_back_has_its_old_place_and_does_not_count_it(store: Store) -> None:
    await store.submit([spec(number) for number in range(3)], now=T)
    await claim(store, count=2)
    event = await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T + 1)
    assert event == (await store.events())[-1]
    assert await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T + 1) is None
    record = await store.get("job-1")
    assert record is not None
    assert (record.state, record.attempt, record.attempts_used, record.agent) == (State.WAITING, 1, 0, AGENT)
    assert await claim(store, "s", count=2) == ["job-1/2", "job-2/1"]
    assert await history(store) == [
        "submitted 0",
        "claimed 1",
        "handed-back 1 infra-undelivered",
        "claimed 2",
    ]


# ---------------------------------------------------------------- finish


async def test_a_good_result_makes_the_job_done(store: Store) -> None:
    await run_one(store)
    assert await finish(store, "job-1", 1, GOOD, now=T + 60) == (ACCEPTED, State.DONE)
    record = await store.get("job-1")
    assert record is not None
    assert (record.state, record.outcome, record.finished) == (State.DONE, GOOD, T + 60)
    (event,) = await store.events(after=(await store.events())[2].id)
    assert (event.kind, event.time, event.attempt, event.agent) == (EventKind.DONE, T + 60, 1, AGENT)
    assert (event.cause, event.text) == ("ok", "fine")


async def test_a_users_failure_is_final_and_keeps_its_output(store: Store) -> None:
    await run_one(store)
    assert await finish(store, "job-1", 1, BAD, now=T + 60) == (ACCEPTED, State.FAILED)
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome == BAD
    assert (await history(store))[-1] == "failed 1 user-exit"


async def test_a_result_needs_no_confirmation_before_it(store: Store) -> None:
    await store.submit([spec()], now=T)
    await claim(store)
    assert await finish(store, "job-1", 1, GOOD, now=T) == (ACCEPTED, State.DONE)


async def test_a_retryable_failure_runs_again_from_its_old_place_without_its_output(store: Store) -> None:
    await run_one(store)
    await store.submit([spec(2)], now=T)
    assert await finish(store, "job-1", 1, LOST, now=T + 60) == (ACCEPTED, State.WAITING)
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome == replace(LOST, output=None)
    assert (record.finished, record.attempts_used) == (None, 1)
    assert await store.unpublished() == ()
    assert await claim(store, "s", count=2) == ["job-1/2", "job-2/1"]
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome is None


async def test_attempts_end(store: Store) -> None:
    await store.submit([spec(max_attempts=2)], now=T)
    await claim(store, "r")
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    for attempt in (2, 3):
        assert await claim(store, f"r{attempt}") == [f"job-1/{attempt}"]
        settled = await finish(store, "job-1", attempt, LOST)
    assert settled == (ACCEPTED, State.FAILED)
    record = await store.get("job-1")
    assert record is not None
    assert (record.attempt, record.attempts_used, record.outcome) == (3, 2, LOST)
    assert (await history(store))[-3:] == ["claimed 3", "running 3", "failed 3 infra-lost"]
    assert await store.waiting() == 0


@pytest.mark.parametrize(
    ("outcome", "state"), [(GOOD, State.DONE), (BAD, State.FAILED), (LOST, State.WAITING)]
)
async def test_the_same_report_again_changes_nothing(store: Store, outcome: Outcome, state: State) -> None:
    await run_one(store)
    await store.finish("job-1", 1, outcome, now=T)
    before = await store.get("job-1"), await history(store)
    for report in (outcome, GOOD, BAD, LOST):
        assert await finish(store, "job-1", 1, report, now=T + 1) == (REPEATED, state)
    assert (await store.get("job-1"), await history(store)) == before


async def test_a_report_of_a_requeued_attempt_is_stale_once_the_job_is_claimed_again(store: Store) -> None:
    await run_one(store)
    await store.finish("job-1", 1, LOST, now=T)
    await claim(store, "s")
    for attempt in (0, 1, 3, -1):
        assert await finish(store, "job-1", attempt, GOOD) == (STALE, State.RUNNING)
    assert await finish(store, "job-1", 2, GOOD) == (ACCEPTED, State.DONE)
    assert await finish(store, "job-1", 1, GOOD) == (STALE, State.DONE)


async def test_a_job_that_nobody_claimed_cannot_be_finished(store: Store) -> None:
    await store.submit([spec()])
    for attempt in (0, 1):
        assert await finish(store, "job-1", attempt, GOOD) == (STALE, State.WAITING)
    assert await claim(store) == ["job-1/1"]


async def test_the_result_of_an_attempt_that_was_handed_back_is_taken_while_nobody_else_has_the_job(
    store: Store,
) -> None:
    await store.submit([spec(), spec(2)], now=T)
    await claim(store)
    await store.reap(now=T + 10)
    assert await finish(store, "job-1", 1, GOOD, now=T + 11) == (ACCEPTED, State.DONE)
    record = await store.get("job-1")
    assert record is not None
    assert (record.attempts_used, record.outcome) == (1, GOOD)  # it did begin, so it counts
    assert await store.waiting() == 1
    assert await claim(store, "s", count=2) == ["job-2/1"]


async def test_a_retryable_report_of_an_attempt_that_was_handed_back_counts_it(store: Store) -> None:
    await store.submit([spec(max_attempts=2)], now=T)
    for attempt, state in ((1, State.WAITING), (2, State.FAILED)):
        assert await claim(store, f"r{attempt}") == [f"job-1/{attempt}"]
        await store.hand_back("job-1", attempt, cause=Cause.INFRA_UNDELIVERED, now=T)
        assert await finish(store, "job-1", attempt, LOST, now=T) == (ACCEPTED, state)
        assert await finish(store, "job-1", attempt, LOST, now=T) == (REPEATED, state)
        record = await store.get("job-1")
        assert record is not None
        assert record.attempts_used == attempt
    assert await store.waiting() == 0


async def test_a_job_that_was_put_back_twice_is_given_once(store: Store) -> None:
    await store.submit([spec(), spec("other")], now=T)
    assert await claim(store, "r1") == ["job-1/1"]
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await finish(store, "job-1", 1, LOST, now=T) == (ACCEPTED, State.WAITING)
    given = await store.claim(agent="two@x", request="r2", dispatch_limit=60, count=5, now=T + 60)
    assert sorted(one.spec.id for one in given) == ["job-1", "job-other"]


async def test_the_result_of_a_reaped_attempt_is_taken_while_nobody_else_has_the_job(store: Store) -> None:
    await run_one(store)
    await store.reap(now=T + 3600)
    assert await finish(store, "job-1", 1, GOOD, now=T + 3601) == (ACCEPTED, State.DONE)
    record = await store.get("job-1")
    assert record is not None
    assert (record.attempts_used, record.outcome, record.state) == (1, GOOD, State.DONE)
    assert await claim(store, "s") == []


async def test_a_long_reason_is_cut_in_the_stream_and_kept_in_the_record(store: Store) -> None:
    await run_one(store)
    await store.finish("job-1", 1, replace(BAD, reason="ä" * 5000), now=T)
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome is not None
    assert len(record.outcome.reason) == 5000
    assert len((await store.events())[-1].text) == 1000


async def test_a_job_that_may_fail_by_itself_is_tried_again_and_that_is_counted_apart(store: Store) -> None:
    await store.submit([spec(max_attempts=1, max_user_attempts=3)], now=T)
    for attempt, expected in ((1, State.WAITING), (2, State.WAITING), (3, State.FAILED)):
        assert await claim(store, f"r{attempt}") == [f"job-1/{attempt}"]
        assert await finish(store, "job-1", attempt, BAD) == (ACCEPTED, expected)
        assert await finish(store, "job-1", attempt, BAD) == (REPEATED, expected)
        record = await store.get("job-1")
        assert record is not None
        assert (record.user_failures, record.attempts_used) == (attempt, attempt == 3)
    assert [one.kind.value for one in await store.attempts("job-1")] == ["requeued", "requeued", "failed"]


async def test_what_the_infrastructure_spoils_does_not_count_as_a_failure_of_the_job(store: Store) -> None:
    await store.submit([spec(max_attempts=2, max_user_attempts=2)], now=T)
    for attempt, outcome in ((1, LOST), (2, BAD)):
        await claim(store, f"r{attempt}")
        assert await finish(store, "job-1", attempt, outcome) == (ACCEPTED, State.WAITING)
    await claim(store, "r3")
    assert await finish(store, "job-1", 3, LOST) == (ACCEPTED, State.FAILED)


async def test_a_retried_job_has_all_its_own_failures_before_it_again(store: Store) -> None:
    await store.submit([spec(max_user_attempts=2)], now=T)
    for attempt in (1, 2):
        await claim(store, f"r{attempt}")
        await finish(store, "job-1", attempt, BAD)
    await store.publish("job-1")
    await store.retry("job-1", now=T)
    await claim(store, "r3")
    assert await finish(store, "job-1", 3, BAD) == (ACCEPTED, State.WAITING)


# ---------------------------------------------------------------- handed back again and again


async def hand_back_often(store: Store, times: int, first: int = 1) -> None:
    for attempt in range(first, first + times):
        assert await claim(store, f"h{attempt}") == [f"job-1/{attempt}"]
        assert await store.hand_back("job-1", attempt, cause=Cause.INFRA_UNDELIVERED, now=T)


async def test_a_job_that_is_handed_back_too_often_waits_longer_each_time_but_is_never_lost(
    store: Store,
) -> None:
    await store.submit([spec()], now=T)
    await hand_back_often(store, 6)
    now, waits = T, []
    for attempt in range(7, 18):
        assert await store.waiting() == 0
        assert (await store.counts())[State.WAITING] == 1
        wait = 1
        while not await claim(store, f"r{attempt}", now=now + wait):
            wait += 1
        waits.append(wait)
        now += wait
        await store.hand_back("job-1", attempt, cause=Cause.INFRA_UNDELIVERED, now=now)
    assert waits == [2, 4, 8, 16, 32, 64, 128, 256, 300, 300, 300]
    record = await store.get("job-1")
    assert record is not None
    assert (record.state, record.attempts_used) == (State.WAITING, 0)


async def test_a_job_that_waits_longer_is_in_the_queue_once_after_a_late_report(store: Store) -> None:
    await store.submit([spec(max_attempts=9)], now=T)
    await hand_back_often(store, 6)
    assert await finish(store, "job-1", 6, LOST, now=T) == (ACCEPTED, State.WAITING)
    assert await claim(store, "one", now=T + 1) == ["job-1/7"]
    assert await store.confirm("job-1", 7, max_run_time=600.0, now=T + 1)
    assert await claim(store, "two", now=T + 600) == []


async def test_a_job_on_hold_stays_there_after_a_late_report(store: Store) -> None:
    await store.submit([spec(max_attempts=9)], now=T)
    await claim(store)
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    await store.hold("job-1", now=T)
    assert await finish(store, "job-1", 1, LOST, now=T) == (ACCEPTED, State.HELD)
    assert await claim(store, "two", now=T) == []
    counts = await store.counts()
    assert (counts[State.HELD], counts[State.WAITING], counts[State.RUNNING]) == (1, 0, 0)
    await store.release("job-1", now=T)
    assert await claim(store, "three", now=T) == ["job-1/2"]


async def test_the_reaper_lets_jobs_into_the_queue_whose_delay_is_over(store: Store) -> None:
    await store.submit([spec()], now=T)
    await hand_back_often(store, 6)
    await store.reap(now=T + 1.9)
    assert await store.waiting() == 0
    await store.reap(now=T + 2)
    assert await store.waiting() == 1


async def test_an_attempt_that_counts_makes_the_next_delay_short_again(store: Store) -> None:
    await store.submit([spec()], now=T)
    await hand_back_often(store, 5)
    await claim(store, "x")
    await finish(store, "job-1", 6, LOST)
    await hand_back_often(store, 5, first=7)
    assert await store.waiting() == 1


async def test_a_delayed_job_can_be_held_cancelled_and_finished(store: Store) -> None:
    for number, end in enumerate((store.hold, store.cancel), 1):
        await store.submit([spec(number)], now=T)
        for attempt in range(1, 7):
            await claim(store, f"{number} {attempt}")
            await store.hand_back(f"job-{number}", attempt, cause=Cause.INFRA_UNDELIVERED, now=T)
        await end(f"job-{number}", now=T)
    assert await claim(store, "late", now=T + 999) == []
    await store.release("job-1", now=T)
    assert await claim(store, "later") == ["job-1/7"]


# ---------------------------------------------------------------- agents on trial

KILLED = Outcome(cause=Cause.INFRA_KILLED, exit_code=137, reason="out of memory")
FIRST = trial.FIRST_QUARANTINE


async def fail(
    store: Store, agent: str, outcome: Outcome, *, now: float = T, lasts: float = 1.0
) -> list[str]:
    """The agent takes one job and ends it so: the job, if it got one."""
    given = await claim(store, f"{agent} {now}", agent=agent, now=now)
    for one in given:
        job, attempt = one.split("/")
        await store.finish(job, int(attempt), outcome, now=now + lasts)
    return given


async def kinds(store: Store) -> list[str]:
    return [one.kind.value for one in await store.events(count=1000) if not one.job]


async def jobs(store: Store, count: int, **fields: Any) -> None:
    await store.submit([spec(number, **fields) for number in range(1, count + 1)], now=T)


async def good(store: Store, agent: str, now: float = T) -> None:
    assert await fail(store, agent, GOOD, now=now)


async def black_hole(store: Store) -> None:
    """Three different jobs fail at AGENT at once, while OTHER does well; it is in quarantine from T + 13 on."""
    await jobs(store, 20)
    await good(store, OTHER)
    for number in range(3):
        assert await fail(store, AGENT, KILLED, now=T + 10 + number)


async def test_an_agent_at_which_different_jobs_keep_failing_gets_none_for_a_while(store: Store) -> None:
    await black_hole(store)
    assert await store.quarantine(AGENT, now=T + 23) == FIRST - 10
    assert await claim(store, "q", now=T + 72.9) == []
    assert await store.quarantine(OTHER, now=T + 23) == 0.0
    await good(store, OTHER, now=T + 23)
    (event,) = [one for one in await store.events() if one.kind is EventKind.QUARANTINED]
    assert (event.job, event.agent, event.cause, event.time) == ("", AGENT, "infra-killed", T + 13)
    assert event.text == "jobs keep failing at this agent: it gets none for 60 s; the last was job-4"
    (held,) = await store.trials()
    assert (held.agent, held.level, held.ends) == (AGENT, 1, T + 13 + FIRST)
    assert held.jobs == ("job-2", "job-3", "job-4")


async def test_after_the_quarantine_it_gets_one_job_and_with_success_all_is_forgotten(store: Store) -> None:
    await black_hole(store)
    probe = await claim(store, "p", now=T + 73, count=5)
    assert len(probe) == 1
    assert await claim(store, "p2", now=T + 74, count=5) == []
    assert await claim(store, "p", now=T + 74, count=5) == probe  # a copy of the request
    job, attempt = probe[0].split("/")
    await store.finish(job, int(attempt), GOOD, now=T + 75)
    assert len(await claim(store, "p3", now=T + 76, count=5)) == 5
    assert await store.trials() == ()


async def test_quarantines_grow_as_long_as_probes_fail(store: Store) -> None:
    await black_hole(store)
    now, lengths = 13.0, []
    for _ in range(9):
        lengths.append(await store.quarantine(AGENT, now=T + now))
        assert await claim(store, "early", now=T + now + lengths[-1] - 1) == []
        now += lengths[-1] + 1
        assert await fail(store, AGENT, KILLED, now=T + now - 1)
    assert lengths == [60, 120, 240, 480, 960, 1920, 3600, 3600, 3600]


async def test_with_two_black_holes_among_ten_agents_no_job_fails(store: Store) -> None:
    """Good agents need 30 s for a job, and ask every 10 s while they have none; black holes fail and ask every second."""
    await jobs(store, 100)
    free_at = {f"a{number}": T + number for number in range(10)}
    end: dict[str, tuple[str, int]] = {}  # what a good agent runs
    for second in range(1200):
        now = T + second
        for agent in [name for name, free in free_at.items() if free <= now]:
            if agent in end:
                job, attempt = end.pop(agent)
                await store.finish(job, attempt, GOOD, now=now)
            bad = agent in ("a8", "a9")
            given = await store.claim(agent=agent, request=f"{now}", dispatch_limit=60, now=now)
            free_at[agent] = now + (1 if bad else 30 if given else 10)
            for one in given:
                if bad:
                    await store.finish(one.spec.id, one.attempt, KILLED, now=now + 0.5)
                else:
                    end[agent] = (one.spec.id, one.attempt)
        if (await store.counts())[State.DONE] == 100:
            break
    assert (await store.counts())[State.DONE] == 100
    assert {one.agent for one in await store.trials()} == {"a8", "a9"}
    assert await kinds(store) != []


async def test_a_probe_that_is_handed_back_says_nothing(store: Store) -> None:
    await black_hole(store)
    ((job, attempt),) = [one.split("/") for one in await claim(store, "p", now=T + 73)]
    await store.hand_back(job, int(attempt), cause=Cause.INFRA_UNDELIVERED, now=T + 74)
    assert len(await claim(store, "p2", now=T + 74, count=5)) == 1


async def test_what_ran_before_the_quarantine_does_not_prolong_it_and_a_success_ends_it(store: Store) -> None:
    await jobs(store, 20)
    given = [one.split("/") for one in await claim(store, count=5)]
    for job, attempt in given[:4]:
        await store.finish(job, int(attempt), KILLED, now=T + 1)
    assert await store.quarantine(AGENT, now=T + 1) == FIRST
    await store.finish(given[4][0], 1, GOOD, now=T + 5)
    assert await store.quarantine(AGENT, now=T + 5) == 0.0


async def test_one_job_that_fails_again_and_again_counts_once(store: Store) -> None:
    await jobs(store, 1, max_attempts=9)
    for number in range(5):
        assert await fail(store, AGENT, KILLED, now=T + number)
    assert await kinds(store) == []
    assert [one.jobs for one in await store.trials()] == [("job-1",)]


async def test_a_job_that_fails_at_several_agents_is_at_fault_itself(store: Store) -> None:
    await store.submit([spec(number, max_attempts=9, priority=-number) for number in range(1, 4)], now=T)
    for number, agent in enumerate("abc"):
        assert await fail(store, agent, KILLED, now=T + number) == [f"job-1/{number + 1}"]
    assert await store.trials() == ()
    for agent in "abc":
        assert await fail(store, agent, KILLED, now=T + 20)
    assert await kinds(store) == []


async def test_a_job_is_left_to_other_agents_for_a_moment_where_it_has_failed(store: Store) -> None:
    await jobs(store, 2)
    assert await fail(store, OTHER, GOOD) == ["job-1/1"]
    assert await fail(store, AGENT, KILLED) == ["job-2/1"]
    assert await claim(store, "again", now=T + 15.9) == []
    assert await store.waiting() == 1
    assert await claim(store, "other", agent=OTHER, now=T + 15.9) == ["job-2/2"]
    await store.finish("job-2", 2, replace(LOST, cause=Cause.INFRA_STORE), now=T + 99)
    assert await claim(store, "both failed", agent=OTHER, now=T + 100) == []
    assert await claim(store, "at last", now=T + 114) == ["job-2/3"]


async def test_it_gets_the_next_job_instead_and_the_first_keeps_its_place(store: Store) -> None:
    await jobs(store, 3)
    await good(store, OTHER)
    assert await fail(store, AGENT, KILLED) == ["job-2/1"]
    assert await claim(store, "next", count=5, now=T + 2) == ["job-3/1"]
    await store.hand_back("job-3", 1, cause=Cause.INFRA_UNDELIVERED, now=T + 2)
    assert await claim(store, "other", agent=OTHER, count=5, now=T + 2) == ["job-2/2", "job-3/2"]


async def test_payloads_that_fail_at_once_count_if_they_do_well_elsewhere(store: Store) -> None:
    await jobs(store, 9)
    await good(store, OTHER)
    for number in range(3):
        assert await fail(store, AGENT, BAD, now=T + number)
    assert await kinds(store) == ["quarantined"]


async def test_payloads_that_fail_after_some_time_say_nothing_about_the_agent(store: Store) -> None:
    await jobs(store, 9)
    await good(store, OTHER)
    for number in range(5):
        assert await fail(store, AGENT, BAD, now=T + 100 * number, lasts=10.0)
    assert await store.trials() == ()


async def test_a_thousand_bad_jobs_of_one_user_stop_no_agent(store: Store) -> None:
    await jobs(store, 60)
    for number in range(10):
        for agent in ("a", "b", "c"):
            assert await fail(store, agent, BAD, now=T + number)
    assert await kinds(store) == []


async def test_where_there_is_one_agent_alone_bad_jobs_do_not_stop_it(store: Store) -> None:
    await jobs(store, 9)
    for number in range(9):
        assert await fail(store, AGENT, BAD, now=T + number)
    assert await kinds(store) == []


async def test_an_infrastructure_that_is_down_lets_all_agents_wait(store: Store) -> None:
    await jobs(store, 60, max_attempts=9)
    for number in range(3):
        for agent in ("a", "b"):
            assert await fail(store, agent, KILLED, now=T + number)
    assert await kinds(store) == ["quarantined", "quarantined"]


async def test_an_agent_that_is_lost_again_and_again_is_quarantined_by_the_reaper(store: Store) -> None:
    await jobs(store, 5)
    given = await store.claim(agent=AGENT, request="r", dispatch_limit=9, count=3, lease=30, now=T)
    for one in given:
        await store.confirm(one.spec.id, 1, max_run_time=60, now=T)
    told = await store.reap(now=T + 30)
    assert [(one.kind.value, one.job) for one in told] == [
        ("requeued", "job-1"),
        ("requeued", "job-2"),
        ("requeued", "job-3"),
        ("quarantined", ""),
    ]
    assert told[-1] == (await store.events())[-1]


async def test_a_cancelled_job_says_nothing_about_its_agent(store: Store) -> None:
    await jobs(store, 5)
    await good(store, OTHER)
    for number in range(4):
        assert await fail(store, AGENT, replace(BAD, cause=Cause.CANCELLED), now=T + number)
    assert await store.trials() == ()


async def test_an_operator_can_let_an_agent_out_of_quarantine(store: Store) -> None:
    await black_hole(store)
    assert await store.pardon(AGENT, reason="new disk", now=T + 20)
    assert not await store.pardon(AGENT, now=T + 20)
    assert (await store.events())[-1].text == "new disk"
    assert await kinds(store) == ["quarantined", "released"]
    assert len(await claim(store, "r", now=T + 20, count=5)) == 5


async def test_failures_long_ago_are_forgotten(store: Store) -> None:
    await jobs(store, 9)
    await good(store, OTHER)
    for number in range(2):
        await fail(store, AGENT, KILLED, now=T + number)
    await fail(store, "third", KILLED, now=T + 2 + trial.TRIAL_MEMORY)
    assert [one.agent for one in await store.trials()] == ["third"]


# ---------------------------------------------------------------- reap


async def test_an_attempt_that_was_never_confirmed_is_handed_back(store: Store) -> None:
    await store.submit([spec()], now=T)
    await claim(store)
    assert await store.reap(now=T + 9.9) == ()
    (event,) = await store.reap(now=T + 10)
    assert (event.kind, event.cause, event.attempt) == (EventKind.HANDED_BACK, "infra-undelivered", 1)
    assert (event.job, event.agent, event.time) == ("job-1", AGENT, T + 10)
    assert event == (await store.events())[-1]
    record = await store.get("job-1")
    assert record is not None
    assert (record.state, record.attempts_used, record.outcome) == (State.WAITING, 0, None)
    assert await store.reap(now=T + 99) == ()


async def test_an_attempt_that_ran_too_long_is_requeued_and_in_the_end_failed(store: Store) -> None:
    await run_one(store, max_attempts=2)
    (event,) = await store.reap(now=T + 3600)
    assert (event.kind, event.cause) == (EventKind.REQUEUED, "policy-run-time")
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome is not None
    assert (record.state, record.attempts_used, record.outcome.cause) == (
        State.WAITING,
        1,
        Cause.POLICY_RUN_TIME,
    )
    await claim(store, "s", now=T + 3601)
    await store.confirm("job-1", 2, max_run_time=60, now=T + 3601)
    (event,) = await store.reap(now=T + 3661)
    assert (event.kind, event.cause) == (EventKind.FAILED, "policy-run-time")
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome is not None
    assert (record.state, record.finished, record.outcome.cause) == (
        State.FAILED,
        T + 3661,
        Cause.POLICY_RUN_TIME,
    )
    assert await finish(store, "job-1", 2, GOOD) == (REPEATED, State.FAILED)
    assert await store.unpublished() == (record,)


async def test_the_longest_overdue_are_reaped_first(store: Store) -> None:
    await store.submit([spec(number) for number in range(4)], now=T)
    for number, late in enumerate((3, 1, 2, 500)):
        await claim(store, f"r{number}", now=T + late)
    events = await store.reap(limit=2, now=T + 100)
    assert [event.job for event in events] == ["job-1", "job-2"]
    assert [event.job for event in await store.reap(limit=2, now=T + 100)] == ["job-0"]
    with pytest.raises(ValueError, match="limit"):
        await store.reap(limit=0)


async def test_a_settled_job_is_not_reaped(store: Store) -> None:
    await run_one(store)
    await store.finish("job-1", 1, GOOD, now=T)
    assert await store.reap(now=T + 99999) == ()


# ---------------------------------------------------------------- publish


async def test_results_wait_for_their_finisher_oldest_first(store: Store) -> None:
    await store.submit([spec(number) for number in range(5)], now=T)
    await claim(store, count=5)
    for number, outcome, end in ((0, GOOD, 4), (1, BAD, 2), (2, replace(GOOD, output=None), 1), (3, GOOD, 2)):
        await store.finish(f"job-{number}", 1, outcome, now=T + end)
    assert [record.spec.id for record in await store.unpublished()] == ["job-2", "job-1", "job-3", "job-0"]
    (first,) = await store.unpublished(limit=1)
    assert first == await store.get("job-2")
    with pytest.raises(ValueError, match="limit"):
        await store.unpublished(limit=0)


async def test_a_result_is_published_once(store: Store) -> None:
    await run_one(store)
    assert not await store.publish("job-1", now=T)
    await store.finish("job-1", 1, GOOD, now=T)
    assert await store.publish("job-1", now=T + 1)
    assert not await store.publish("job-1", now=T + 2)
    record = await store.get("job-1")
    assert record is not None
    assert record.published
    assert await store.unpublished() == ()
    assert (await history(store))[-2:] == ["done 1 ok", "published 1"]


async def test_the_stream_tells_nothing_of_the_publication_of_a_job_without_output(store: Store) -> None:
    await run_one(store)
    await store.finish("job-1", 1, replace(BAD, output=None), now=T)
    assert await store.publish("job-1", now=T)
    assert (await history(store))[-1] == "failed 1 user-exit"
    assert await store.unpublished() == ()


# ---------------------------------------------------------------- attempts


async def test_a_job_tells_how_each_of_its_attempts_ended(store: Store) -> None:
    agent = 'o"ther\\@example.org'
    await store.submit([spec()], now=T)
    await claim(store, "a", now=T)
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T + 1)
    await claim(store, "b", agent=agent, now=T + 2)
    lost = replace(LOST, tail="Traceback …\nno\ttab")
    await finish(store, "job-1", 2, lost, now=T + 3)
    await claim(store, "c", now=T + 4)
    await finish(store, "job-1", 3, BAD, now=T + 5)
    told = await store.attempts("job-1")
    assert [(one.attempt, one.agent, one.claimed, one.ended, one.kind, one.cause) for one in told] == [
        (1, AGENT, T, T + 1, EventKind.HANDED_BACK, Cause.INFRA_UNDELIVERED),
        (2, agent, T + 2, T + 3, EventKind.REQUEUED, Cause.INFRA_LOST),
        (3, AGENT, T + 4, T + 5, EventKind.FAILED, Cause.USER_EXIT),
    ]
    assert [one.outcome for one in told] == [None, replace(lost, output=None), replace(BAD, output=None)]


async def test_of_an_endless_story_the_end_is_kept(store: Store) -> None:
    await store.submit([spec()], now=T)
    for number in range(1, ATTEMPTS_KEPT + 3):
        await claim(store, f"r{number}", now=T + 300 * number)  # the longest delay
        await store.hand_back("job-1", number, cause=Cause.INFRA_UNDELIVERED, now=T + 300 * number)
    told = await store.attempts("job-1")
    assert [one.attempt for one in told] == list(range(3, ATTEMPTS_KEPT + 3))


async def test_an_unknown_job_has_no_attempts(store: Store) -> None:
    assert await store.attempts("nobody") == ()


# ---------------------------------------------------------------- what operators want


def changed(state: State) -> Changed:
    return Changed(changed=True, state=state)


def unchanged(state: State | None) -> Changed:
    return Changed(changed=False, state=state)


async def test_a_waiting_job_is_cancelled_at_once(store: Store) -> None:
    await store.submit([spec()], now=T)
    assert await store.cancel("job-1", reason="a typo", now=T + 1) == changed(State.CANCELLED)
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome is not None
    assert (record.outcome.cause, record.outcome.reason, record.finished) == (
        Cause.CANCELLED,
        "a typo",
        T + 1,
    )
    assert await claim(store) == []
    assert await store.unpublished() == (record,)
    assert await store.cancel("job-1", now=T) == unchanged(State.CANCELLED)


async def test_a_running_job_is_cancelled_when_its_agent_says_so(store: Store) -> None:
    await run_one(store)
    assert await store.cancel("job-1", reason="a typo", now=T) == changed(State.RUNNING)
    assert await store.cancelling() == (Running(job="job-1", attempt=1, agent=AGENT),)
    assert await store.cancel("job-1", now=T) == unchanged(State.RUNNING)
    stopped = Outcome(cause=Cause.CANCELLED, exit_code=143, reason="stopped", output=OUTPUT)
    assert await finish(store, "job-1", 1, stopped) == (ACCEPTED, State.CANCELLED)
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome == stopped
    assert await store.cancelling() == ()
    assert await history(store) == [
        "submitted 0",
        "claimed 1",
        "running 1",
        "cancelling 1",
        "cancelled 1 cancelled",
    ]


async def test_a_result_that_comes_before_the_order_counts(store: Store) -> None:
    await run_one(store)
    await store.cancel("job-1", now=T)
    assert await finish(store, "job-1", 1, GOOD) == (ACCEPTED, State.DONE)
    assert await store.cancelling() == ()
    assert await store.cancel("job-1", now=T) == unchanged(State.DONE)


@pytest.mark.parametrize("how", ["handed back", "reaped", "failed"])
async def test_a_cancelled_job_never_runs_again(store: Store, how: str) -> None:
    await run_one(store)
    await store.cancel("job-1", reason="a typo", now=T)
    if how == "handed back":
        await store.leave(AGENT, (held(),), now=T)
    elif how == "reaped":
        await store.reap(now=T + 3600)
    else:
        assert await finish(store, "job-1", 1, LOST) == (ACCEPTED, State.CANCELLED)
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome is not None
    assert (record.state, record.outcome.reason) == (State.CANCELLED, "a typo")
    assert await store.waiting() == 0
    assert await finish(store, "job-1", 1, GOOD) == (REPEATED, State.CANCELLED)


async def test_a_held_job_is_given_to_nobody_until_it_is_released_to_its_old_place(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    assert await store.hold("job-1", reason="wait", now=T) == changed(State.HELD)
    assert await store.waiting() == 1
    assert await store.hold("job-1", now=T) == unchanged(State.HELD)
    await store.submit([spec(1)], now=T)
    assert await store.release("job-1", now=T) == changed(State.WAITING)
    assert await store.release("job-1", now=T) == unchanged(State.WAITING)
    assert await claim(store, count=2) == ["job-1/1", "job-2/1"]
    assert await store.hold("job-1", now=T) == unchanged(State.RUNNING)


async def test_a_held_job_can_be_cancelled(store: Store) -> None:
    await store.submit([spec()], now=T)
    await store.hold("job-1", now=T)
    assert await store.cancel("job-1", now=T) == changed(State.CANCELLED)
    assert await store.release("job-1", now=T) == unchanged(State.CANCELLED)


async def test_a_late_result_of_a_held_job_counts(store: Store) -> None:
    await run_one(store)
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    await store.hold("job-1", now=T)
    assert await finish(store, "job-1", 1, GOOD) == (ACCEPTED, State.DONE)


async def test_a_job_that_failed_runs_once_more_with_all_its_attempts(store: Store) -> None:
    await run_one(store, max_attempts=1)
    await finish(store, "job-1", 1, LOST)
    assert await store.retry("job-1", now=T) == unchanged(State.FAILED)  # its finisher has not seen it
    await store.publish("job-1", now=T)
    assert await store.retry("job-1", now=T) == changed(State.WAITING)
    record = await store.get("job-1")
    assert record is not None
    assert (record.attempts_used, record.outcome, record.finished, record.published) == (0, None, None, False)
    assert await finish(store, "job-1", 1, GOOD) == (REPEATED, State.WAITING)
    assert await claim(store, "s") == ["job-1/2"]
    assert await finish(store, "job-1", 2, GOOD) == (ACCEPTED, State.DONE)
    await store.publish("job-1", now=T)
    assert await store.retry("job-1", now=T) == unchanged(State.DONE)


async def test_a_cancelled_job_that_is_retried_is_no_longer_cancelled(store: Store) -> None:
    await run_one(store)
    await store.cancel("job-1", now=T)
    await finish(store, "job-1", 1, LOST)
    await store.publish("job-1", now=T)
    assert await store.retry("job-1", now=T) == changed(State.WAITING)
    assert await claim(store, "s") == ["job-1/2"]
    assert await finish(store, "job-1", 2, LOST) == (ACCEPTED, State.WAITING)


@pytest.mark.parametrize("verb", ["cancel", "hold", "release", "retry"])
async def test_nothing_is_done_to_a_job_that_is_not_known(store: Store, verb: str) -> None:
    assert await getattr(store, verb)("nobody") == unchanged(None)


# ---------------------------------------------------------------- clean up


async def end(store: Store, job: str, outcome: Outcome, *, now: float = T, published: bool = True) -> None:
    """Submit a job, have it end with its first attempt, and publish it."""
    await store.submit([spec(job)], now=T)
    (claimed,) = await store.claim(agent=AGENT, request=job, dispatch_limit=10, now=T)
    await store.finish(claimed.spec.id, claimed.attempt, outcome, now=now)
    if published:
        await store.publish(claimed.spec.id, now=now)


async def ended(store: Store, state: State, before: float = T + 100, **page: int) -> list[str]:
    return [record.spec.id for record in await store.ended(state, before, **page)]


async def test_jobs_that_are_over_are_listed_by_state_and_end(store: Store) -> None:
    for job, outcome, late in (("a", GOOD, 3), ("b", GOOD, 1), ("c", BAD, 2), ("e", GOOD, 1), ("f", GOOD, 4)):
        await end(store, job, outcome, now=T + late, published=job != "e")
    await store.submit([spec("d"), spec("waits")], now=T)
    await store.cancel("job-d", now=T + 5)
    assert await ended(store, State.DONE) == ["job-b", "job-e", "job-a", "job-f"]
    assert await ended(store, State.DONE, T + 4) == ["job-b", "job-e", "job-a"]  # the end is not in it
    assert await ended(store, State.DONE, skip=1, limit=2) == ["job-e", "job-a"]
    assert await ended(store, State.DONE, skip=4) == []
    assert await ended(store, State.FAILED, math.inf) == ["job-c"]
    assert await ended(store, State.CANCELLED) == ["job-d"]
    assert await store.ended(State.FAILED, T + 100) == (await store.get("job-c"),)


@pytest.mark.parametrize(
    ("state", "page"),
    [
        (State.RUNNING, {}),
        (State.DONE, {"limit": 0}),
        (State.DONE, {"limit": 1001}),
        (State.DONE, {"skip": -1}),
    ],
)
async def test_a_list_that_makes_no_sense_is_refused(
    store: Store, state: State, page: dict[str, int]
) -> None:
    with pytest.raises(ValueError, match="expected"):
        await store.ended(state, T, **page)


async def test_of_a_removed_job_nothing_is_known(store: Store) -> None:
    for job, outcome in (("1", GOOD), ("2", BAD)):
        await end(store, job, outcome)
    await store.submit([spec(3)], now=T)
    await store.cancel("job-3", now=T)
    await store.publish("job-3", now=T)
    for job in ("job-1", "job-2", "job-3"):
        assert await store.remove(job)
        assert not await store.remove(job)
        assert await store.get(job) is None
        assert await store.attempts(job) == ()
    assert set((await store.counts()).values()) == {0}
    assert await finish(store, "job-1", 1, GOOD) == (Verdict.UNKNOWN, None)
    assert await store.retry("job-2") == unchanged(None)
    assert [await ended(store, state) for state in State if state.final] == [[], [], []]


async def test_a_job_that_is_not_over_and_published_is_not_removed(store: Store) -> None:
    await store.submit([spec(number) for number in range(4)], now=T)
    await claim(store, count=2)
    await store.finish("job-0", 1, GOOD, now=T)
    await store.hold("job-2", now=T)
    for number in range(4):
        before = await store.get(f"job-{number}")
        assert not await store.remove(f"job-{number}")
        assert await store.get(f"job-{number}") == before
    assert await store.waiting() == 1
    assert len(await store.attempts("job-0")) == 1
    assert not await store.remove("nobody")


async def test_a_job_that_is_retried_is_not_removed(store: Store) -> None:
    await end(store, "1", BAD)
    await store.retry("job-1", now=T)
    assert not await store.remove("job-1")
    assert await claim(store, "s") == ["job-1/2"]


async def test_a_removed_job_does_not_get_in_the_way_of_another_of_its_id(store: Store) -> None:
    await store.submit([spec(1, priority=5)], now=T)
    await store.hold("job-1", now=T)
    await store.cancel("job-1", now=T)
    await store.publish("job-1", now=T)
    assert await store.remove("job-1")
    await store.submit([spec(2), spec(1)], now=T)
    assert await claim(store, count=3) == ["job-2/1", "job-1/1"]


async def test_a_request_is_not_given_what_was_removed(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    given = await store.claim(agent=AGENT, request="r", dispatch_limit=10, holder=HOLDER, now=T)
    await store.finish("job-1", given[0].attempt, GOOD, now=T)
    await store.publish("job-1", now=T)
    await store.remove("job-1")
    assert await claim(store) == []
    assert await store.suspect(HOLDER, now=T) == 0


# ---------------------------------------------------------------- renew


async def lease(store: Store, request: str = "r", *, seconds: float = 60, now: float = T) -> None:
    """Claim with a lease, and confirm."""
    for one in await store.claim(agent=AGENT, request=request, dispatch_limit=10, lease=seconds, now=now):
        await store.confirm(one.spec.id, one.attempt, max_run_time=3600, now=now)


def held(number: int = 1, attempt: int = 1, phase: str = "run") -> Held:
    return Held(job=f"job-{number}", attempt=attempt, phase=phase)


async def renew(store: Store, *what: Held, agent: str = AGENT, now: float = T) -> tuple[Held, ...]:
    """What the agent must stop."""
    return (await store.renew(agent, what or (held(),), now=now)).lost


async def test_a_lease_runs_out_when_it_is_not_renewed(store: Store) -> None:
    await store.submit([spec()], now=T)
    await lease(store)
    assert await store.reap(now=T + 59) == ()
    (event,) = await store.reap(now=T + 60)
    assert (event.kind, event.cause) == (EventKind.REQUEUED, "infra-lost")
    record = await store.get("job-1")
    assert record is not None
    assert record.attempts_used == 1


async def test_a_job_far_longer_than_its_lease_stays_with_an_agent_that_renews(store: Store) -> None:
    await store.submit([spec(max_run_time=100)], now=T)
    await lease(store, seconds=5)
    for second in range(0, 5000, 4):
        assert await renew(store, now=T + second) == ()
        assert await store.reap(now=T + second) == ()


async def test_a_renewal_says_that_the_agent_has_the_job(store: Store) -> None:
    await store.submit([spec()], now=T)
    await store.claim(agent=AGENT, request="r", dispatch_limit=10, lease=60, now=T)
    await renew(store, now=T + 5)
    assert await store.reap(now=T + 64) == ()
    assert await history(store) == ["submitted 0", "claimed 1", "running 1"]


async def test_an_agent_learns_what_it_does_not_hold(store: Store) -> None:
    await store.submit([spec(number) for number in (1, 2, 3, 4)], now=T)
    await lease(store, "a")
    await claim(store, "b", agent=OTHER)  # job 2
    await lease(store, "c")  # job 3
    await finish(store, "job-3", 1, GOOD)
    wrong = (held(2), held(3), held(1, 2), held(4, 0), held(9))
    assert await renew(store, held(1), *wrong) == wrong
    assert await renew(store, held(1), agent=OTHER) == (held(1),)


async def test_a_job_that_nobody_else_has_claimed_goes_on_at_its_agent(store: Store) -> None:
    await store.submit([spec()], now=T)
    await lease(store)
    await store.reap(now=T + 60)
    assert await store.renew(AGENT, (held(), held(2)), now=T + 70) == Renewed(
        lost=(held(2),), revived=(held(),)
    )
    assert await store.renew(AGENT, (held(),), now=T + 70) == Renewed()
    assert await store.waiting() == 0
    assert await claim(store, "s", agent=OTHER, now=T + 71) == []
    record = await store.get("job-1")
    assert record is not None
    assert (record.state, record.attempts_used, record.outcome) == (State.RUNNING, 1, None)
    assert (await history(store))[-1] == "revived 1"
    assert await store.reap(now=T + 129) == ()
    assert await finish(store, "job-1", 1, GOOD, now=T + 129) == (ACCEPTED, State.DONE)


async def test_an_attempt_that_was_handed_back_counts_again_when_it_goes_on(store: Store) -> None:
    await store.submit([spec()], now=T)
    await store.claim(agent=AGENT, request="r", dispatch_limit=10, lease=60, now=T)
    (event,) = await store.reap(now=T + 10)
    assert event.kind is EventKind.HANDED_BACK
    assert await renew(store, now=T + 11) == ()
    record = await store.get("job-1")
    assert record is not None
    assert (record.state, record.attempts_used) == (State.RUNNING, 1)
    assert await finish(store, "job-1", 1, BAD, now=T + 12) == (ACCEPTED, State.FAILED)
    record = await store.get("job-1")
    assert record is not None
    assert record.attempts_used == 1


async def test_a_job_that_somebody_else_has_claimed_is_not_given_back(store: Store) -> None:
    await store.submit([spec()], now=T)
    await lease(store)
    await store.reap(now=T + 60)
    assert await claim(store, "s", agent=OTHER, now=T + 61) == ["job-1/2"]
    assert await renew(store, now=T + 62) == (held(),)


async def test_an_attempt_whose_failure_is_known_does_not_revive(store: Store) -> None:
    await store.submit([spec()], now=T)
    await lease(store)
    await finish(store, "job-1", 1, LOST)
    assert await renew(store) == (held(),)
    assert await store.waiting() == 1


async def test_a_new_attempt_has_the_lease_of_its_own_claim(store: Store) -> None:
    await store.submit([spec()], now=T)
    await lease(store)
    await store.leave(AGENT, (held(),), now=T)
    assert await claim(store, "s") == ["job-1/2"]
    await store.confirm("job-1", 2, max_run_time=3600, now=T)
    assert await renew(store, held(1, 2)) == (held(1, 2),)
    assert await store.reap(now=T + 3599) == ()


@pytest.mark.parametrize("how", ["confirm", "renew"])
async def test_what_has_begun_is_not_handed_back_as_if_it_had_not(store: Store, how: str) -> None:
    await store.submit([spec()], now=T)
    await store.claim(agent=AGENT, request="r", dispatch_limit=10, lease=60, now=T)
    if how == "confirm":
        await store.confirm("job-1", 1, max_run_time=3600, now=T)
    else:
        await renew(store)
    assert await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T + 1) is None
    assert await store.waiting() == 0


async def test_a_claim_tells_the_lease_that_was_given_with_it_also_when_it_is_repeated(store: Store) -> None:
    await store.submit([spec()], now=T)
    claims = [
        await store.claim(agent=AGENT, request="r", dispatch_limit=10, lease=seconds, now=T)
        for seconds in (14400.0, 60.0)
    ]
    assert [one.lease for found in claims for one in found] == [14400.0, 14400.0]
    await store.submit([spec(2)], now=T)
    (one,) = await store.claim(agent=OTHER, request="r", dispatch_limit=10, now=T)
    assert one.lease is None


async def test_an_exclusive_job_is_left_to_agents_with_leases(store: Store) -> None:
    await store.submit([spec(1, exclusive=True), spec(2)], now=T)
    assert await claim(store, "a", agent=OTHER) == ["job-2/1"]
    assert await claim(store, "b", agent=OTHER) == []
    assert await store.waiting() == 1
    (one,) = await store.claim(agent=AGENT, request="r", dispatch_limit=10, lease=60, now=T)
    assert (one.spec.id, one.spec.exclusive) == ("job-1", True)


async def test_after_an_outage_each_agent_has_its_own_lease_to_renew(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    await lease(store, "a", seconds=14400)
    await lease(store, "b", seconds=60)
    (short,) = await store.reap(up_for=60, now=T + 20000)
    assert (short.job, short.kind) == ("job-2", EventKind.REQUEUED)
    assert await store.reap(up_for=14399, now=T + 20000 + 14339) == ()
    (long,) = await store.reap(up_for=14400, now=T + 20000 + 14340)
    assert (long.job, long.kind) == ("job-1", EventKind.REQUEUED)


async def test_agents_that_have_time_left_do_not_keep_the_dead_from_being_seen(store: Store) -> None:
    await store.submit([spec(number) for number in range(1, 6)], now=T)
    for number in range(3):
        await lease(store, f"a{number}", seconds=100)
    for number in range(2):
        await lease(store, f"b{number}", seconds=60, now=T + 100)  # overdue later than the others
    told = [await store.reap(limit=1, up_for=60, now=T + 200) for _ in range(3)]
    assert [[one.job for one in events] for events in told] == [["job-4"], ["job-5"], []]


async def test_an_outage_of_the_service_takes_no_job_from_an_agent(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    await lease(store)
    await store.claim(agent=OTHER, request="x", dispatch_limit=10, now=T)
    (unconfirmed,) = await store.reap(up_for=59, now=T + 3600)
    assert (unconfirmed.job, unconfirmed.kind) == ("job-2", EventKind.HANDED_BACK)
    (silent,) = await store.reap(up_for=60, now=T + 3601)
    assert (silent.job, silent.kind) == ("job-1", EventKind.REQUEUED)


@pytest.mark.parametrize(
    "wrong", [(held(phase="sleep"),), (held(phase="run\n"),), tuple(held() for _ in range(1001))]
)
async def test_a_renewal_that_makes_no_sense_is_refused(store: Store, wrong: tuple[Held, ...]) -> None:
    with pytest.raises(ValueError, match=r"phase|1000"):
        await store.renew(AGENT, wrong)


async def test_renewing_nothing_does_nothing(store: Store) -> None:
    assert await store.renew(AGENT, ()) == Renewed()


# ---------------------------------------------------------------- leave, drain


async def test_what_a_leaving_agent_gives_back_waits_again_at_once_and_is_not_counted(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    await lease(store)
    (event,) = await store.leave(AGENT, (held(),), now=T + 5)
    assert event == (await store.events())[-1]
    assert (event.job, event.kind, event.cause) == ("job-1", EventKind.HANDED_BACK, "infra-preempted")
    record = await store.get("job-1")
    assert record is not None
    assert (record.state, record.attempts_used, record.outcome) == (State.WAITING, 0, None)
    assert await claim(store, "s", agent=OTHER) == ["job-1/2"]
    (attempt,) = await store.attempts("job-1")
    assert (attempt.kind, attempt.cause) == (EventKind.HANDED_BACK, Cause.INFRA_PREEMPTED)
    assert (attempt.ended, attempt.agent) == (T + 5, AGENT)


async def test_nobody_gives_back_what_he_does_not_hold(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    await lease(store)
    wrong = (held(1, 2), held(2, 0), held(2, 1), held(3, 1))
    assert await store.leave(AGENT, wrong, now=T) == ()
    assert await store.leave(OTHER, (held(),), now=T) == ()
    assert [event.job for event in await store.leave(AGENT, (*wrong, held()), now=T)] == ["job-1"]
    assert await store.leave(AGENT, (held(),), now=T) == ()


async def test_what_was_given_back_is_not_revived_nor_reported(store: Store) -> None:
    await store.submit([spec()], now=T)
    await lease(store)
    await store.leave(AGENT, (held(),), now=T)
    assert await renew(store) == (held(),)
    assert await finish(store, "job-1", 1, GOOD) == (REPEATED, State.WAITING)
    assert await claim(store, "s") == ["job-1/2"]
    assert await finish(store, "job-1", 1, GOOD) == (STALE, State.RUNNING)
    assert await finish(store, "job-1", 2, GOOD) == (ACCEPTED, State.DONE)


async def test_a_job_that_somebody_wants_to_end_ends_when_it_is_given_back(store: Store) -> None:
    await store.submit([spec()], now=T)
    await lease(store)
    await store.cancel("job-1", now=T)
    (event,) = await store.leave(AGENT, (held(),), now=T)
    assert event.kind is EventKind.CANCELLED
    record = await store.get("job-1")
    assert record is not None
    assert record.state is State.CANCELLED


async def test_agents_are_to_leave_until_they_have_said_goodbye(store: Store) -> None:
    await store.drain([OTHER], now=T)
    await store.drain([AGENT, "third@example.org"], now=T + 1)
    assert await store.draining(now=T + 2) == (OTHER, AGENT, "third@example.org")
    assert await store.draining(skip=1, limit=1, now=T + 2) == (AGENT,)
    assert await store.leave(AGENT, (), now=T + 3) == ()
    assert await store.draining(now=T + 3) == (OTHER, "third@example.org")


async def test_an_agent_that_never_comes_is_told_for_a_day(store: Store) -> None:
    await store.drain([AGENT], now=T)
    await store.drain([OTHER], now=T + 60)
    assert await store.draining(now=T + DRAIN_WANTED - 1) == (AGENT, OTHER)
    assert await store.draining(now=T + DRAIN_WANTED) == (OTHER,)


async def test_too_much_at_once_is_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="1000"):
        await store.leave(AGENT, tuple(held() for _ in range(1001)))
    with pytest.raises(ValueError, match="1000"):
        await store.drain([f"a{number}@x" for number in range(1001)])
    with pytest.raises(ValueError, match="skip"):
        await store.draining(skip=-1)


# ---------------------------------------------------------------- suspect

HOLDER = f"{AGENT}/old"


async def hold(store: Store, request: str = "r", *, now: float = T) -> None:
    """Claim for an agent that takes one job at a time, and confirm with an hour to run."""
    for one in await store.claim(agent=AGENT, request=request, dispatch_limit=10, holder=HOLDER, now=now):
        await store.confirm(one.spec.id, one.attempt, max_run_time=3600, now=now)


async def test_an_agent_that_asks_again_has_lost_its_job_unless_it_reports_in_time(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await hold(store)
    assert await store.suspect(HOLDER, now=T + 60) == 1
    assert await store.reap(now=T + 89) == ()
    (event,) = await store.reap(now=T + 90)
    assert (event.kind, event.cause) == (EventKind.REQUEUED, "infra-lost")
    record = await store.get("job-1")
    assert record is not None
    assert record.outcome is not None
    assert (record.state, record.outcome.cause) == (State.WAITING, Cause.INFRA_LOST)
    assert await store.suspect(HOLDER, now=T + 91) == 0


async def test_its_report_within_the_grace_counts(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await hold(store)
    await store.suspect(HOLDER, now=T + 60)
    assert await finish(store, "job-1", 1, GOOD, now=T + 80) == (ACCEPTED, State.DONE)
    assert await store.reap(now=T + 1000) == ()


async def test_a_request_that_may_be_older_than_the_claim_proves_nothing(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await hold(store)
    assert await store.suspect(HOLDER, now=T + 59) == 1
    assert await store.reap(now=T + 600) == ()
    (event,) = await store.reap(now=T + 3600)
    assert event.cause == "policy-run-time"


async def test_asking_again_and_again_does_not_prolong_the_grace(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await hold(store)
    for second in (60, 70, 89):
        await store.suspect(HOLDER, now=T + second)
    assert len(await store.reap(now=T + 90)) == 1


async def test_suspicion_never_gives_a_job_more_time(store: Store) -> None:
    await store.submit([spec(1, max_run_time=70)], now=T)
    await hold(store)
    await store.suspect(HOLDER, now=T + 60)
    assert len(await store.reap(now=T + 70)) == 1


async def test_a_new_job_of_the_same_agent_is_not_suspected_with_the_old_one(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    await hold(store)
    assert await store.suspect(HOLDER, now=T + 65) == 1
    await hold(store, "s", now=T + 65)
    (event,) = await store.reap(now=T + 600)
    assert event.job == "job-1"
    assert await store.suspect(HOLDER, now=T + 700) == 1


async def test_another_attempt_at_another_agent_is_not_suspected(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await hold(store)
    await store.leave(AGENT, (held(),), now=T)
    await claim(store, "s", agent=OTHER, now=T)
    assert await store.suspect(HOLDER, now=T + 600) == 0


async def test_a_late_confirmation_does_not_lift_the_suspicion(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await store.claim(agent=AGENT, request="r", dispatch_limit=200, holder=HOLDER, now=T)
    await store.suspect(HOLDER, now=T + 60)
    await store.confirm("job-1", 1, max_run_time=3600, now=T + 61)
    (event,) = await store.reap(now=T + 90)
    assert event.cause == "infra-lost"


async def test_a_job_that_is_lost_too_often_fails(store: Store) -> None:
    await store.submit([spec(1, max_attempts=1)], now=T)
    await hold(store)
    await store.suspect(HOLDER, now=T + 60)
    (event,) = await store.reap(now=T + 90)
    assert (event.kind, event.cause) == (EventKind.FAILED, "infra-lost")
    (record,) = await store.unpublished()
    assert record.spec.id == "job-1"


# ---------------------------------------------------------------- events


async def test_events_are_read_from_any_place(store: Store) -> None:
    await store.submit([spec(number) for number in range(5)], now=T)
    events = await store.events()
    assert [event.job for event in events] == [f"job-{number}" for number in range(5)]
    assert {(event.kind, event.time, event.agent, event.cause) for event in events} == {
        (EventKind.SUBMITTED, T, "", "")
    }
    assert await store.events(after=events[1].id, count=2) == events[2:4]
    assert await store.events(after=events[-1].id) == ()
    assert await store.events(after="$") == ()
    assert await store.events(after="9999999999999999999") == ()


@pytest.mark.parametrize("after", ["+", "-1", "9" * 30, ""])
async def test_a_wrong_place_in_the_stream_is_refused(store: Store, after: str) -> None:
    with pytest.raises(ValueError, match="event id"):
        await store.events(after=after)


async def test_a_job_knows_where_its_story_begins_and_following_it_starts_there(store: Store) -> None:
    await store.submit([spec(number) for number in range(3)], now=T)
    events = await store.events()
    for event in events:
        record = await store.get(event.job)
        assert record is not None
        assert record.first_event == event.id
    await store.claim(agent=AGENT, request="r", dispatch_limit=10, count=3, now=T)
    for job in ("job-0", "job-2"):
        told = follow(store, job)
        assert [(await anext(told)).kind for _ in range(2)] == [EventKind.SUBMITTED, EventKind.CLAIMED]


async def test_waiting_for_events_ends_with_the_first_one(store: Store) -> None:
    await store.submit([spec("old")])
    (old,) = await store.events()
    assert await store.events(block=30) == (old,)
    readers = [asyncio.create_task(store.events(after=after, block=30)) for after in (old.id, "$")]
    async with asyncio.timeout(PATIENCE_S):
        for number in itertools.count():  # nobody can see from here when the server has got a "$"
            await store.submit([spec(number)])
            await asyncio.sleep(0)  # the version in memory lets nobody else run
            if all(reader.done() for reader in readers):
                break
    assert readers[0].result()[0].job == "job-0"
    assert old not in readers[1].result()


async def test_news_below_the_place_asked_for_do_not_end_the_waiting(store: Store) -> None:
    reader = asyncio.create_task(store.events(after="9999999999999999999", block=0.05))
    async with asyncio.timeout(PATIENCE_S):
        for number in itertools.count():
            await store.submit([spec(number)])
            await asyncio.sleep(0)
            if reader.done():
                break
    assert reader.result() == ()


@pytest.mark.parametrize("block", [0.0001, 0.05])
async def test_waiting_for_events_ends_when_the_time_is_over(store: Store, block: float) -> None:
    begin = time.monotonic()
    assert await asyncio.wait_for(store.events(block=block), PATIENCE_S) == ()
    assert time.monotonic() - begin >= block


async def test_a_reader_that_gives_up_disturbs_nobody(store: MemoryStore | RedisStore) -> None:
    assert await store.events(block=0.001) == ()  # connects: fakeredis cannot be interrupted while it does
    before = store.round_trips
    reader = asyncio.create_task(store.events(block=30))
    await eventually(lambda: store.round_trips > before)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    await store.submit([spec()])
    assert len(await store.events(block=30)) == 1


# ---------------------------------------------------------------- the whole


async def test_counts_follow_the_jobs(store: Store) -> None:
    await store.submit([spec(number) for number in range(6)], now=T)
    await claim(store, count=4)
    await store.finish("job-0", 1, GOOD, now=T)
    await store.finish("job-1", 1, BAD, now=T)
    await store.finish("job-2", 1, LOST, now=T)
    await store.hold("job-5", now=T)
    await store.cancel("job-4", now=T)
    await store.submit([spec(6, after=("job-5",))], now=T)
    expected = dict.fromkeys(State, 1)
    assert await store.counts() == expected
    assert await store.waiting() == 1


async def test_without_a_time_the_stores_own_clock_counts(store: Store) -> None:
    begin = time.time()
    await store.submit([spec()])
    (claimed,) = await store.claim(agent=AGENT, request="r", dispatch_limit=0)
    (event,) = await store.reap()
    assert begin - 1 <= claimed.claimed <= event.time <= time.time() + 1


async def test_every_method_is_one_round_trip(store: MemoryStore | RedisStore) -> None:
    async def everything(job: str) -> list[int]:
        steps = [
            store.submit([spec(job), spec(job + "x")]),
            store.waiting(),
            store.claim(agent=AGENT, request=job, dispatch_limit=10, count=2),
            store.hand_back(f"job-{job}x", 1, cause=Cause.INFRA_UNDELIVERED),
            store.confirm(f"job-{job}", 1, max_run_time=60),
            store.finish(f"job-{job}", 1, GOOD),
            store.unpublished(),
            store.publish(f"job-{job}"),
            store.get(f"job-{job}"),
            store.leave(AGENT, ()),
            store.drain([AGENT]),
            store.draining(),
            store.reap(),
            store.trials(),
            store.quarantine(AGENT),
            store.pardon(AGENT),
            store.events(),
            store.counts(),
        ]
        counts = []
        for step in steps:
            before = store.round_trips
            await step
            counts.append(store.round_trips - before)
        return counts

    await everything("first")  # a new server has to learn the scripts
    assert set(await everything("second")) == {1}


async def test_closing_twice_is_allowed(store: Store) -> None:
    await store.waiting()
    await store.close()
    await store.close()
