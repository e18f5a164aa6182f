"""Which job and which message a line is about."""

from __future__ import annotations

import pytest

from copilot.log import JobRef, MessageRef
from copilot.protocol.commands import (
    CancelJob,
    Command,
    GetJob,
    GetJobOutputDir,
    HaveGetJobOutputDir,
    HeldJob,
    Job,
    RenewLease,
    RunJob,
)
from copilot.runtime.about import job_ref, message_ref


@pytest.mark.parametrize(
    ("command", "ref"),
    [
        (RunJob(job=Job(id="j", command="c", attempt=3)), JobRef("j", 3)),
        (RunJob(job=Job(id="j.a2", command="c")), JobRef("j", 2)),  # to an agent of 2011
        (RunJob(job=Job(id="j", command="c")), JobRef("j", 1)),
        (CancelJob(job_id="j", attempt=3), JobRef("j", 3)),
        (GetJobOutputDir(job_id="j", agent_host="h"), JobRef("j")),
        (GetJobOutputDir(job_id="j.a2", agent_host="h"), JobRef("j", 2)),
        (HaveGetJobOutputDir(), None),
        (GetJob(agent_host="h", jdl="[]"), None),
        (RenewLease(held=(HeldJob(id="j", attempt=1),)), None),
    ],
)
def test_the_job_that_a_command_names(command: Command, ref: JobRef | None) -> None:
    assert job_ref(command) == ref
    told = message_ref("m", command)
    assert told == (MessageRef("m") if ref is None else MessageRef("m", ref.job, ref.attempt))


def test_a_message_that_nobody_could_read() -> None:
    assert message_ref("m", None) == MessageRef("m")
    assert str(message_ref(None, None)) == "without an id"
