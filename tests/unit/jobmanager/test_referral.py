"""A job manager that takes no output: it sends agents elsewhere, and promises nothing."""

from __future__ import annotations

import pytest

from copilot.jobmanager.referral import StorageReferral
from copilot.protocol import codec
from copilot.protocol.commands import (
    Command,
    GetJob,
    GetJobOutputDir,
    JobDone,
    Redirect,
    WantGetJobOutputDir,
)
from copilot.protocol.events import Received
from copilot.runtime.component import Actions, Online, Send, Withhold

STORAGE, AGENT = "sm@x", "agent@x/a"
INFO = codec.encode(WantGetJobOutputDir(job_id="j1"))
WANT = WantGetJobOutputDir(job_id="j1", agent_host="h")
GET = GetJobOutputDir(job_id="j1", agent_host="h", jm_job_data="claim")
DONE = JobDone(job_id="j1", exit_code=0, state="done", jm_job_data="claim")
OURS = frozenset({"storage"})


def heard(command: Command, features: frozenset[str] | None = OURS) -> Actions:
    received = Received(
        command=command, sender=AGENT, id="m", features=features, element=True, wants_ack=True, info=INFO
    )
    return StorageReferral(STORAGE).handle(received, 0.0)


@pytest.mark.parametrize("features", [OURS, None], ids=["ours", "2011"])
@pytest.mark.parametrize("command", [WANT, GET, DONE])
def test_what_is_asked_is_redirected_as_it_came(command: Command, features: frozenset[str] | None) -> None:
    first, *_ = heard(command, features)
    assert first == Send(to=AGENT, command=Redirect(referral=STORAGE, info=INFO))


@pytest.mark.parametrize("command", [GET, DONE])
def test_what_is_done_elsewhere_is_not_acknowledged_here(command: Command) -> None:
    assert heard(command)[-1] == Withhold()


@pytest.mark.parametrize(("command", "features"), [(WANT, OURS), (WANT, None), (GET, None), (DONE, None)])
def test_what_promises_nothing_is_acknowledged(command: Command, features: frozenset[str] | None) -> None:
    assert len(heard(command, features)) == 1


def test_everything_else_is_left_to_others() -> None:
    assert heard(GetJob(agent_host="h", jdl="[]")) == []
    referral = StorageReferral(STORAGE)
    assert referral.handle(Online(jid="jm@x/one"), 0.0) == []
