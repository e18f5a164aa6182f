"""Secure mode end to end, by the real programs: two instances of a manager, an agent, and keys that change meanwhile."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from copilot.cli.users import common_settings
from copilot.client.users import User, configuration, new_user
from copilot.config import load
from copilot.jobmanager.config import ManagerConfig
from copilot.local.ejabberd import Ejabberd
from copilot.local.process import give, unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from copilot.protocol.crypto import v2
from copilot.roles import Account, Standing
from copilot.runtime.keys import load_keys
from copilot.store.redis import RedisStore
from tests.acceptance.running import LIMIT_S, run, script, service, started, until

HOST = "localhost"
TOLD = "has our new keys"


class Site:
    """A manager that shares its keys among its instances, and an agent that knows them."""

    def __init__(self, place: Path, xmpp: Prosody | Ejabberd, redis: Redis) -> None:
        self.place, self.xmpp, self._redis = place, xmpp, redis
        self.programs: dict[str, str] = {}  # of another version, by name
        self.password = uuid.uuid4().hex
        self.accounts = {kind: f"{kind}-{uuid.uuid4().hex}" for kind in ("jm", "agent")}
        self.etc = place / "etc"
        self.etc.mkdir()
        for name in ("done", "state", "work", "files"):
            (place / name).mkdir(mode=0o755)
            give(place / name, unprivileged_user())
        self.service_keys = place / "state" / f"{self.accounts['jm']}.key"
        self.agent_key = place / "work" / f"{self.accounts['agent']}.key"
        self.learned = place / "work" / "services.learned.pub"

    def jid(self, kind: str) -> str:
        return f"{self.accounts[kind]}@{self.xmpp.domain}"

    async def register(self) -> None:
        """On the XMPP server, and the agent's key in the queue."""
        for account in self.accounts.values():
            await self.xmpp.register(account, self.password)
        made = run("copilot", "keys", "generate", "agent", self.agent_key)
        assert made.returncode == 0, made.stderr
        give(self.agent_key, unprivileged_user())
        await self.record()

    async def record(self, *, has_key: bool = True) -> None:
        """The agent's account in the queue: with its key it is heard sealed alone."""
        key = v2.public_form(load_keys(self.agent_key).signing[0]) if has_key else ""
        store = RedisStore.from_url(self._redis.url)
        try:
            await store.put_account(Account(jid=self.jid("agent"), standing=Standing.AGENT, key=key))
        finally:
            await store.close()

    def configure(self, **more: object) -> None:
        ca_file = self.place / "ca.pem"
        ca_file.write_bytes(self.xmpp.ca_file.read_bytes())
        for kind, prefix, name in (("jm", "JM", "jobmanager-generic"), ("agent", "AGENT", "agent")):
            own = {
                f"{prefix}_JABBER_SERVER": HOST,
                f"{prefix}_JABBER_PORT": self.xmpp.port,
                f"{prefix}_JABBER_DOMAIN": self.xmpp.domain,
                f"{prefix}_JABBER_ID": self.accounts[kind],
                f"{prefix}_JABBER_PASSWORD": self.password,
                f"{prefix}_JABBER_CA_FILE": ca_file,
                f"{prefix}_SECURE_MODE": 1,
            }
            text = "".join(f"{key} {value}\n" for key, value in (own | self._rest(kind) | more).items())
            (self.etc / f"copilot-{name}.conf").write_text(text)

    def _rest(self, kind: str) -> dict[str, object]:
        if kind == "agent":
            return {
                "JM_JABBER_ADDRESS": self.jid("jm"),
                "AGENT_JABBER_RESOURCE": "one",
                "AGENT_WORK_DIR": self.place / "work",
                "AGENT_REQUEST_INTERVAL": "1s",
            }
        return {
            "JM_REDIS_SERVER": HOST,
            "JM_REDIS_PORT": self._redis.port,
            "JM_REDIS_PASSWORD": self._redis.password,
            "JM_FILES_URL": f"https://{HOST}:1/",  # small files go with the messages
            "JM_FILES_DIR": self.place / "files",
            "JM_DONE_JOB_DIR": self.place / "done",
            "JM_STATE_DIR": self.place / "state",
        }

    @contextmanager
    def manager(self, resource: str) -> Iterator[subprocess.Popen[bytes]]:
        with self._component("copilot-jobmanager-generic", resource, JM_JABBER_RESOURCE=resource) as process:
            yield process

    @contextmanager
    def agent(self, name: str = "agent") -> Iterator[subprocess.Popen[bytes]]:
        with self._component("copilot-agent", name) as process:
            yield process

    @contextmanager
    def _component(self, name: str, output: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
        said = self.place / f"{output}.out"
        variables = {**service(), **variables}
        program = self.programs.get(name, name)
        with started(program, "--config", self.etc, "--debug", output=said, **variables) as process:
            until(lambda: "Ready as" in said.read_text() or process.poll() is not None, name)
            assert process.poll() is None, said.read_text()
            yield process
            process.terminate()
            assert process.wait(LIMIT_S) == 0

    def said(self, output: str) -> str:
        return (self.place / f"{output}.out").read_text()

    def share_keys(self) -> None:
        """What the operator gives to agents: the public half of the manager's keys."""
        shown = run("copilot", "keys", "show", "--jid", self.jid("jm"), self.service_keys)
        assert shown.returncode == 0, shown.stderr
        (self.place / "work" / "services.pub").write_text(shown.stdout)

    def keys(self, *arguments: str) -> None:
        done = run("copilot", "keys", arguments[0], *arguments[1:], self.service_keys, **service())
        assert done.returncode == 0, done.stderr

    def laptop(self, name: str) -> Path:
        """The file of a submitter, as `copilot users add` writes it."""
        user = new_user(f"{name}@{self.xmpp.domain}", Standing.SUBMITTER, frozenset(), None)
        asyncio.run(self._let_in(name, user))
        config, _ = load(ManagerConfig, self.etc, {})
        file = self.place / f"{name}.conf"
        file.write_text(configuration(user, common_settings(config)))
        file.chmod(0o600)
        return file

    async def _let_in(self, name: str, user: User) -> None:
        await self.xmpp.register(name, user.password)
        store = RedisStore.from_url(self._redis.url)
        try:
            await store.put_account(user.account)
        finally:
            await store.close()

    def does_a_job(self, name: str) -> None:
        job = script(self.place / f"{name}.sh", f"echo {name}")
        program = self.programs.get("copilot-job-submit", "copilot-job-submit")
        done = run(program, "--config", self.etc, "--id", name, "--command", job, **service())
        assert done.returncode == 0, done.stderr
        until((self.place / "done" / name / f"{name}.tgz").exists, f"job {name} is done")


@pytest.fixture(name="site")
async def site_fixture(
    place: Path, redis_server: Redis, request: pytest.FixtureRequest, redis_url: str
) -> Site:  # an empty queue
    assert redis_url
    made = Site(place, request.getfixturevalue(request.param), redis_server)
    await made.register()
    made.configure()
    return made


@pytest.mark.parametrize("site", ["prosody"], indirect=True)
def test_any_instance_pushes_jobs_and_keys_change_while_agents_work(site: Site) -> None:
    with ExitStack() as running:
        managers = {"one": running.enter_context(site.manager("one"))}
        site.share_keys()
        managers["two"] = running.enter_context(site.manager("two"))
        with site.agent():
            until(lambda: "Got sleep" in site.said("agent"), "the agent waits for work")
            asked = next(name for name in managers if "Got getJob" in site.said(name))
            managers[asked].send_signal(
                signal.SIGSTOP
            )  # it has the session, the other one has only the queue
            try:
                site.does_a_job("pushed")
            finally:
                managers[asked].send_signal(signal.SIGCONT)
            other = next(name for name in managers if name != asked)
            assert "handed to" in site.said(other)

            site.keys("rotate")
            until(lambda: all("was read again" in site.said(name) for name in managers), "the new keys")
            site.does_a_job("told")
            until(lambda: any(TOLD in site.said(name) for name in managers), "the agent has the new keys")
            assert site.learned.stat().st_mode & 0o777 == 0o600
            site.keys("drop", "--yes")
            site.does_a_job("after")
        with site.agent("agent-again"):  # it has kept them
            site.does_a_job("again")
    for name in ("one", "two", "agent", "agent-again"):
        assert "dropped a message" not in site.said(name), name


@pytest.mark.parametrize("site", ["prosody"], indirect=True)
def test_an_instance_that_has_never_heard_an_agent_shows_what_its_job_prints_and_stops_it(site: Site) -> None:
    job = script(site.place / "long.sh", "echo hello; echo trouble >&2; sleep 600")
    config = ("--config", site.etc)
    with site.manager("one") as one:
        site.share_keys()
        with site.agent():
            until(lambda: "Got sleep" in site.said("agent"), "the agent waits for work")
            done = run("copilot-job-submit", *config, "--id", "long", "--command", job, **service())
            assert done.returncode == 0, done.stderr
            until(lambda: "hello" in run("copilot", "jobs", "tail", "long", *config).stdout, "the job runs")
            with site.manager("two"):
                one.send_signal(signal.SIGSTOP)
                try:
                    shown = run("copilot", "jobs", "tail", "long", "--stderr", *config)
                    assert (shown.returncode, shown.stdout) == (0, "trouble\n"), shown.stderr
                    assert run("copilot", "jobs", "cancel", "long", *config).returncode == 0
                    until(lambda: f"says {site.jid('jm')}/two" in site.said("agent"), "it is told to stop it")
                finally:
                    one.send_signal(signal.SIGCONT)
                until(lambda: "long, attempt 1: cancelled" in site.said("one") + site.said("two"), "its end")
    assert "dropped a message" not in site.said("one") + site.said("two") + site.said("agent")


@pytest.mark.parametrize("site", ["ejabberd"], indirect=True)
def test_a_job_goes_sealed_over_ejabberd_and_nothing_else_is_heard(site: Site) -> None:
    with site.manager("one"):
        site.share_keys()
        with site.agent():
            site.does_a_job("sealed")
            laptop = site.laptop("ada")
            job = script(site.place / "far.sh", "exit 7")
            options = ("--config", laptop, "--command", job, "--id", "far", "--wait")
            done = run("copilot-job-submit", "--remote", *options)
            assert done.returncode == 7, done.stderr
            token = site.place / "token"
            token.write_text("hush")
            job = script(site.place / "secret.sh", 'test "$(cat "$COPILOT_SECRETS/token")" = hush')
            array = ("--config", laptop, "--array", "2", "--secret", f"token={token}", "--id", "secrets")
            done = run("copilot", "submit", "--remote", *array, "--wait", job)
            assert (done.returncode, done.stdout) == (0, "array secrets: 2 done\n"), done.stderr
            again = run("copilot", "jobs", "hold", "--remote", "--config", laptop, "secrets[:1]")
            assert again.stdout == "", again.stdout
            assert again.stderr == "job secrets[:1]: 1 element is as it was\n"
        assert "dropped a message" not in site.said("one") + site.said("agent")
        site.configure(AGENT_SECURE_MODE=0)
        with site.agent("clear"):
            until(lambda: "in-clear" in site.said("one"), "the manager does not hear it")
            until(lambda: "Got security_error" in site.said("clear"), "and says so")
