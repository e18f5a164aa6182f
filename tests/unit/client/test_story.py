"""What `copilot jobs show` tells of a job."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace

import pytest

from copilot.client.story import Story, facts, lines
from copilot.job import Attempt, Cause, EventKind, JobRecord, JobSpec, Outcome, State

T = 1_700_000_000.0  # 2023-11-14 22:13:20 UTC
LOST = Outcome(cause=Cause.INFRA_LOST, exit_code=1, reason="gone", host="h1")
FAILED = Outcome(
    cause=Cause.USER_VALIDATION, exit_code=3, reason="bad", validate_exit_code=4, tail="one\n\x1b[2Jtwo\n"
)
SPEC = JobSpec(id="j", command="a b.sh", arguments="-n 5", owner="alice", priority=7)
WAITING = JobRecord(
    spec=SPEC, state=State.WAITING, attempt=0, attempts_used=0, agent=None, submitted=T, first_event="1-0"
)
RUNNING = replace(
    WAITING, state=State.RUNNING, attempt=3, attempts_used=2, agent="a@example.org", claimed=T + 9
)
OVER = replace(RUNNING, state=State.FAILED, finished=T + 100, outcome=FAILED)
ATTEMPTS = (
    Attempt(
        attempt=1,
        agent="a@example.org",
        claimed=T + 1,
        ended=T + 61,
        kind=EventKind.HANDED_BACK,
        cause=Cause.INFRA_UNDELIVERED,
        outcome=None,
    ),
    Attempt(
        attempt=2,
        agent="b@example.org",
        claimed=T + 1,
        ended=T + 3602,
        kind=EventKind.FAILED,
        cause=FAILED.cause,
        outcome=FAILED,
    ),
)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    with monkeypatch.context() as here:
        here.setenv("TZ", "UTC")
        time.tzset()
        yield
    time.tzset()


def told(record: JobRecord, attempts: tuple[Attempt, ...] = (), *, cancelling: bool = False) -> str:
    return "\n".join(lines(Story(record=record, attempts=attempts, cancelling=cancelling)))


def test_the_whole_story_of_a_job_that_failed() -> None:
    assert told(OVER, ATTEMPTS).split("\n") == [
        "job j: failed (user-validation, exit code 3)",
        "  owner      alice",
        "  command    'a b.sh' -n 5",
        "  priority   7",
        "  submitted  2023-11-14 22:13:20+00:00",
        "  ended      2023-11-14 22:15:00+00:00",
        "  reason     bad",
        "  output     not yet with its finisher",
        "  attempts   2 of 3 used",
        "  next       a storage manager gives its result to the finisher",
        "",
        "attempt 1: handed-back (infra-undelivered)",
        "  agent      a@example.org",
        "  claimed    2023-11-14 22:13:21+00:00",
        "  ended      2023-11-14 22:14:21+00:00 (after 0:01:00)",
        "",
        "attempt 2: failed (user-validation, exit code 3)",
        "  agent      b@example.org",
        "  claimed    2023-11-14 22:13:21+00:00",
        "  ended      2023-11-14 23:13:22+00:00 (after 1:00:01)",
        "  validation exit code 4",
        "  reason     bad",
        "  stderr     | one",
        "             | \\x1b[2Jtwo",
    ]


def test_a_running_attempt_is_told_last() -> None:
    assert told(RUNNING).split("\n")[-3:] == [
        "attempt 3: running",
        "  agent      a@example.org",
        "  claimed    2023-11-14 22:13:29+00:00",
    ]
    assert told(RUNNING).startswith("job j: running\n")


def test_what_an_earlier_attempt_left_in_the_record_is_not_told_as_the_jobs_end() -> None:
    assert "gone" not in told(replace(WAITING, outcome=LOST))


@pytest.mark.parametrize(
    ("record", "following"),
    [
        (WAITING, "the first agent that asks gets it"),
        (replace(WAITING, state=State.HELD), "`copilot jobs release j` lets"),
        (RUNNING, "its agent reports"),
        (OVER, "a storage manager"),
        (replace(OVER, published=True), "`copilot jobs retry j` runs"),
        (replace(OVER, published=True, state=State.CANCELLED), "`copilot jobs retry j` runs"),
        (replace(OVER, published=True, state=State.DONE), "nothing"),
    ],
)
def test_it_says_what_comes_next(record: JobRecord, following: str) -> None:
    assert f"  next       {following}" in told(record)


def test_a_job_that_is_to_end_says_so() -> None:
    text = told(RUNNING, cancelling=True)
    assert text.startswith("job j: running, to be cancelled\n")
    assert "  next       its agent is told to stop it" in text


def test_programs_get_the_same_as_plain_data() -> None:
    data = json.loads(json.dumps(facts(Story(record=OVER, attempts=ATTEMPTS))))
    assert (data["id"], data["state"], data["finished"], data["cancelling"]) == (
        "j",
        "failed",
        T + 100,
        False,
    )
    assert data["spec"]["owner"] == "alice"
    assert data["outcome"]["tail"] == FAILED.tail
    assert [one["kind"] for one in data["attempts"]] == ["handed-back", "failed"]


def test_what_it_asks_for_is_told_where_it_asks_for_more_than_others() -> None:
    spec = replace(
        WAITING.spec, cores=2, max_cores=8, gpus=1, project="atlas", tags=("night", "x"), max_run_time=5400.0
    )
    asked = told(replace(WAITING, spec=spec))
    for line in (
        "project    atlas",
        "tags       night x",
        "cores      2 to 8",
        "gpus       1",
        "walltime   1:30:00",
    ):
        assert f"\n  {line}\n" in asked
    assert not {"cores", "gpus", "walltime", "tags", "project"} & {
        line[2:13].strip() for line in told(WAITING).split("\n")
    }
