"""From exits to causes: whose affair it is, and what a person reads."""

from __future__ import annotations

import pytest

from copilot.agent.processes import Exit
from copilot.agent.verdict import judge
from copilot.job import MAX_REASON, Cause


def exited(
    code: int | None = 0, *, signal: int | None = None, limited: bool = False, strays: int = 0
) -> Exit:
    return Exit(code=None if signal else code, signal=signal, limited=limited, strays=strays, seconds=61.5)


@pytest.mark.parametrize(
    ("ended", "status", "cause", "code"),
    [
        (exited(0), "started", Cause.OK, 0),
        (exited(0), "", Cause.OK, 0),  # the disk was too full for a status
        (exited(3), "started", Cause.USER_EXIT, 3),
        (exited(127), "started", Cause.USER_EXIT, 127),
        (exited(127), "command", Cause.USER_NO_COMMAND, 127),
        (exited(126), "command", Cause.USER_NO_COMMAND, 126),
        (exited(2), "environment", Cause.USER_EXIT, 125),
        (exited(0), "environment", Cause.USER_EXIT, 125),  # exit code 0, but the command never ran
        (exited(2), "arguments", Cause.USER_EXIT, 125),
        (exited(1), "package ROOT/6", Cause.USER_PREREQUISITE, 125),
        (exited(signal=11), "started", Cause.USER_SIGNAL, 139),
        (exited(signal=35), "started", Cause.USER_SIGNAL, 163),
        (exited(signal=9), "started", Cause.INFRA_KILLED, 137),
        (exited(signal=9, limited=True), "started", Cause.POLICY_RUN_TIME, 137),
        (exited(0, limited=True), "started", Cause.POLICY_RUN_TIME, 0),
    ],
)
def test_the_cause_follows_the_step_and_the_exit(ended: Exit, status: str, cause: Cause, code: int) -> None:
    outcome = judge(ended, status)
    assert (outcome.cause, outcome.exit_code) == (cause, code)


@pytest.mark.parametrize("status", ["started", "environment", "package ROOT", "command"])
def test_what_fails_on_a_full_disk_may_end_better_elsewhere(status: str) -> None:
    outcome = judge(exited(1), status, disk_full=True)
    assert outcome.cause is Cause.INFRA_DISK_FULL
    assert outcome.cause.retryable


def test_a_job_that_ends_well_on_a_full_disk_has_ended_well() -> None:
    assert judge(exited(0), "started", disk_full=True).cause is Cause.OK


def test_the_reason_tells_strays_and_the_last_line() -> None:
    outcome = judge(exited(2, strays=3), "started", last_line="boom")
    assert outcome.reason == "exit code 2; 3 processes left behind, stopped; last line of stderr: boom"
    assert judge(exited(0, strays=1), "started", last_line="fine").reason == "1 process left behind, stopped"
    assert judge(exited(0), "started", last_line="fine").reason == ""


def test_the_reason_is_one_bounded_line_that_cannot_move_a_cursor() -> None:
    reason = judge(exited(1), "started", last_line="\x1b[2J\x9b\r\u202e\n" + "x" * 5000).reason
    assert len(reason) == MAX_REASON
    assert reason.isprintable()
    assert r"\x1b[2J\x9b\r\u202e\n" in reason
