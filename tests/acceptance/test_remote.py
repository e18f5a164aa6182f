"""`copilot-job-submit --remote`: jobs from a laptop that reaches neither Redis nor the file area."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import subprocess
import tarfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from copilot.job import State
from copilot.local.configuration import DOMAIN
from tests.acceptance.running import Up, run, script, started, until
from tests.patience import PATIENCE_S

BIG = random.Random(3).randbytes(5_000_000)


class Laptop:
    """Somebody's machine: the file from `copilot users add` is all that it has of the system."""

    def __init__(self, up: Up, name: str, *options: object) -> None:
        self.jid = f"{name}@{DOMAIN}"
        self.config = up.directory.parent / f"{name}.conf"
        made = run("copilot", "users", "add", name, "-o", self.config, "--config", up.etc, *options)
        assert made.returncode == 0, made.stderr

    def options(self, command: Path, *options: object) -> tuple[object, ...]:
        return ("--remote", "--config", self.config, "--command", command, *options)

    def look(self, verb: str, *options: object) -> subprocess.CompletedProcess[str]:
        """`copilot jobs` from there."""
        return run("copilot", "jobs", verb, "--remote", "--config", self.config, *options)

    @contextlib.contextmanager
    def as_agent(self) -> Iterator[Path]:
        """An agent that logs in under this account."""
        place = self.config.with_suffix(".agent")
        place.mkdir()
        ours = [line for line in self.config.read_text().splitlines() if "OWN_KEY" not in line]
        file = place / "agent.conf"
        file.write_text("\n".join([*ours, f"AGENT_WORK_DIR {place / 'work'}\n"]).replace("SUBMIT_", "AGENT_"))
        file.chmod(0o600)
        with started("copilot-agent", "--config", file, output=place / "out") as process:
            yield place / "out"
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


def uploads(program: subprocess.Popen[bytes], up: Up) -> bool:
    """Whether it has a connection to the file server."""
    port = int((up.directory / "files-port").read_text())
    return any(one.raddr and one.raddr.port == port for one in psutil.Process(program.pid).net_connections())


def ended(up: Up, job: str) -> bool:
    state = state_of(up, job)
    return state is not None and state.final


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    up = Up(ground / "system")
    with up.running("--agents", 1):
        yield up


@pytest.fixture(scope="module")
def ada(system: Up) -> Laptop:
    return Laptop(system, "ada", "--project", "atlas")


@pytest.fixture(scope="module")
def bob(system: Up) -> Laptop:
    return Laptop(system, "bob")


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


def test_a_job_waits_for_another_one_of_its_owner_and_one_is_held(
    system: Up, ada: Laptop, bob: Laptop, place: Path
) -> None:
    def submit(laptop: Laptop, *options: object) -> subprocess.CompletedProcess[str]:
        job = script(place / "job.sh", "exit 0")
        return run("copilot", "submit", "--remote", "--config", laptop.config, *options, job)

    assert submit(ada, "--hold", "--id", "first").returncode == 0
    assert submit(ada, "--after", "first", "--id", "second").returncode == 0
    assert (state_of(system, "first"), state_of(system, "second")) == (State.HELD, State.BLOCKED)
    refused = submit(bob, "--after", "first", "--id", "third")
    assert (refused.returncode, refused.stderr) == (1, "copilot: no job first of yours is known\n")
    assert bob.look("release", "first").stderr == "job first: is not known, or is not yours\n"
    released = ada.look("release", "first")
    assert (released.returncode, released.stdout) == (0, "job first: released; it waits at its old place\n")
    until(lambda: state_of(system, "second") is State.DONE, "both are done")


