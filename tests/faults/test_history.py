"""The judge sees what must not happen, and lets pass what may."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest

from copilot.job import Event, EventKind, JobRecord, JobSpec, State
from tests.faults.history import Found, judge
from tests.faults.work import Work, works

ONE, TWO = (replace(work, code=0, priority=0) for work in works(2, Random(0)))
K = EventKind
IN_ORDER = (
    (ONE, K.SUBMITTED, 0),
    (ONE, K.CLAIMED, 1),
    (ONE, K.RUNNING, 1),
    (ONE, K.DONE, 1),
    (ONE, K.PUBLISHED, 1),
)


def history(*moves: tuple[Work, EventKind, int]) -> list[Event]:
    return [
        Event(id=f"{number}-0", time=float(number), job=work.id, kind=kind, attempt=attempt)
        for number, (work, kind, attempt) in enumerate(moves)
    ]


def record(work: Work, attempt: int = 1, state: State = State.DONE, *, published: bool = True) -> JobRecord:
    return JobRecord(
        spec=JobSpec(id=work.id, command="work.sh"),
        state=state,
        attempt=attempt,
        attempts_used=attempt,
        agent="agent-1@example.org",
        submitted=0.0,
        first_event="0-0",
        published=published,
    )


def judged(
    *moves: tuple[Work, EventKind, int], of: JobRecord | None = None, result: str | None = None
) -> Found:
    records = {ONE.id: record(ONE) if of is None else of}
    return judge([ONE], history(*moves), records, {ONE.id: ONE.stdout(1) if result is None else result})


def test_a_job_that_was_done_once_is_fine() -> None:
    assert judged(*IN_ORDER) == Found()


def test_a_job_that_went_back_or_was_revived_is_fine() -> None:
    moves = (
        *IN_ORDER[:3],
        (ONE, K.REQUEUED, 1),
        (ONE, K.REVIVED, 1),
        (ONE, K.REQUEUED, 1),
        (ONE, K.CLAIMED, 2),
        (ONE, K.HANDED_BACK, 2),
        (ONE, K.DONE, 2),
        (ONE, K.PUBLISHED, 2),
    )
    assert judged(*moves, of=record(ONE, 2), result=ONE.stdout(2)) == Found()


def test_a_job_that_the_queue_does_not_know_is_lost() -> None:
    assert judge([ONE], [], {}, {}).lost


def test_a_wrong_or_missing_result_is_lost() -> None:
    assert judged(*IN_ORDER, result="nonsense").lost
    assert judge([ONE], history(*IN_ORDER), {ONE.id: record(ONE)}, {ONE.id: None}).lost


def test_another_end_than_the_known_one_is_lost() -> None:
    assert judged(*IN_ORDER, of=record(ONE, state=State.FAILED)).lost


def test_two_ends_are_twice() -> None:
    assert judged(*IN_ORDER, (ONE, K.DONE, 1)).twice


def test_a_result_that_was_published_again_is_twice() -> None:
    assert judged(*IN_ORDER, (ONE, K.PUBLISHED, 1)).twice


def test_the_result_of_another_attempt_is_twice() -> None:
    assert judged(*IN_ORDER, result=ONE.stdout(2)).twice


@pytest.mark.parametrize("of", [record(ONE, state=State.RUNNING), record(ONE, published=False)])
def test_a_job_that_is_not_over_or_not_published_is_stuck(of: JobRecord) -> None:
    assert judged(*IN_ORDER, of=of).stuck


@pytest.mark.parametrize(
    "moves",
    [
        [*IN_ORDER[:2], (ONE, K.CLAIMED, 2)],
        [*IN_ORDER[:2], (ONE, K.REQUEUED, 1), (ONE, K.CLAIMED, 1)],
        [*IN_ORDER, (ONE, K.REQUEUED, 1)],
        [*IN_ORDER[:2], (ONE, K.DONE, 2)],
        [IN_ORDER[0], (TWO, K.CLAIMED, 1)],
        [IN_ORDER[0], (ONE, K.REVIVED, 0)],
        [*IN_ORDER[:2], (ONE, K.REVIVED, 1)],
        [*IN_ORDER[:2], (ONE, K.REQUEUED, 1), (ONE, K.HANDED_BACK, 1)],
        [*IN_ORDER[:2], (ONE, K.REQUEUED, 1), (ONE, K.RUNNING, 1)],
        [*IN_ORDER[:2], (ONE, K.PUBLISHED, 1)],
    ],
)
def test_a_move_that_was_not_possible_is_found(moves: list[tuple[Work, EventKind, int]]) -> None:
    assert judged(*moves).order


def test_a_claim_that_passes_over_who_came_first_is_found() -> None:
    moves = history((ONE, K.SUBMITTED, 0), (TWO, K.SUBMITTED, 0), (TWO, K.CLAIMED, 1))
    assert judge([ONE, TWO], moves, {}, {}).order == [
        f"{TWO.id}, attempt 1: claimed, but {ONE.id} came before it"
    ]
