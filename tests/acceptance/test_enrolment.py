"""Agents come in by bundles, and go when somebody revokes them: the real commands on a system of the real servers."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import shlex
import shutil
import signal
import stat
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from copilot.local.process import identity, unprivileged_user
from copilot.protocol.nick import nick
from tests.acceptance.plain import pythons
from tests.acceptance.running import Up, packed, run, script, service, started, stop, until
from tests.patience import PATIENCE_S
from tools.pack import onefile

GONE, REFUSED, LATER = 77, 77, 75  # exit codes


class Joined:
    """An agent on another machine, of which nobody knows more than the bundle."""

    def __init__(self, place: Path, bundle: Path) -> None:
        self.work = place / "work"
        self.output = place / "agent.out"
        self.bundle = place / "bundle.conf"
        place.mkdir(mode=0o755, parents=True)
        self.work.mkdir(mode=0o700)
        shutil.copyfile(bundle, self.bundle)
        self.bundle.chmod(0o600)
        if (user := unprivileged_user()) is not None:
            for path in (self.work, self.bundle):
                shutil.chown(path, user)

    @property
    def said(self) -> str:
        return self.output.read_text() if self.output.exists() else ""

    @property
    def jid(self) -> str:
        found = re.search(r"Ready as (agent-[^/\s]+)/", self.said)
        assert found, self.said
        return found[1]

    @contextlib.contextmanager
    def running(
        self, *, ready: bool = True, options: tuple[object, ...] = ()
    ) -> Iterator[subprocess.Popen[bytes]]:
        chosen = options or ("--join", self.bundle, "--dir", self.work)
        variables = {"AGENT_DRAIN_GRACE": "0", "AGENT_REQUEST_INTERVAL": "1s", **service()}
        with started("copilot-agent", *chosen, output=self.output, **variables) as process:
            if ready:
                until(
                    lambda: "Ready as agent-" in self.said or process.poll() is not None,
                    f"the agent: {self.said}",
                )
                assert process.poll() is None, self.said
            yield process
            if process.poll() is None:
                stop(process)

    def ends(self) -> tuple[int, str]:
        """Its exit code, and what it says, if it does not stay."""
        with self.running(ready=False) as process:
            until(lambda: process.poll() is not None, f"the end of the agent: {self.said}")
            return process.returncode, self.said


@pytest.fixture(scope="module")
def up(ground: Path) -> Iterator[Up]:
    """A system without agents of its own."""
    system = Up(ground / "enrolment")
    with system.running("--agents", "0", monitor=True):
        yield system


class Desk:
    """The operator's commands."""

    def __init__(self, up: Up, place: Path) -> None:
        self.up = up
        self.place = place
        self._agents = 0

    def run(self, *arguments: object, code: int = 0) -> str:
        ended = run("copilot", *arguments, "--config", self.up.etc)
        assert ended.returncode == code, ended.stderr
        return ended.stderr if code else ended.stdout

    def bundle(self, *options: object) -> tuple[str, Path]:
        """A new bundle: its id and its file."""
        self._agents += 1
        file = self.place / f"b{self._agents}.conf"
        told = json.loads(self.run("bundle", "create", "-o", file, "--json", *options))
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        return told["id"], file

    def joined(self, bundle: Path) -> Joined:
        self._agents += 1
        return Joined(self.place / f"machine-{self._agents}", bundle)

    def agents(self) -> dict[str, Any]:
        return {one["agent"]: one for one in json.loads(self.run("agents", "list", "--json"))}


@pytest.fixture
def desk(up: Up, place: Path) -> Desk:
    return Desk(up, place)


