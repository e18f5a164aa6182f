"""Each pair of programs of both versions, by itself (`make versions`)."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from copilot.job import Cause, State
from copilot.local.configuration import DOMAIN
from copilot.local.redis import Redis
from tests.acceptance.running import Up, run, script, started, stop, until
from tests.acceptance.test_remote import Laptop
from tests.acceptance.test_secure import Site, site_fixture
from tests.versions.both import WAY_BACK, output_of, said, shown, submitted
from tests.versions.previous import QUIET, Release

site = site_fixture
SLOW = "touch {marks}/$1; until [ -e {marks}/go ]; do sleep 0.05; done"


@pytest.fixture
def hello(place: Path) -> Path:
    return script(place / "hello.sh", "echo hello; echo trouble >&2")


@pytest.fixture
def slow(place: Path) -> Path:
    place.chmod(0o777)
    return script(place / "slow.sh", SLOW.format(marks=place))


def done(system: Up, job: str) -> bool:
    return system.record(job).state is State.DONE


@contextlib.contextmanager
def agent(system: Up, version: Release | None) -> Iterator[subprocess.Popen[bytes]]:
    name = "copilot-agent"
    program = name if version is None else str(version.programs / name)
    with system.agent(program=program, **({} if version is None else QUIET)) as process:
        yield process
        if process.poll() is None:
            assert stop(process, signal.SIGTERM) == 0


@pytest.mark.parametrize("managers", ["new", "old"])
def test_an_agent_of_the_other_version_runs_cancels_and_leaves(
    managers: str, place: Path, old: Release, hello: Path, slow: Path
) -> None:
    system = Up(place / "system", programs=old.programs if managers == "old" else None)
    with system.running("--agents", 0), agent(system, old if managers == "new" else None) as one:
        submitted(system, hello, "hello")
        submitted(system, hello, "asking", "--requirements", "other.Memory >= 1")
        until(lambda: done(system, "hello") and done(system, "asking"), "two jobs")
        until(lambda: output_of(system, "hello"), "the output")
        assert output_of(system, "hello")["stdout"] == "hello\n"
        submitted(system, slow, "slow", "--arguments", "slow")
        until((place / "slow").exists, "a job runs")
        said(system, "jobs", "cancel", "slow")
        until(lambda: system.record("slow").state is State.CANCELLED, "it is cancelled")
        outcome = system.record("slow").outcome
        assert outcome is not None
        assert outcome.cause is Cause.CANCELLED
        submitted(system, slow, "last", "--arguments", "last")
        until((place / "last").exists, "another one runs")
        said(system, "agents", "drain", f"agent-1@{DOMAIN}")
        until(lambda: "takes nothing new" in (place / "machine-1" / "agent.out").read_text(), "the order")
        (place / "go").touch()
        until(lambda: one.poll() is not None, "the agent has left")
        assert one.returncode == 0
        assert done(system, "last")


def test_an_old_agent_runs_elements_of_an_array_and_its_output_cannot_be_followed(
    place: Path, old: Release, hello: Path, slow: Path
) -> None:
    system = Up(place / "system")
    with system.running("--agents", 0), agent(system, old):
        array = run("copilot", "submit", "--config", system.etc, "--name", "sim", "--array", 3, hello)
        assert array.returncode == 0, array.stderr
        until(lambda: all(done(system, f"sim.{index}") for index in range(3)), "its elements")
        submitted(system, slow, "slow", "--arguments", "slow")
        until((place / "slow").exists, "a job runs")
        shown = run("copilot", "jobs", "tail", "slow", "--config", system.etc)
        assert shown.returncode != 0
        assert "agent" in shown.stderr
        explained = json.loads(said(system, "jobs", "explain", "slow", "--json"))
        assert explained["code"] == "running"


@pytest.mark.parametrize("managers", ["new", "old"])
def test_a_submitter_of_the_other_version_from_afar(
    managers: str, place: Path, old: Release, hello: Path
) -> None:
    system = Up(place / "system", programs=old.programs if managers == "old" else None)
    submitter = "copilot-job-submit" if managers == "old" else str(old.programs / "copilot-job-submit")
    with system.running("--agents", 1):
        ada = Laptop(system, "ada")
        big = place / "big.dat"
        big.write_bytes(b"x" * 3_000_000)
        words = ada.options(hello, "--id", "far", "-i", big, "--output-dir", place, "--unpack", "--json")
        ended = run(submitter, *words, **QUIET)
        assert ended.returncode == 0, ended.stderr
        assert (place / "far" / "stdout").read_text() == "hello\n"
        if managers == "new":
            here = run(submitter, "--config", system.etc, "--command", hello, "--id", "near", **QUIET)
            assert here.returncode == 0, here.stderr
            until(lambda: done(system, "near"), "a job that was submitted on the spot")
        else:
            words = ("--remote", "--config", ada.config)
            sent = run("copilot", "submit", *words, "--name", "near", "--tag", "t", "--wait", hello)
            assert sent.returncode == 0, sent.stderr
            for options in (("--cores", 4), ("--hold",)):
                refused = run("copilot", "submit", *words, "--name", "later", *options, hello)
                assert (refused.returncode != 0, "older version" in refused.stderr) == (True, True), refused
            for verb, says in (("hold", "nothing was changed"), ("list", "lists no jobs from afar")):
                named = ("near",) if verb == "hold" else ()
                refused = run("copilot", "jobs", verb, *named, *words)
                assert (refused.returncode, says in refused.stderr) == (1, True), refused
            assert (
                json.loads(run("copilot", "jobs", "show", "near", "--json", *words).stdout)["state"] == "done"
            )


def test_no_job_is_lost_by_an_old_manager_beside_a_new_one(place: Path, old: Release, hello: Path) -> None:
    system = Up(place / "system")
    manager = str(old.programs / "copilot-jobmanager-generic")
    with system.running("--agents", 0):
        variables = {"JM_JABBER_RESOURCE": "forgotten", **QUIET}
        output = place / "forgotten.out"
        with started(manager, "--config", system.etc, output=output, **variables) as forgotten:
            until(lambda: "Ready as" in output.read_text() or forgotten.poll() is not None, "an old manager")
            assert forgotten.poll() is None, output.read_text()
            array = run("copilot", "submit", "--config", system.etc, "--name", "sim", "--array", 6, hello)
            assert array.returncode == 0, array.stderr
            with agent(system, None):
                until(lambda: "ERROR" in output.read_text() or "error" in output.read_text(), "its errors")
                forgotten.terminate()
                until(lambda: all(done(system, f"sim.{index}") for index in range(6)), "all elements")
            assert all(system.record(f"sim.{index}").attempts_used == 1 for index in range(6))


def test_an_old_monitor_beside_new_managers(place: Path, old: Release, hello: Path) -> None:
    system = Up(place / "system")
    with system.running("--agents", 1, monitor=True):
        pass
    with system.running("--agents", 1):
        monitor, output = str(old.programs / "copilot-monitor"), place / "monitor.out"
        with started(monitor, "--config", system.etc, output=output, **QUIET) as process:
            until(lambda: "Ready as" in output.read_text() or process.poll() is not None, "an old monitor")
            assert process.poll() is None, output.read_text()
            submitted(system, hello, "hello")
            until(lambda: done(system, "hello"), "a job")
            assert "Traceback" not in output.read_text()


@pytest.mark.parametrize("site", ["prosody"], indirect=True)
@pytest.mark.parametrize("managers", ["new", "old"])
def test_agents_and_managers_of_both_versions_seal_their_messages(
    managers: str, site: Site, old: Release
) -> None:
    of_managers = ("copilot-jobmanager-generic", "copilot-job-submit")  # both have the queue itself
    other = ("copilot-agent",) if managers == "new" else of_managers
    site.programs = {name: str(old.programs / name) for name in other}
    with site.manager("one"):
        site.share_keys()
        with site.agent():
            until(lambda: "Got sleep" in site.said("agent"), "the agent waits for work")
            site.does_a_job("sealed")


def test_the_way_back_and_forth_again(place: Path, old: Release, hello: Path) -> None:
    new, before = Up(place / "system"), Up(place / "system", programs=old.programs)
    with new.running("--agents", 1):
        submitted(new, hello, "one")
        until(lambda: output_of(new, "one"), "a job of this version")
        with redis.Redis.from_url(Redis(new.directory / "redis").url) as connection:
            connection.delete(*WAY_BACK)  # nothing waits or runs
    with before.running("--agents", 1):
        submitted(before, hello, "two")
        until(lambda: output_of(before, "two"), "a job of the release before")
    with new.running("--agents", 1):
        submitted(new, hello, "three")
        until(lambda: output_of(new, "three"), "a job of this version again")
        assert {job: one["state"] for job, one in shown(new).items()} == dict.fromkeys(
            ("one", "two", "three"), "done"
        )
