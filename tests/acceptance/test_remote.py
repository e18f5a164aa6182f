"""`copilot-job-submit --remote`: jobs from a laptop that reaches neither Redis nor the file area."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.job import State
from copilot.local.configuration import DOMAIN, MANAGER
from copilot.local.prosody import Prosody
from copilot.roles import Account, Standing
from tests.acceptance.running import Up, run, script, started, until

PASSWORD = "a password of the tests"
BIG = random.Random(3).randbytes(5_000_000)


class Laptop:
    """Somebody's machine: a configuration file is all that it has of the system."""

    def __init__(self, up: Up, name: str, standing: Standing | None, *projects: str) -> None:
        self.jid = f"{name}@{DOMAIN}"
        self.config = up.directory.parent / f"laptop-{name}"
        self.config.mkdir()
        asyncio.run(self._register(up, name, standing, projects))
        tls = up.directory / "prosody" / "tls"
        (self.config / "ca.pem").write_bytes((tls / "ca.pem").read_bytes())
        common = dict(
            line.split(" ", 1)
            for line in (up.etc / "Copilot.conf").read_text().splitlines()
            if line[:2] == "JM"
        )
        file = self.config / "copilot-submitter.conf"
        file.write_text(
            f"SUBMIT_JABBER_SERVER {common['JM_JABBER_SERVER']}\nSUBMIT_JABBER_PORT {common['JM_JABBER_PORT']}\n"
            f"SUBMIT_JABBER_DOMAIN {DOMAIN}\nSUBMIT_JABBER_ID {name}\nSUBMIT_JABBER_PASSWORD {PASSWORD}\n"
            f"SUBMIT_JABBER_CA_FILE {self.config / 'ca.pem'}\nJM_JABBER_ADDRESS {MANAGER}@{DOMAIN}\n"
        )
        file.chmod(0o600)

    async def _register(
        self, up: Up, name: str, standing: Standing | None, projects: tuple[str, ...]
    ) -> None:
        await Prosody(up.directory / "prosody", domain=DOMAIN).register(name, PASSWORD)
        if standing is None:
            return
        async with up.store() as store:
            await store.put_account(
                Account(jid=self.jid, standing=standing, projects=frozenset(projects)), password=PASSWORD
            )

    def options(self, command: Path, *options: object) -> tuple[object, ...]:
        return ("--remote", "--config", self.config, "--command", command, *options)

    def look(self, verb: str, *options: object) -> subprocess.CompletedProcess[str]:
        """`copilot jobs` from there."""
        return run("copilot", "jobs", verb, "--remote", "--config", self.config, *options)

    @contextlib.contextmanager
    def as_agent(self, up: Up) -> Iterator[Path]:
        """An agent that logs in under this account."""
        output, work = self.config / "agent.out", self.config / "work"
        settings = (self.config / "copilot-submitter.conf").read_text().replace("SUBMIT_", "AGENT_")
        file = self.config / "agent.conf"
        file.write_text(f"{settings}AGENT_WORK_DIR {work}\n")
        file.chmod(0o600)
        with started("copilot-agent", "--config", file, output=output) as process:
            yield output
            process.kill()

    def submit(self, command: Path, *options: object) -> subprocess.CompletedProcess[str]:
        return run("copilot-job-submit", *self.options(command, *options))


def state_of(up: Up, job: str) -> State | None:
    """None: the queue does not know it."""

    async def read() -> State | None:
        async with up.store() as store:
            record = await store.get(job)
            return None if record is None else record.state

    return asyncio.run(read())


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    up = Up(ground / "system")
    with up.running("--agents", 1):
        yield up


@pytest.fixture(scope="module")
def ada(system: Up) -> Laptop:
    return Laptop(system, "ada", Standing.SUBMITTER, "atlas")


@pytest.fixture(scope="module")
def bob(system: Up) -> Laptop:
    return Laptop(system, "bob", Standing.SUBMITTER)


def test_a_job_with_a_large_and_a_small_input_comes_back_with_its_output(
    system: Up, ada: Laptop, place: Path
) -> None:
    (place / "big.dat").write_bytes(BIG)
    (place / "small.txt").write_text("small\n")
    count = script(
        place / "count.sh", "wc -c < big.dat; cat data/small.txt; tac big.dat > turned.dat; exit 3"
    )
    inputs = ("-i", place / "big.dat", "-i", f"{place / 'small.txt'}=data/small.txt")
    ended = ada.submit(count, *inputs, "--id", "far-1", "--output-dir", place, "--unpack", "--json")
    assert ended.returncode == 3, ended.stderr
    told = json.loads(ended.stdout)
    assert (told["id"], told["state"], told["cause"], told["exit_code"]) == (
        "far-1",
        "failed",
        "user-exit",
        3,
    )
    assert told["output"] == str(place / "far-1")
    assert (place / "far-1" / "stdout").read_text() == f"{len(BIG)}\nsmall\n"
    record = system.record("far-1")
    assert (record.spec.owner, record.spec.project) == (ada.jid, "atlas")