def test_an_array_is_submitted_waited_for_and_its_outputs_are_fetched(
    system: Up, ada: Laptop, bob: Laptop, place: Path
) -> None:
    job = script(place / "job.sh", 'echo "$1 of $COPILOT_ARRAY_SIZE"; exit $(( $1 == 1 ))')
    common = ("copilot", "submit", "--remote", "--config", ada.config)
    ended = run(*common, "--array", "2", "--id", "far", "--output-dir", place, "--unpack", job, "{index}")
    assert ended.returncode == 1, ended.stderr
    assert ended.stdout == f"array far: 1 done, 1 failed\n{place}/far.0\n{place}/far.1\n"
    assert (place / "far.1" / "stdout").read_text() == "1 of 2\n"
    stored = run(*common, "--array", "5", "--hold", "--id", "many", job)
    assert (stored.returncode, stored.stdout) == (0, "many\n"), stored.stderr
    some = ada.look("cancel", "many[1:3]", "--json")
    assert json.loads(some.stdout)[0]["text"] == "2 of 2 elements cancelled, or about to be", some.stderr
    stopped = ada.look("cancel", "many")
    assert (stopped.returncode, stopped.stdout) == (0, "job many: cancelled\n"), stopped.stderr
    assert "elements   5 cancelled" in ada.look("show", "many").stdout
    listed = json.loads(ada.look("list", "--state", "cancelled", "--json").stdout)
    assert [(job["elements"], job["counts"]) for job in listed["jobs"] if job["id"] == "many"] == [
        (5, {"cancelled": 5})
    ]
    assert re.search(r"^many\[5\] +cancelled", ada.look("list", "--state", "cancelled").stdout, re.MULTILINE)
    assert "many" not in bob.look("list", "--state", "cancelled").stdout
    assert "of the choices, --state and --limit alone" in ada.look("list", "many").stderr
    wrong = ada.look("release", "many[1:x]")
    assert (wrong.returncode, "'x' is no whole number" in wrong.stderr) == (2, True), wrong.stderr
    refused = run(*common, "--array", "100000", job)
    assert (refused.returncode, "submit smaller arrays" in refused.stderr) == (2, True), refused.stderr


def test_an_operator_looks_after_agents_from_afar_and_a_submitter_does_not(system: Up, ada: Laptop) -> None:
    opa = Laptop(system, "opa", "--role", "operator")
    agent = f"agent-1@{DOMAIN}"

    def wish(laptop: Laptop, verb: str, *options: object) -> subprocess.CompletedProcess[str]:
        return run("copilot", "agents", verb, "--remote", "--config", laptop.config, agent, *options)

    assert wish(ada, "quarantine").stderr == f"agent {agent}: only operators look after agents\n"
    quarantined = wish(opa, "quarantine", "--reason", "its disk clicks", "--json")
    assert json.loads(quarantined.stdout)[0]["ok"] is True, quarantined.stderr
    listed = run("copilot", "agents", "list", "--quarantine", "--json", "--config", system.etc)
    assert agent in listed.stdout
    assert wish(opa, "release").stdout == f"agent {agent}: gets jobs again\n"
    assert wish(opa, "quarantine", "--for", "1h").returncode == 2


def test_a_running_job_is_stopped_and_its_follower_hears_of_it(system: Up, ada: Laptop, place: Path) -> None:
    output = place / "out"
    options = ada.options(script(place / "long.sh", "sleep 300"), "--wait", "--json", "--id", "long")
    with started("copilot-job-submit", *options, output=output) as waiting:
        until(lambda: state_of(system, "long") is State.RUNNING, "the job runs")
        stopped = ada.look("cancel", "long")
        assert stopped.stdout == "job long: is running; its agent will be told to stop it\n"
        assert waiting.wait(PATIENCE_S) != 0
    assert json.loads(output.read_text())["state"] == "cancelled"


def test_an_agent_may_not_submit_and_a_submitter_gets_no_job(system: Up, ada: Laptop, place: Path) -> None:
    job = script(place / "job.sh", "exit 0")
    agents = (system.directory / "agents" / "agent-2.conf").read_text()
    file = place / "agent-2.conf"
    file.write_text("".join(f"{line}\n".replace("AGENT_", "SUBMIT_") for line in agents.splitlines()))
    file.chmod(0o600)
    refused = run("copilot-job-submit", "--remote", "--config", file, "--command", job, "--id", "by-an-agent")
    assert refused.returncode == 1
    assert "may not say wantUpload here" in refused.stderr
    assert state_of(system, "by-an-agent") is None
    nowhere = system.submit(job, "--requirements", "other.Tag == 9", "--id", "for-nobody")
    assert nowhere.returncode == 0
    with ada.as_agent() as output:
        until(lambda: "may not say want_getJob" in system.log("jobmanager"), "the refusal")
        assert "for-nobody" not in output.read_text()


