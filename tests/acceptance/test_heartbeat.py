"""The heartbeat through the real programs: a manager and two agents, and `copilot-heartbeat` that asks them (4.5.4)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import signal
import subprocess
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from copilot.local.ejabberd import Ejabberd
from copilot.local.process import give, unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from copilot.protocol.nick import nick
from tests.acceptance.running import run, service, started, until

IN_ROOM = re.compile(r"In the chat room (\S+) as (\S+)\.")
ROOM = "pilots-lounge"


@dataclass
class Site:
    """A deployment with one job manager, called `alpha`, and agents, each with an account of its own."""

    place: Path
    server: Prosody | Ejabberd
    redis: Redis
    room: str = field(default_factory=lambda: f"{ROOM}-{uuid.uuid4().hex[:8]}")
    passwords: dict[str, str] = field(default_factory=dict)
    logs: dict[str, Path] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    @property
    def chat(self) -> str:
        return f"conference.{self.server.domain}"

    def account(self, kind: str) -> str:
        """A new account; returns its bare JID."""
        name = f"{kind}-{uuid.uuid4().hex}"
        self.passwords[name] = uuid.uuid4().hex
        return asyncio.run(self.server.register(name, self.passwords[name]))

    def session(self, prefix: str, jid: str) -> dict[str, str]:
        """Settings of a program that logs in with this account."""
        name = jid.partition("@")[0]
        return {
            f"{prefix}_JABBER_SERVER": "127.0.0.1",
            f"{prefix}_JABBER_PORT": str(self.server.port),
            f"{prefix}_JABBER_DOMAIN": self.server.domain,
            f"{prefix}_JABBER_CA_FILE": str(self.server.ca_file),
            f"{prefix}_JABBER_ID": name,
            f"{prefix}_JABBER_PASSWORD": self.passwords[name],
            "HB_CHAT_SERVER": self.chat,
            "HB_CHAT_ROOM": self.room,
            "COPILOT_CONFIG": str(self._empty()),
        }

    @contextlib.contextmanager
    def manager(self, jid: str, **more: str) -> Iterator[None]:
        """A job manager that keeps the rooms."""
        settings = {
            **self.session("JM", jid),
            "JM_JABBER_RESOURCE": "alpha",
            "JM_REDIS_SERVER": "127.0.0.1",
            "JM_REDIS_PORT": str(self.redis.port),
            "JM_REDIS_PASSWORD": self.redis.password,
            "JM_STATE_DIR": str(self._directory("state")),
            "JM_QUEUE_ONLY_MODE_ON": "1",
        }
        with self._running("copilot-jobmanager-generic", "alpha", {**settings, **more}):
            yield

    @contextlib.contextmanager
    def agent(self, jid: str, manager: str, **more: str) -> Iterator[None]:
        """An agent of this manager."""
        name = jid.partition("@")[0]
        settings = {
            **self.session("AGENT", jid),
            "JM_JABBER_ADDRESS": manager,
            "AGENT_WORK_DIR": str(self._directory(name)),
        }
        with self._running("copilot-agent", name, {**settings, **more}):
            yield

    def full_jid(self, name: str) -> str:
        """Under which full JID a program is logged in."""
        (jid,) = set(re.findall(r"Ready as (\S+)", self.logs[name].read_text()))
        return jid

    def nick(self, name: str) -> str:
        """The nick of a program, once it is in its room."""
        log = self.logs[name]
        found = until(lambda: IN_ROOM.search(log.read_text()), f"{name} in its room; see {log}")
        return found[2]

    def ask(self, jid: str, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        """`copilot-heartbeat`, logged in with this account."""
        return run("copilot-heartbeat", *arguments, **{**self.session("HB", jid), **more})

    @contextlib.contextmanager
    def suspended(self, name: str) -> Iterator[None]:
        """A program does nothing while inside."""
        self.processes[name].send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.processes[name].send_signal(signal.SIGCONT)

    @contextlib.contextmanager
    def _running(self, program: str, name: str, settings: dict[str, str]) -> Iterator[None]:
        self.logs[name] = self.place / f"{name}.out"
        with started(program, output=self.logs[name], **service(), **settings) as process:
            until(
                lambda: "Ready as" in self.logs[name].read_text() or process.poll() is not None,
                f"the login of {name}",
            )
            assert process.poll() is None, self.logs[name].read_text()
            self.processes[name] = process
            yield

    def _directory(self, name: str) -> Path:
        path = self.place / name
        path.mkdir(mode=0o700, exist_ok=True)
        give(path, unprivileged_user())
        return path

    def _empty(self) -> Path:
        path = self.place / "empty"
        path.mkdir(exist_ok=True)
        return path


@pytest.fixture(params=["prosody", "ejabberd"])
def site(
    request: pytest.FixtureRequest, place: Path, prosody: Prosody, ejabberd: Ejabberd, redis_server: Redis
) -> Site:
    return Site(place, {"prosody": prosody, "ejabberd": ejabberd}[request.param], redis_server)


@pytest.mark.usefixtures("redis_url")
def test_the_example_of_the_report_prints_its_table(site: Site) -> None:
    manager, first, second = site.account("jm"), site.account("agent"), site.account("agent")
    names = [jid.partition("@")[0] for jid in (first, second)]
    with site.manager(manager), site.agent(first, manager), site.agent(second, manager):
        assert site.nick("alpha") == "alpha"
        nicks = [site.nick(name) for name in names]
        assert nicks == [nick(site.full_jid(name)) for name in names]

        room = f"{site.room}-0@{site.chat}"
        asked = [f"{manager}/alpha", f"{room}/{nicks[0]}", nicks[1]]
        table = site.ask(manager, "systemLoad", *asked)
        assert table.returncode == 0, table.stderr
        head, *rows = table.stdout.splitlines()
        assert head.split(None, 2)[:2] == ["Room", "nick"]
        assert head.split()[2:] == ["1min", "5min", "15min"]
        assert [row.split()[0] for row in rows] == ["alpha", *nicks]
        starts = [head.index(word) for word in ("1min", "5min", "15min")]
        for row in rows:
            assert re.fullmatch(r"\S+( +\d+\.\d\d){3}", row)
            assert [row[start - 1] + row[start] for start in starts] == [" " + row[start] for start in starts]
        widest = max(
            len(word) for word in ("1min", *(row.split()[1] for row in rows))
        )  # a load of 10.00 is wider
        assert starts[1] - starts[0] == widest + 6

        everybody = site.ask(manager, "--json", "ping")
        assert everybody.returncode == 0, everybody.stderr
        assert {one["nick"] for one in json.loads(everybody.stdout)} == {"alpha", *nicks}
        listed = site.ask(manager, "list").stdout.splitlines()
        assert listed == ["Room nick", *sorted(["alpha", *nicks])]
        for status in ("diskUsage", "memoryUsage", "runningProcesses"):
            told = site.ask(manager, "--json", status, nicks[0])
            (answer,) = json.loads(told.stdout)
            assert answer["rows"], told.stderr


@pytest.mark.usefixtures("redis_url")
def test_who_is_silent_is_named_and_who_may_not_ask_gets_no_answer(site: Site) -> None:
    manager, agent, stranger = site.account("jm"), site.account("agent"), site.account("stranger")
    name = agent.partition("@")[0]
    members = {"HB_MEMBERS": agent}
    with site.manager(manager, **members), site.agent(agent, manager):
        nick_of_agent = site.nick(name)
        site.nick("alpha")
        with site.suspended(name):
            ping = site.ask(manager, "--timeout", 1, "--json", "ping")
        assert ping.returncode == 1
        assert f"no answer from {nick_of_agent}" in ping.stderr
        answered = {one["nick"]: one["answered"] for one in json.loads(ping.stdout)}
        assert answered == {"alpha": True, nick_of_agent: False}

        # A stranger is kept out of the rooms, and gets no answer to direct messages either.
        outside = site.ask(stranger, "list", HB_CHAT_OWNER=manager)
        assert outside.returncode == 1
        assert f"does not let {stranger} in" in outside.stderr
        direct = site.ask(stranger, "--timeout", 1, "systemLoad", f"{manager}/alpha", site.full_jid(name))
        assert direct.returncode == 1
        assert direct.stdout == "Room nick      1min      5min      15min\n"
        assert direct.stderr.count("no answer from") == 2
        until(lambda: "not one of HB_ALLOW" in site.logs["alpha"].read_text(), "the manager's log")

        unknown = site.ask(manager, "ping", f"{nick_of_agent[:-1]}x")
        assert unknown.returncode == 2
        assert f"did you mean {nick_of_agent}" in unknown.stderr


@pytest.mark.usefixtures("redis_url")
def test_what_is_wrong_is_said_plainly(site: Site) -> None:
    jid = site.account("jm")
    nothing = site.ask(jid, "--chat-room=nowhere", "list")
    assert nothing.returncode == 1
    assert f"there is no chat room nowhere@{site.chat}" in nothing.stderr
    password = site.ask(jid, "list", HB_JABBER_PASSWORD="wrong")
    assert password.returncode == 1
    assert f"refused the account {jid}" in password.stderr
    service = site.ask(jid, "--chat-server=nowhere.invalid", "list")
    assert service.returncode == 1
    assert "HB_CHAT_SERVER nowhere.invalid does not say which chat rooms it has" in service.stderr