def test_a_second_submitter_neither_sees_nor_stops_nor_overwrites(
    system: Up, ada: Laptop, bob: Laptop, place: Path
) -> None:
    nowhere = ("--requirements", "other.Cores > 100000", "--id", "mine")
    mine = script(place / "mine.sh", "exit 0")
    assert ada.submit(mine, *nowhere).stdout == "mine\n"
    refused = bob.submit(mine, *nowhere)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "there is a job mine already" in refused.stderr
    unknown = bob.look("cancel", "mine", "nothing")
    theirs, nothing = unknown.stderr.splitlines()
    assert (theirs.replace("mine", "nothing"), unknown.returncode, unknown.stdout) == (nothing, 1, "")
    assert system.record("mine").state is State.WAITING
    assert "waiting" in ada.look("show", "mine").stdout
    stopped = ada.look("cancel", "mine", "--reason", "no such host")
    assert (stopped.returncode, stopped.stdout) == (0, "job mine: cancelled\n")
    outcome = system.record("mine").outcome
    assert outcome
    assert outcome.reason == f"{ada.jid}: no such host"


def test_a_running_job_is_stopped_and_its_follower_hears_of_it(system: Up, ada: Laptop, place: Path) -> None:
    output = place / "out"
    options = ada.options(script(place / "long.sh", "sleep 300"), "--wait", "--json", "--id", "long")
    with started("copilot-job-submit", *options, output=output) as waiting:
        until(lambda: state_of(system, "long") is State.RUNNING, "the job runs")
        stopped = ada.look("cancel", "long")
        assert stopped.stdout == "job long: is running; its agent will be told to stop it\n"
        assert waiting.wait(30) != 0
    assert json.loads(output.read_text())["state"] == "cancelled"


def test_an_agent_may_not_submit_and_a_submitter_gets_no_job(system: Up, ada: Laptop, place: Path) -> None:
    job = script(place / "job.sh", "exit 0")
    agent = Laptop(system, "agent-9", None)  # an account of the domain, so an agent
    refused = agent.submit(job, "--id", "by-an-agent")
    assert refused.returncode == 1
    assert "may not say wantUpload here" in refused.stderr
    assert state_of(system, "by-an-agent") is None
    nowhere = system.submit(job, "--requirements", "other.Tag == 9", "--id", "for-nobody")
    assert nowhere.returncode == 0
    with ada.as_agent(system) as output:
        until(lambda: "may not say want_getJob" in system.log("jobmanager"), "the refusal")
        assert "for-nobody" not in output.read_text()


def test_killed_programs_and_managers_cost_nothing(system: Up, ada: Laptop, place: Path) -> None:
    """The manager dies between upload and submission, the laptop's program in the middle; the same command goes on."""
    (place / "big.dat").write_bytes(BIG[::-1])
    job = script(place / "job.sh", "wc -c < big.dat")
    options = ada.options(job, "-i", place / "big.dat", "--id", "killed", "--output-dir", place)
    area = system.directory / "files" / "killed.a0"
    with started("copilot-job-submit", *options, output=place / "first") as first:
        until(lambda: any(area.rglob("big.dat")), "the upload")
        system.kill("copilot-jobmanager")
        first.kill()
    with started("copilot-job-submit", *options, output=place / "second") as second:
        until(lambda: state_of(system, "killed") is not None, "the submission")
        second.kill()
    ended = run("copilot-job-submit", *options)
    assert (ended.returncode, ended.stdout) == (0, f"{place / 'killed.tgz'}\n"), ended.stderr
    with tarfile.open(place / "killed.tgz") as package:
        file = package.extractfile("killed/stdout")
        assert file
        assert file.read() == f"{len(BIG)}\n".encode()
    assert system.record("killed").attempt == 1


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--command", "missing.sh"), 2, "missing.sh: expected a file that exists"),
        (("--project", "cms"), 1, "does not belong to the project 'cms'"),
        (("--chirp-server", "x"), 2, "not with --remote"),
        (("--unpack",), 2, "--unpack: where?"),
    ],
)
def test_an_error_is_one_clear_line(
    ada: Laptop, place: Path, options: tuple[str, ...], code: int, message: str
) -> None:
    ended = ada.submit(script(place / "job.sh", "exit 0"), *options)
    assert (ended.returncode, ended.stdout, ended.stderr.count("\n")) == (code, "", 1), ended.stderr
    assert ended.stderr.startswith("copilot-job-submit: ")
    assert message in ended.stderr
