"""`copilot up`: instructions that hold, data that stay, and nothing left behind however it ends."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
import signal
import socket
import ssl
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from copilot.local import certificates
from tests.acceptance.running import (
    LIMIT_S,
    Up,
    gone,
    packed,
    processes_of,
    run,
    script,
    started,
    stop,
    until,
)
from tests.patience import PATIENCE_S

PROGRAMS = (
    "copilot-agent",
    "copilot-jobmanager",
    "copilot-storagemanager",
    "copilot-monitor",
    "copilot-fileserver",
    "redis",
    "prosody",
)


@pytest.fixture(scope="module")
def system(ground: Path) -> Iterator[Up]:
    """One system for all tests that leave it as it was."""
    up = Up(ground / "shared")
    with up.running(monitor=True):
        yield up


def sleeps(up: Up) -> set[str]:
    """Which `sleep`s of jobs run: their last arguments."""
    found = set()
    for process in processes_of(up.directory):
        with contextlib.suppress(psutil.Error):
            line = process.cmdline()
            found |= {line[-1]} if line[:1] == ["sleep"] else set()
    return found


@pytest.fixture
def sum_(place: Path) -> Path:
    return script(place / "sum.sh", "echo $((2+2))")


def test_the_printed_line_submits_a_job_as_it_stands(system: Up, sum_: Path) -> None:
    line = re.search(r"Submit a job: +copilot (submit .*)", system.said())
    assert line is not None
    options = shlex.split(line[1].replace("FILE", str(sum_)))
    ended = run("copilot", *options)
    assert ended.returncode == 0, ended.stderr
    assert Path(ended.stdout.strip()).is_relative_to(system.directory / "done")


def test_the_doctor_finds_no_fault_and_changes_nothing(system: Up) -> None:
    logs = {file: len(file.read_bytes()) for file in (system.directory / "log").glob("*.log")}
    ended = run("copilot", "doctor", "--config", system.etc, "--json")
    told = json.loads(ended.stdout)
    assert (ended.returncode, told["fault"]) == (0, 0), told
    found = {one["check"]: one["findings"][0]["seen"] for one in told["checks"]}
    assert "believes what managers sign" in found["fileserver"]
    assert "as here" in found["versions"]
    said = b"".join(file.read_bytes()[size:] for file, size in logs.items())
    assert b"[warning]" not in said, said
    assert b"[error]" not in said, said


def test_the_doctor_finds_a_wrong_password_of_an_agent(system: Up, place: Path) -> None:
    text = (system.directory / "agents" / "agent-1.conf").read_text()
    broken = place / "copilot-agent.conf"
    broken.write_text(re.sub(r"(?m)^AGENT_JABBER_PASSWORD .*$", "AGENT_JABBER_PASSWORD s3cret-wrong", text))
    broken.chmod(0o600)
    ended = run("copilot", "doctor", "--config", broken, "xmpp-login", "xmpp-reach")
    assert ended.returncode == 1, ended.stderr
    reach, login, *more = ended.stdout.splitlines()
    assert (reach[:8], login[:8]) == ("ok      ", "fault   ")
    assert "cure: make the account or give it the password of AGENT_JABBER_PASSWORD" in "".join(more)
    assert "s3cret" not in ended.stdout + ended.stderr


def test_the_printed_address_shows_what_goes_on(system: Up, sum_: Path) -> None:
    line = re.search(r"Look at it: +(http://127\.0\.0\.1:\d+/) ", system.said())
    assert line is not None

    def shown(path: str) -> Any:
        with urllib.request.urlopen(f"{line[1]}api/{path}", timeout=LIMIT_S) as answer:
            return json.load(answer)

    before = shown("now")["jobs"]["done"]
    job = system.job(sum_)["id"]
    until(lambda: shown("now")["jobs"]["done"] > before, "the job on the dashboard")
    assert shown(f"job/{job}")["state"] == "done"
    heard = "jobmanager.generic.jobmanager"
    until(lambda: heard in {one["name"] for one in shown("now")["components"]}, "the manager's report")


def test_the_printed_line_asks_all_components(system: Up) -> None:
    line = re.search(r"Ask them all: +copilot-heartbeat (.*)", system.said())
    assert line is not None
    options = shlex.split(line[1])
    expected = {"jobmanager", "storagemanager", "monitor", "agent-1"}

    def nicks() -> set[str]:
        asked = run("copilot-heartbeat", *options)
        return {words[0] for row in asked.stdout.splitlines()[1:] if (words := row.split())}

    until(lambda: nicks() == expected, "an answer of each")


def test_no_secret_is_on_a_command_line_or_in_a_log_or_readable_for_others(system: Up, sum_: Path) -> None:
    assert system.job(sum_)["state"] == "done"
    secrets = [
        *json.loads((system.directory / "passwords").read_text()).values(),
        (system.directory / "redis" / "password").read_text().strip(),
        *re.findall(r"[\w+/=-]{20,}", (system.directory / "state" / "claim.secret").read_text()),
    ]
    assert len(secrets) >= 5
    seen = system.said()
    for process in psutil.process_iter(["cmdline"]):
        seen += " ".join(process.info["cmdline"] or [])
    logs = list(system.directory.glob("**/*.log*"))
    assert {log.stem for log in logs} >= {"prosody", "redis", "jobmanager", "storagemanager", "agent-1"}
    seen += "".join(log.read_text(errors="replace") for log in logs)
    assert [secret for secret in secrets if secret in seen] == []
    assert "&s=" not in seen, "the signature of a URL"
    for file in system.directory.glob("**/*"):
        if file.is_file() and any(secret in file.read_text(errors="replace") for secret in secrets):
            assert file.stat().st_mode & 0o077 == 0, f"{file} is readable for others"


def test_a_second_system_on_the_same_directory_is_refused_and_touches_nothing(
    system: Up, sum_: Path, place: Path
) -> None:
    files = [*system.etc.iterdir(), *system.directory.glob("log/*"), *system.directory.glob("prosody/*")]
    before = {file: file.stat().st_ino for file in files}  # a start makes new files; a log goes on meanwhile
    second = run("copilot", "up", "--dir", system.directory)
    assert second.returncode == 2
    assert re.fullmatch(
        r"copilot: \S+: another system runs there already \(process \d+\)\. .*\n", second.stderr
    )
    assert {file: file.stat().st_ino for file in before} == before
    assert system.job(sum_)["state"] == "done"


def test_two_systems_in_two_directories_do_not_disturb_each_other(system: Up, up: Up, sum_: Path) -> None:
    with up.running():
        for one in (system, up):
            record = one.job(sum_, "--id", f"both-{one.directory.name}")
            assert record["output"].startswith(str(one.directory))
    assert system.job(sum_)["state"] == "done"
    until(lambda: gone(up.directory), "the end of all processes")


def test_jobs_outputs_and_waiting_jobs_stay_over_a_restart(up: Up, sum_: Path) -> None:
    with up.running():
        before = up.job(sum_, "--id", "before")
    with up.running("--agents", 0):
        assert up.submit(sum_, "--id", "meanwhile").returncode == 0
        again = up.submit(sum_, "--id", "before")
        assert (again.returncode, "before was submitted before, and is done" in again.stderr) == (0, True)
        taken = up.submit(sum_, "--id", "before", "--priority", "1")
        assert (taken.returncode, "there is a job before already" in taken.stderr) == (1, True)
    with up.running("--agents", 1):
        done = up.directory / "done" / "meanwhile" / "meanwhile.tgz"
        until(done.exists, "the job that was submitted before the restart")
    assert packed(before)["stdout"] == "4\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_in_order_and_the_job_that_ran_is_run_again(
    up: Up, place: Path, number: signal.Signals
) -> None:
    flag = place / "flag"
    endless = script(place / "first.sh", f"[ -e {flag} ] && exit 0\nsleep 301 & setsid sleep 302 & sleep 303")
    with up.running() as process:
        assert up.submit(endless, "--id", "first").returncode == 0
        until(lambda: sleeps(up) == {"301", "302", "303"}, "the job and what it started")
        assert stop(process, number) == 0
        assert up.said().endswith("Stopping ...\nStopped.\n")
        until(lambda: gone(up.directory), "the end of all processes")
    flag.touch()
    with up.running():
        until((up.directory / "done" / "first" / "first.tgz").exists, "the second attempt")


def test_ctrl_c_ends_a_start_that_is_not_finished(up: Up) -> None:
    with started("copilot", "up", "--dir", up.directory, output=up.output) as process:
        until(lambda: "Starting" in up.said(), "the first line")
        assert stop(process) == 0
    assert up.said().endswith("Stopped.\n")
    assert "Traceback" not in up.said()
    until(lambda: gone(up.directory), "the end of all processes")


def test_kill_9_leaves_no_process_of_the_system_and_none_of_its_jobs_and_loses_nothing(
    up: Up, sum_: Path, place: Path
) -> None:
    family = script(
        place / "family.sh",
        "sleep 301 &\nsetsid sleep 302 &\n(setsid sh -c 'sleep 303 & sleep 304' &)\nsleep 305",
    )
    with up.running() as process:
        assert up.submit(family, "--id", "family", "--max-attempts", 1).returncode == 0
        until(lambda: sleeps(up) == {"301", "302", "303", "304", "305"}, "the job's processes")
        process.kill()
        process.wait()
        until(lambda: gone(up.directory), "the end of all processes")
    with up.running():
        assert up.job(sum_)["state"] == "done"
        until(lambda: up.record("family").state.final, "the report about the job that was killed")
        outcome = up.record("family").outcome
        assert outcome is not None
        assert outcome.cause == "infra-lost"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--listen", "0.0.0.0"), "--listen 0.0.0.0: expected the one IP address of this machine"),
        (("--listen", "localhost"), "--listen localhost: expected the one IP address of this machine"),
        (("--listen", "192.0.2.1"), "Is it an address of this machine?"),
        (("--dir", "/proc/system"), "the directory /proc/system cannot be made"),
    ],
)
def test_a_wrong_option_is_one_clear_line(place: Path, options: tuple[str, str], message: str) -> None:
    refused = run("copilot", "up", "--dir", place / "system", *options)
    assert refused.returncode == 2
    assert refused.stderr.startswith("copilot: ")
    assert message in refused.stderr
    assert refused.stderr.count("\n") == 1


@pytest.mark.parametrize("program", PROGRAMS)
def test_what_is_killed_is_started_again_and_the_next_job_gets_done(
    system: Up, sum_: Path, program: str
) -> None:
    system.kill(program)
    assert system.job(sum_)["state"] == "done"


def test_an_agent_that_was_told_to_leave_is_not_started_again(up: Up) -> None:
    with up.running():
        run("copilot", "agents", "drain", "--config", up.etc, "agent-1@copilot.internal")
        until(lambda: "agent-1 has left, as it was told; it is not started again" in up.said(), "its leave")
        assert not [process for process in processes_of(up.directory) if process.name() == "copilot-agent"]


def test_what_does_not_last_is_given_up_and_everything_stopped(up: Up) -> None:
    with up.running():
        pass
    with socket.socket() as other:
        other.bind(("127.0.0.1", int((up.directory / "files-port").read_text())))
        other.listen()
        ended = run("copilot", "up", "--dir", up.directory)
    assert ended.returncode == 1, ended.stderr
    assert "copilot: fileserver ended 5 times in a row" in ended.stderr
    assert "Traceback" not in ended.stderr.rpartition("copilot: ")[2]
    until(lambda: gone(up.directory), "the end of all processes")


def test_a_job_that_is_waited_for_gets_home_though_redis_dies_meanwhile(system: Up, place: Path) -> None:
    flag = place / "flag"
    waiting = script(place / "waiting.sh", f"until [ -e {flag} ]; do sleep 0.1; done")
    output = place / "out"
    options = ("--config", system.etc, "--command", waiting, "--wait")
    with started("copilot-job-submit", *options, output=output) as submit:
        until(lambda: "running" in output.read_text(), "the job")
        system.kill("redis")
        until(lambda: "Redis does not answer" in output.read_text(), "a word about it")
        flag.touch()
        assert submit.wait(PATIENCE_S) == 0, output.read_text()


def test_with_listen_only_two_ports_are_open_there_and_both_speak_tls(
    up: Up, sum_: Path, place: Path
) -> None:
    with up.running():
        assert up.job(sum_)["state"] == "done"
    with up.running("--listen", "127.0.0.2", "--agents", 0, monitor=True):
        ports = [
            one.laddr
            for process in processes_of(up.directory)
            for one in process.net_connections("inet")
            if one.status == psutil.CONN_LISTEN or one.type == socket.SOCK_DGRAM
        ]
        assert {address.ip for address in ports} == {"127.0.0.1", "127.0.0.2"}
        opened = {address.port for address in ports if address.ip == "127.0.0.2"}
        xmpp = int((up.directory / "prosody" / "port").read_text())
        files = int((up.directory / "files-port").read_text())
        assert opened == {xmpp, files}

        authority = up.directory / "prosody" / "tls" / "ca.pem"
        stranger = certificates.ensure(place / "stranger", ["copilot.internal", "127.0.0.2"]).ca_file
        for ca_file, trusted in ((authority, True), (stranger, False)):
            assert shakes_hands(connect(files), ca_file, "127.0.0.2") is trusted
            proceed, line = say(xmpp, START_TLS)
            assert b"proceed" in proceed
            assert shakes_hands(line, ca_file, "copilot.internal") is trusted
        refusal, line = say(xmpp, LOG_IN)
        assert b"encryption-required" in refusal
        line.close()
        with connect(files) as plain:
            plain.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert b"HTTP" not in plain.recv(1000)
        with up.agent(1):
            assert up.job(sum_)["agent"] == "agent-1@copilot.internal"


STREAM = (
    b"<stream:stream to='copilot.internal' version='1.0' xmlns='jabber:client' "
    b"xmlns:stream='http://etherx.jabber.org/streams'>"
)
START_TLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
LOG_IN = b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>"


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.2", port), timeout=LIMIT_S)


def say(port: int, word: bytes) -> tuple[bytes, socket.socket]:
    """The answer to an element at the beginning of an XMPP stream without TLS, and the connection."""
    line = connect(port)
    answer = b""
    for words, end in ((STREAM, b"</stream:features>"), (word, b"/>")):
        line.sendall(words)
        answer = b""
        while end not in answer:
            answer += (more := line.recv(1))
            assert more, answer
    return answer, line


def shakes_hands(connection: socket.socket, ca_file: Path, name: str) -> bool:
    """Whether one who trusts this authority alone trusts the other side to be `name`."""
    context = ssl.create_default_context(cafile=str(ca_file))
    with connection:
        try:
            context.wrap_socket(connection, server_hostname=name).close()
        except ssl.SSLCertVerificationError:
            return False
    return True
