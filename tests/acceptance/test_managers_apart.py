"""Jobs from one account, their output to another: agents know the job manager alone, which sends them on (report, 2.2.4)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from copilot.local.ports import remembered_port
from copilot.local.process import give, unprivileged_user
from copilot.local.prosody import Prosody
from copilot.local.redis import Redis
from tests.acceptance.running import packed, remembers_nothing, run, script, service, started, until
from tests.conftest import Account

JOBS = 4
LOOPBACK = "127.0.0.1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """The files of one deployment with two accounts for its managers, in the report's format."""

    place: Path
    jobs: Account
    storage: Account
    agent: Account

    def write(self, prosody: Prosody, redis: Redis) -> None:
        """All configuration files, and the directories that they name."""
        for name in ("etc", "state", "files", "done", "work"):
            (self.place / name).mkdir(mode=0o700)
            give(self.place / name, unprivileged_user())
        tls, port = prosody.directory / "tls", remembered_port(self.place / "files-port", LOOPBACK, 0)
        session = {
            "JABBER_SERVER": LOOPBACK,
            "JABBER_PORT": prosody.port,
            "JABBER_DOMAIN": prosody.domain,
            "JABBER_CA_FILE": prosody.ca_file,
        }
        common = {
            **session,
            "REDIS_SERVER": LOOPBACK,
            "REDIS_PORT": redis.port,
            "REDIS_PASSWORD": redis.password,
            "FILES_URL": f"https://{LOOPBACK}:{port}",
            "FILES_LISTEN": f"{LOOPBACK}:{port}",
            "FILES_CERT_FILE": tls / "server.pem",
            "FILES_KEY_FILE": tls / "server.key",
            "FILES_DIR": self.place / "files",
            "DONE_JOB_DIR": self.place / "done",
            "STATE_DIR": self.place / "state",
        }
        self._file("Copilot", {**_prefixed("JM", common), "JM_JABBER_ADDRESS": self.jobs.jid})
        alone = {"JM_QUEUE_ONLY_MODE_ON": 1, "SM_JABBER_ADDRESS": self.storage.jid}
        self._file("copilot-jobmanager-generic", {**_prefixed("JM", _login(self.jobs)), **alone})
        self._file("copilot-storagemanager", _prefixed("SM", _login(self.storage)))
        own = {**session, **_login(self.agent), "WORK_DIR": self.place / "work", "SLOTS": 2}
        self._file(
            "copilot-agent",
            {
                **_prefixed("AGENT", own),
                "AGENT_FILES_CA_FILE": prosody.ca_file,
                "AGENT_REQUEST_INTERVAL": "2s",
            },
        )

    @contextlib.contextmanager
    def running(self, name: str, ready: str = "Ready as") -> Iterator[Path]:
        """One of our programs; its log."""
        output = self.place / f"{name}.out"
        with started(name, "--config", self.place / "etc", output=output, **service()) as process:
            until(lambda: ready in output.read_text() or process.poll() is not None, f"{name} is up")
            assert process.poll() is None, output.read_text()
            yield output

    def _file(self, name: str, settings: dict[str, object]) -> None:
        path = self.place / "etc" / f"{name}.conf"
        path.write_text("".join(f"{key} {value}\n" for key, value in settings.items()))
        path.chmod(0o600)
        give(path, unprivileged_user())


def _login(account: Account) -> dict[str, object]:
    return {"JABBER_ID": account.jid.partition("@")[0], "JABBER_PASSWORD": account.password}


def _prefixed(prefix: str, settings: dict[str, object]) -> dict[str, object]:
    return {f"{prefix}_{key}": value for key, value in settings.items()}


@pytest.fixture
async def site(
    place: Path,
    prosody: Prosody,
    redis_server: Redis,
    redis_url: str,  # it empties the server
    account: Callable[[str], Awaitable[Account]],
) -> Site:
    """A deployment of the test's own, not started."""
    site = Site(
        place=place, jobs=await account("jm"), storage=await account("sm"), agent=await account("agent")
    )
    site.write(prosody, redis_server)
    return site


def test_jobs_come_from_one_manager_and_their_output_goes_to_the_other(site: Site, place: Path) -> None:
    command = script(place / "job.sh", 'echo "$COPILOT_JOB_ID"')
    submit = ("copilot-job-submit", "--config", place / "etc", "--command", command)
    with contextlib.ExitStack() as running:
        running.enter_context(site.running("copilot-fileserver", "Serving "))
        jobs = running.enter_context(site.running("copilot-jobmanager-generic"))
        storage = running.enter_context(site.running("copilot-storagemanager"))
        agent = running.enter_context(site.running("copilot-agent"))
        for number in range(1, JOBS):
            assert run(*submit, "--id", f"job-{number}").returncode == 0
        last = run(*submit, "--id", f"job-{JOBS}", "--wait", "--json")
        assert last.returncode == 0, last.stderr
        assert packed(json.loads(last.stdout))["stdout"] == f"job-{JOBS}\n"
        names = {f"job-{number}" for number in range(1, JOBS + 1)}
        until(lambda: {path.name for path in (place / "done").iterdir()} == names, "all outputs")
        until(lambda: remembers_nothing(place / "work"), "the agent has forgotten all jobs")

    handed = jobs.read_text().count(f"handed to {site.agent.jid}/")
    reports = storage.read_text().count("attempt 1: done (ok, ")
    assert (handed, reports) == (JOBS, JOBS)
    assert "attempt 1: done" not in jobs.read_text()
    assert f"{site.jobs.jid}/" in (said := agent.read_text())
    assert said.count(f"redirects our want_getJobOutputDir to {site.storage.jid}") >= JOBS
