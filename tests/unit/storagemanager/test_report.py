"""What the reports of our agents and of those of 2011 mean."""

from __future__ import annotations

import os

import pytest

from copilot.job import Cause, Output
from copilot.protocol.commands import JobDone
from copilot.storagemanager.report import exit_code_of, outcome_of_2011

OUTPUT = Output(size=1, sha256="0" * 64)


@pytest.mark.parametrize(
    ("status", "code"), [(0, 0), (256, 1), (768, 3), (255 << 8, 255), (15, 143), (9 | 0x80, 137), (-1, 127)]
)
def test_a_wait_status_becomes_an_exit_code(status: int, code: int) -> None:
    assert exit_code_of(status) == code


@pytest.mark.parametrize("status", [65536, 10**9, -2])
def test_what_is_no_wait_status_is_no_success(status: int) -> None:
    assert exit_code_of(status) != 0


@pytest.mark.parametrize(("script", "code"), [("exit 3", 3), ("kill -TERM $$", 143)])
def test_the_system_means_the_same(script: str, code: int) -> None:
    assert exit_code_of(os.system(script)) == code


@pytest.mark.parametrize(
    ("status", "validated", "cause", "code"),
    [
        (0, None, Cause.OK, 0),
        (0, 0, Cause.OK, 0),
        (0, 256, Cause.USER_VALIDATION, 0),
        (768, None, Cause.USER_EXIT, 3),
        (768, 256, Cause.USER_EXIT, 3),
        (11, None, Cause.USER_SIGNAL, 139),
        (9, None, Cause.INFRA_KILLED, 137),
        (-1, None, Cause.USER_NO_COMMAND, 127),
    ],
)
def test_the_cause_is_found_in_the_statuses(
    status: int, validated: int | None, cause: Cause, code: int
) -> None:
    report = JobDone(job_id="j", exit_code=status, state="done", agent_host="h", validate_exit_code=validated)
    outcome = outcome_of_2011(report, OUTPUT)
    assert (outcome.cause, outcome.exit_code, outcome.host, outcome.output) == (cause, code, "h", OUTPUT)
    assert (outcome.reason == "") == (
        cause not in (Cause.USER_SIGNAL, Cause.INFRA_KILLED, Cause.USER_NO_COMMAND)
    )


def test_a_lost_output_is_worth_another_attempt() -> None:
    report = JobDone(job_id="j", exit_code=768, state="done")
    outcome = outcome_of_2011(report, None)
    assert (outcome.cause, outcome.exit_code, outcome.output) == (Cause.INFRA_STORE, 3, None)
    assert "output" in outcome.reason