def test_who_is_revoked_is_out_at_once_and_a_name_is_given_once(system: Up, ada: Laptop, place: Path) -> None:
    job = script(place / "job.sh", "exit 0")
    carl = Laptop(system, "carl", "--role", "operator", "--expires", "1h")
    assert carl.config.stat().st_mode & 0o777 == 0o600
    listed = json.loads(run("copilot", "users", "list", "--json", "--config", system.etc).stdout)
    assert [(one["jid"], one["role"]) for one in listed if one["jid"] in (ada.jid, carl.jid)] == [
        (ada.jid, "submitter"),
        (carl.jid, "operator"),
    ]
    again = run("copilot", "users", "add", "carl", "-o", place / "carl.conf", "--config", system.etc)
    assert (again.returncode, "is there already, as operator" in again.stderr) == (2, True)
    assert not (place / "carl.conf").exists()
    gone = run("copilot", "users", "revoke", "carl", "--config", system.etc)
    assert gone.stdout == f"{carl.jid}: revoked\n"
    refused = carl.submit(job, "--id", "too-late")
    assert refused.returncode == 1
    assert state_of(system, "too-late") is None


def test_killed_programs_and_managers_cost_nothing(system: Up, ada: Laptop, place: Path) -> None:
    """The manager dies between its URLs and the submission, the laptop's program after the upload; the same command goes on."""
    (place / "big.dat").write_bytes(BIG[::-1])
    job = script(place / "job.sh", "wc -c < big.dat")
    options = ada.options(job, "-i", place / "big.dat", "--id", "killed", "--output-dir", place)
    area = system.directory / "files" / "killed.a0"
    with started("copilot-job-submit", *options, output=place / "first") as first:
        with system.suspended("copilot-fileserver"):
            until(lambda: uploads(first, system), "the URLs")
            system.kill("copilot-jobmanager")
        until(lambda: any(area.rglob("big.dat")), "the upload")
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


HOGS = {  # each ends by itself, soon after it should have been stopped, and takes little of the machine
    "memory": (
        "x=$(head -c 60000000 /dev/zero | tr '\\0' a); sleep 10",
        ("--memory", "48 MiB", "--cpu-time", "60", "--file-size", "5 MiB"),
        ("memory 48 MiB, CPU time 60 s, file size 5 MiB", "more memory than the 48 MiB that it may"),
    ),
    "processes": (
        "n=0; while [ $n -lt 24 ]; do sleep 10 & n=$((n + 1)); done; wait",
        ("--processes", "8", "--open-files", "64", "--disk", "20 MiB"),
        ("processes 8, open files 64, disk 20 MiB", "8 are allowed"),
    ),
}


def test_who_asks_for_limits_is_held_to_them_and_told_so(system: Up, ada: Laptop, place: Path) -> None:
    """From afar and on the spot; what is told of it has the cause, what was used, and the level of the sandbox."""
    for kind, (text, options, _) in HOGS.items():
        submit = ada.submit if kind == "memory" else system.submit
        told = submit(script(place / f"{kind}.sh", text), *options, "--id", kind)
        assert told.returncode == 0, told.stderr
    for kind, (_, _, (limits, reason)) in HOGS.items():
        until(partial(ended, system, kind), f"the end of {kind}")
        shown = run("copilot", "jobs", "show", "--config", system.etc, kind).stdout
        assert f"job {kind}: failed (user-{kind}, " in shown
        for name, value in (
            ("limits", limits),
            ("reason", f".*{reason}"),
            ("used", "CPU time .*, memory .* MiB"),
        ):
            assert re.search(rf"^  {name} +{value}", shown, re.MULTILINE), (name, shown)
        assert re.search(r"^  sandbox +\S+, (watch|cgroup\d)$", shown, re.MULTILINE), shown
