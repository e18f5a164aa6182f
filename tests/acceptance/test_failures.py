"""Jobs that go wrong, end to end: each ends in a record that tells the truth, and hurts no other job."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.running import Up, processes_of, script, until
from tests.acceptance.test_leases import confirmed

MEGABYTE = 1_000_000


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    """One system with two agents."""
    up = Up(ground / "system")
    with up.running("--agents", 2):
        yield up


@pytest.mark.parametrize("number", [signal.SIGSEGV, signal.SIGTERM, signal.SIGABRT])
def test_a_job_that_dies_by_a_signal_says_by_which(system: Up, place: Path, number: signal.Signals) -> None:
    record = system.job(script(place / "job.sh", f"kill -{number.value} $$"))
    assert (record["state"], record["cause"]) == ("failed", "user-signal")
    assert (record["exit_code"], record["attempt"]) == (128 + number, 1)
    assert record["reason"] == f"signal {number.value} ({number.name})"


def test_a_job_that_is_killed_from_outside_is_tried_again_as_often_as_asked(system: Up, place: Path) -> None:
    record = system.job(script(place / "job.sh", "kill -KILL $$"), "--max-attempts", 2)
    assert (record["state"], record["cause"], record["exit_code"]) == ("failed", "infra-killed", 137)
    assert record["attempt"] == 2


def test_a_job_that_fails_by_itself_is_tried_again_where_its_owner_says_so(system: Up, place: Path) -> None:
    place.chmod(0o777)
    flaky = script(place / "job.sh", f"[ -e {place}/seen ] && exit 0\ntouch {place}/seen\nexit 5")
    record = system.job(flaky, "--max-retries", 1)
    assert (record["state"], record["attempt"], record["exit_code"]) == ("done", 2, 0)


def test_children_that_a_job_leaves_behind_are_stopped_and_counted(system: Up, place: Path) -> None:
    record = system.job(script(place / "job.sh", "sleep 300 &\nsetsid sleep 301 &\nexit 0"))
    assert (record["state"], record["cause"], record["exit_code"]) == ("done", "ok", 0)
    assert record["reason"] == "2 processes left behind, stopped"
    assert not [process for process in processes_of(system.directory) if process.name() == "sleep"]


def test_a_job_with_200_megabytes_of_output_gets_all_of_it_home(system: Up, place: Path) -> None:
    half = 100 * MEGABYTE
    text = f"head -c {half} /dev/urandom\nhead -c {half} /dev/urandom > big"
    record = system.job(script(place / "job.sh", text))
    assert (record["state"], record["cause"]) == ("done", "ok")
    assert Path(record["output"]).stat().st_size > 200 * MEGABYTE


def test_a_job_whose_agent_is_killed_is_run_again(system: Up, place: Path) -> None:
    flag = place / "flag"
    place.chmod(0o777)
    text = f"[ -e {flag} ] && exit 0\ntouch {place}/begun\nsleep 300"
    assert system.submit(script(place / "job.sh", text), "--id", "orphan").returncode == 0
    until((place / "begun").exists, "the job")
    asyncio.run(confirmed(system, "orphan"))  # before that, it takes the dispatch limit
    (holder,) = (
        name for name in ("agent-1", "agent-2") if "job orphan, attempt 1: got it" in system.log(name)
    )
    system.kill(holder)
    flag.touch()
    until((system.directory / "done" / "orphan" / "orphan.tgz").exists, "the second attempt")
    record = system.record("orphan")
    assert (record.state, record.attempt) == ("done", 2)


def test_a_job_waits_for_an_agent_whose_host_has_the_required_file(up: Up, place: Path) -> None:
    required = place / "required"
    with up.running():
        with (up.etc / "copilot-jobmanager-generic.conf").open("a") as file:
            file.write(f"JM_JOB_REQUIRE_FILE {required}\n")
        up.kill("copilot-jobmanager")
        assert up.submit(script(place / "job.sh", "true"), "--id", "particular").returncode == 0
        until(lambda: f"requires {required}, which this host does not have" in up.log("agent-1"), "a refusal")
        # It may have been given to the agent, which was idle under the manager before; that one refuses it.
        until(lambda: up.record("particular").state == "waiting", "it is back in the queue")
        required.touch()
        until((up.directory / "done" / "particular" / "particular.tgz").exists, "the job")