def test_an_agent_comes_in_by_a_bundle_does_a_job_and_needs_the_bundle_no_more(desk: Desk) -> None:
    ident, file = desk.bundle("--project", "theory")
    agent = desk.joined(file)
    with agent.running():
        jid = agent.jid
        record = desk.up.job(script(desk.place / "sum.sh", "echo $((2+2))"), "--project", "theory")
        assert packed(record)["stdout"] == "4\n"
        assert record["agent"] == jid
        assert "Secure mode is on" in agent.said
    facts = desk.agents()[jid]
    assert (facts["bundle"], facts["projects"]) == (ident, ["theory"])
    credentials = agent.work / "agent.conf"
    assert stat.S_IMODE(credentials.stat().st_mode) == 0o600
    agent.bundle.write_text("")
    with agent.running(options=("--dir", agent.work)):
        assert agent.jid == jid
    with agent.running(options=("--join", file, "--dir", agent.work)):
        assert agent.jid == jid
        assert "is in already" in agent.said
    code, said = desk.joined(file).ends()  # it was for one
    assert code == REFUSED
    assert "has let in as many agents as it may" in said or "was used up or revoked" in said
    (bundle,) = (one for one in json.loads(desk.run("bundle", "list", "--json")) if one["id"] == ident)
    assert (bundle["used"], bundle["state"]) == (1, "used-up")
    secrets = re.findall(r"(?:PASSWORD|SECRET) (\S+)", file.read_text() + credentials.read_text())
    assert len(secrets) == 3
    logs = agent.said + "".join(path.read_text() for path in (desk.up.directory / "log").iterdir())
    assert not any(secret in logs for secret in secrets)


@pytest.mark.timeout(180)  # the first time it fetches what it packs
def test_the_agent_as_one_file_comes_in_by_a_bundle_and_does_a_job(desk: Desk) -> None:
    """A plain Python, no variable of ours, no package of ours: nothing but the file and a bundle."""
    user = unprivileged_user()
    python, version = next(pythons(user), (None, ""))
    if python is None:
        pytest.skip(f"no Python of 3.11 or newer that {user} can start")
    _, bundle = desk.bundle("--project", "one-file")
    program, home, output = (desk.place / name for name in ("copilot-agent.pyz", "home", "said"))
    onefile.write(program, onefile.make([version], level=1))
    home.mkdir()
    if user is not None:
        shutil.chown(bundle, user)
        shutil.chown(home, user)
    nothing = {"HOME": str(home), "PATH": "/usr/bin:/bin", "AGENT_SANDBOX": "none", "AGENT_IMAGES": "none"}
    argv = [python, program, "--join", bundle, "--dir", home / "work"]
    with (
        output.open("wb") as file,
        subprocess.Popen(argv, env=nothing, cwd=home, stdout=file, stderr=file, **identity(user)) as process,
    ):
        try:
            until(
                lambda: "Ready as agent-" in output.read_text() or process.poll() is not None,
                "the agent's login",
            )
            assert process.poll() is None, output.read_text()
            record = desk.up.job(script(desk.place / "sum.sh", "echo $((2+2))"), "--project", "one-file")
            assert packed(record)["stdout"] == "4\n"
            mapped = Path(f"/proc/{process.pid}/maps").read_text()
            assert f"{home}/.cache/copilot-agent/" in mapped
            assert "site-packages" not in mapped, "all that is compiled comes out of the file"
            assert stop(process) == 0
        finally:
            process.kill()


def test_the_printed_line_makes_a_bundle_by_which_an_agent_comes_in_and_reports_to_the_monitor(
    desk: Desk,
) -> None:
    printed = re.search(r"Add a machine: copilot (bundle create .*) -o bundle.conf\n", desk.up.said())
    assert printed is not None
    file = desk.place / "bundle.conf"
    made = run("copilot", *shlex.split(printed[1]), "-o", file)
    assert (made.returncode, made.stderr) == (0, "")
    agent = desk.joined(file)
    before = told(desk.up, "agent").get("job.succeeded", 0)
    with agent.running():
        me = re.search(r"Ready as (agent-\S+)", agent.said)
        assert me is not None
        until(
            lambda: "system.load.1min" in told(desk.up, f"agent.{nick(me[1])}"), "what it tells of its host"
        )
        assert desk.up.job(script(desk.place / "true.sh", "true"))["state"] == "done"
        until(lambda: told(desk.up, "agent").get("job.succeeded", 0) == before + 1, "the event")
    log = desk.up.log("monitor")
    assert "Secure mode is off; who speaks sealed is answered so" in log
    assert "not-opened" not in log
    managers = ("jobmanager.generic.jobmanager", "monitor.monitor")
    assert all(told(desk.up, name) for name in managers), "services report sealed, too"


