"""Every captured stanza of 2011 decodes to the command that its file is named after."""

from __future__ import annotations

from pathlib import Path

import pytest
from lxml import etree

from copilot.protocol import codec
from copilot.protocol.commands import JobDone, Redirect, RunJob, StoreJobOutputDir, WantGetJobOutputDir

STANZAS = Path(__file__).parents[2] / "wire" / "2011"
COMMAND_FILES = sorted(path for path in STANZAS.glob("*.xml") if not path.name.startswith("ack."))
ACK_FILES = sorted(STANZAS.glob("ack.*.xml"))


def message(path: Path) -> etree._Element:
    return etree.fromstring(path.read_bytes())


def decoded(name: str) -> object:
    root = message(STANZAS / name)
    return codec.decode(codec.element_from_tree(root[0][0]))[0]


@pytest.mark.parametrize("path", COMMAND_FILES, ids=lambda path: path.stem)
def test_a_command_of_2011_is_read(path: Path) -> None:
    command, features = codec.decode(codec.element_from_tree(message(path)[0][0]))
    assert path.name.replace("redirect-bounce.", "").startswith(f"{command.NAME}.")
    assert features is None


@pytest.mark.parametrize("path", ACK_FILES, ids=lambda path: path.stem)
def test_an_ack_of_2011_has_one_id_and_no_body(path: Path) -> None:
    root = message(path)
    assert root.get("ack")
    assert len(root) == 0


def test_what_a_manager_of_2011_orders_is_understood() -> None:
    run = decoded("runJob.sent-by-jm.xml")
    assert isinstance(run, RunJob)
    assert run.job.command == "calculator.sh"
    assert run.job.input_files == ("calculator.sh",)
    assert run.job.environment == "export FOO=bar"
    assert run.job.chirp_url == "127.0.0.1:19094"
    assert run.jm_job_data == "startedAt=1795206693"
    stored = decoded("storeJobOutputDir.as-delivered-to-agent.xml")
    assert isinstance(stored, StoreJobOutputDir)
    assert stored.output_chirp_url == "127.0.0.1:19094"


def test_what_an_agent_of_2011_reports_is_understood() -> None:
    want = decoded("want_getJobOutputDir.as-delivered-to-jm.xml")
    assert isinstance(want, WantGetJobOutputDir)
    assert want.agent_ip == "todo"
    done = decoded("jobDone.sent-by-agent.xml")
    assert isinstance(done, JobDone)
    assert (done.exit_code, done.state, done.jm_job_data) == (0, "ready", "startedAt=1795206693")


def test_a_redirect_of_2011_carries_the_message_to_pass_on() -> None:
    redirect = decoded("redirect.as-delivered-to-agent.xml")
    assert isinstance(redirect, Redirect)
    assert redirect.referral == "sm@localhost"
    inner, _ = codec.decode(redirect.info)
    assert inner.NAME == "want_getJob"