def told(up: Up, name: str) -> dict[str, Any]:
    """What the dashboard shows of a component: its values and how often its events have happened."""
    address = re.search(r"Look at it: +(http://127\.0\.0\.1:\d+/) ", up.said())
    assert address is not None
    with urllib.request.urlopen(f"{address[1]}api/now", timeout=PATIENCE_S) as answer:
        rows = json.load(answer)["components"]
    return {
        key: value
        for row in rows
        if row["name"] == name
        for key, value in (*row["values"].items(), *row["counts"].items())
    }


def test_a_revoked_agent_is_out_at_once_and_its_job_ends_elsewhere(desk: Desk) -> None:
    _, file = desk.bundle("--agents", "2")
    first, second = desk.joined(file), desk.joined(file)
    mark = desk.place / "mark"
    mark.mkdir(mode=0o777)
    mark.chmod(0o777)
    slow = script(
        desk.place / "slow.sh", f"[ -e {mark}/go ] || {{ echo >{mark}/begun; exec sleep 4711; }}\necho done"
    )
    with first.running() as process:
        job = desk.up.submit(slow, "--json").stdout
        ident = json.loads(job)["id"]
        until((mark / "begun").exists, "the job at the first agent")
        assert desk.up.record(ident).agent == first.jid
        (mark / "go").touch()
        told = desk.run("agents", "revoke", first.jid)
        assert told == f"agent {first.jid}: revoked; 1 of its jobs wait again\n"
        until(lambda: process.poll() is not None, f"the end of the agent: {first.said}")
        assert process.returncode == GONE
        assert "was revoked" in first.said
        with second.running():
            until(lambda: desk.up.record(ident).state.final, "the end of the job")
            record = desk.up.record(ident)
            assert (record.state, record.agent, record.attempts_used) == ("done", second.jid, 1)
    assert desk.agents()[first.jid]["state"] == "revoked"
    code, said = first.ends()  # its credentials are worth nothing
    assert code != 0
    assert "refused the account" in said


def test_a_stolen_bundle_gives_nothing_when_it_was_revoked(desk: Desk) -> None:
    ident, file = desk.bundle("--agents", "5")
    assert desk.run("bundle", "revoke", ident) == f"bundle {ident}: revoked; nobody comes in by it any more\n"
    code, said = desk.joined(file).ends()
    assert code == REFUSED
    assert "lets nobody in any more" in said or "may not say enrol" in said


def test_an_agent_that_is_killed_while_it_comes_in_ends_with_one_account_and_one_use(desk: Desk) -> None:
    ident, file = desk.bundle("--agents", "3")
    agent = desk.joined(file)
    moments = ((agent.work / "agent.key").exists, lambda: used(desk, ident) == 1)
    for has_come in moments:
        with agent.running(ready=False) as process:
            until(has_come, "the moment")
            process.send_signal(signal.SIGKILL)
            process.wait()
        (agent.work / "agent.conf").unlink(missing_ok=True)  # as if it had been killed a moment before
    with agent.running():
        jid = agent.jid
    assert used(desk, ident) == 1
    assert [name for name, one in desk.agents().items() if one["bundle"] == ident] == [jid]


def used(desk: Desk, ident: str) -> int:
    async def ask() -> int:
        async with desk.up.store() as store:
            return next(one.used for one in await store.bundles() if one.id == ident)

    return asyncio.run(ask())


def test_what_is_no_bundle_says_so_in_one_line(desk: Desk, place: Path) -> None:
    _, file = desk.bundle()
    agent = desk.joined(file)
    agent.bundle.write_text("JM_JABBER_ADDRESS jm@x\n")
    code, said = agent.ends()
    assert (code, said.count("\n")) == (2, 1)
    assert "this is no bundle" in said
    text = re.sub(r"AGENT_JABBER_CA \S+\n", "", file.read_text())
    agent.bundle.write_text(text)
    code, said = agent.ends()
    assert code != 0
    assert "The certificate of the XMPP server" in said
