"""`copilot jobs` and `copilot clean` on a real queue and a real directory, as an operator types them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import pytest
from typer.testing import CliRunner, Result

from copilot.cli.main import app
from copilot.errors import BadName, ConfigError, StoreUnavailable, UnknownJob
from copilot.files.area import FileArea, output_name
from copilot.job import Cause, JobRecord, JobSpec, Outcome, State
from copilot.store.base import Parking
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures
from tests.contract.store_fixtures import RedisServer, server_in_new_directory

redis_program = store_fixtures.redis_program

T = TypeVar("T")
DAY = 24 * 3600.0
BAD = Outcome(cause=Cause.USER_EXIT, exit_code=3, reason="exit code 3", tail="Traceback:\nKeyError: 'x'")


class Site:
    """A queue, its directories and its configuration."""

    def __init__(self, server: RedisServer, root: Path) -> None:
        self.server = server
        self.area = FileArea(root / "files")
        self.done = root / "done"
        self.config = root / "copilot-jobmanager-generic.conf"
        self.script = root / "run.sh"
        for directory in (self.area.root, self.done):
            directory.mkdir()
        self.script.write_text("true\n")
        self.config.write_text(
            f"JM_REDIS_SOCKET {server.directory}/s\nJM_FILES_DIR {self.area.root}\nJM_DONE_JOB_DIR {self.done}\n"
        )

    def run(self, *words: str, before: bool = False) -> Result:
        """`before`: the option comes after the command, where all at the end is somebody else's."""
        config = ["--config", str(self.config)]
        first, *rest = words
        return CliRunner().invoke(app, [first, *config, *rest] if before else [*words, *config])

    def ask(self, what: Callable[[RedisStore], Coroutine[Any, Any, T]]) -> T:
        async def one() -> T:
            store = RedisStore.from_url(self.server.url)
            try:
                return await what(store)
            finally:
                await store.close()

        return asyncio.run(one())

    def record(self, job: str) -> JobRecord | None:
        return self.ask(lambda store: store.get(job))

    def state(self, job: str) -> State | None:
        record = self.record(job)
        return None if record is None else record.state

    def submit(self, *jobs: str) -> None:
        specs = [JobSpec(id=job, command="run.sh", owner="alice") for job in jobs]
        self.ask(lambda store: store.submit(specs))

    def claim(self, count: int = 1) -> None:
        self.ask(lambda store: store.claim(agent="a@x.org", request="r", dispatch_limit=60, count=count))

    def job_over(self, job: str, *, days: float, publish: bool = True) -> None:
        """A job that failed so many days ago, with its inputs and its output."""
        then = time.time() - days * DAY

        async def live(store: RedisStore) -> None:
            await store.submit([JobSpec(id=job, command="run.sh")], now=then)
            await store.claim(agent="a@x.org", request=job, dispatch_limit=60, now=then)
            await store.finish(job, 1, BAD, now=then)
            if publish:
                await store.publish(job, now=then)

        self.area.store_input(job, self.script, "run.sh")
        self.area.prepare_output(job, 1)
        output = self.area.root / output_name(job, 1)
        kept = self.done / job / f"{job}.tgz"
        kept.parent.mkdir()
        for path in (output, kept):
            path.write_bytes(b"output")
        os.utime(output, (then, then))
        os.utime(output.parent, (then, then))
        self.ask(live)


@pytest.fixture
def site(redis_program: str, tmp_path: Path) -> Iterator[Site]:
    with server_in_new_directory(redis_program) as server:
        yield Site(server, tmp_path)


def test_jobs_are_held_released_and_cancelled(site: Site) -> None:
    site.submit("one", "two")
    done = site.run("jobs", "hold", "one", "two", "--reason", "disk full")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == "job one: held; release lets it go on\njob two: held; release lets it go on\n"
    assert site.run("jobs", "release", "one").exit_code == 0
    assert (site.state("one"), site.state("two")) == (State.WAITING, State.HELD)
    site.claim()
    done = site.run("jobs", "cancel", "one", "two", "--reason", "a typo")
    assert done.exit_code == 0
    assert done.stdout == "job one: is running; its agent will be told to stop it\njob two: cancelled\n"
    record = site.record("two")
    assert record is not None
    assert record.outcome is not None
    assert record.outcome.reason == "a typo"
    assert "job one: running, to be cancelled" in site.run("jobs", "show", "one").stdout


def test_one_that_cannot_be_done_is_told_and_the_others_are_done(site: Site) -> None:
    site.submit("one", "two")
    site.claim()
    done = site.run("jobs", "hold", "one", "nobody", "two")
    assert done.exit_code == 1
    assert done.stdout == "job two: held; release lets it go on\n"
    first, second = done.stderr.splitlines()
    assert first == "job one: is running: cancel it, or wait"
    assert second.startswith("job nobody: is not known: ")
    answers = json.loads(site.run("jobs", "hold", "one", "two", "--json").stdout)
    assert [(one["job"], one["ok"], one["state"]) for one in answers] == [
        ("one", False, "running"),
        ("two", True, "held"),
    ]


def test_what_cannot_be_an_id_stops_everything(site: Site) -> None:
    site.submit("one")
    done = site.run("jobs", "cancel", "one", "../x")
    assert isinstance(done.exception, BadName)
    assert site.state("one") is State.WAITING


def test_a_job_is_retried_when_its_finisher_has_its_result(site: Site) -> None:
    site.job_over("j", days=1, publish=False)
    done = site.run("jobs", "retry", "j")
    assert done.exit_code == 1
    assert "its result is not yet with its finisher" in done.stderr
    site.ask(lambda store: store.publish("j"))
    assert site.run("jobs", "retry", "j").stdout == "job j: waits again, with all its attempts\n"
    assert site.state("j") is State.WAITING


def test_a_job_is_shown_with_its_attempts(site: Site) -> None:
    site.job_over("j", days=1)
    text = site.run("jobs", "show", "j").stdout
    assert text.startswith("job j: failed (user-exit, exit code 3)\n")
    assert "  stderr     | Traceback:\n             | KeyError: 'x'\n" in text
    shown = json.loads(site.run("jobs", "show", "j", "--json").stdout)
    assert (shown["state"], shown["attempts"][0]["outcome"]["exit_code"]) == ("failed", 3)
    assert isinstance(site.run("jobs", "show", "nobody").exception, UnknownJob)


def test_what_was_done_before_the_queue_went_away_is_told(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.submit("one", "two")
    hold = RedisStore.hold

    async def hold_and_die(self: RedisStore, job: str, **options: Any) -> Any:
        if job == "two":
            site.server.kill()
        return await hold(self, job, **options)

    monkeypatch.setattr(RedisStore, "hold", hold_and_die)
    done = site.run("jobs", "hold", "one", "two", "--json")
    assert isinstance(done.exception, StoreUnavailable)
    assert [one["job"] for one in json.loads(done.stdout)] == ["one"]


def test_agents_are_to_leave(site: Site) -> None:
    site.ask(
        lambda store: store.claim(
            agent="a7@x.org", request="r", dispatch_limit=60, park=Parking(jid="a7@x.org/node")
        )
    )
    done = site.run("agents", "drain", "a7@x.org/node", "A8@x.org")
    assert done.exit_code == 0
    (warning,) = done.stderr.splitlines()
    assert warning.startswith("copilot: warning: agent a8@x.org: nothing is known of it")
    first, second = done.stdout.splitlines()
    assert first == "agent a7@x.org: will be told to leave when it has finished what it runs"
    assert second.startswith("agent a8@x.org: ")
    assert site.ask(lambda store: store.draining()) == ("a7@x.org", "a8@x.org")
    assert json.loads(site.run("agents", "drain", "a7@x.org", "--json").stdout) == [
        {"agent": "a7@x.org", "ok": True}
    ]


def test_agents_in_quarantine_are_listed_and_released(site: Site) -> None:
    killed = Outcome(cause=Cause.INFRA_KILLED, exit_code=137)
    site.submit("j1", "j2", "j3")

    async def fail(store: RedisStore) -> None:
        for one in await store.claim(agent="a@x.org", request="r", dispatch_limit=60, count=3):
            await store.finish(one.spec.id, one.attempt, killed)

    site.ask(fail)
    told = site.run("agents", "list").stdout
    assert told.splitlines()[1].split()[:2] == ["a@x.org", "quarantined"]
    assert told.endswith("; failed there: j1, j2, j3\n")
    (facts,) = json.loads(site.run("agents", "list", "--json").stdout)
    assert (facts["agent"], facts["level"], facts["in_quarantine"]) == ("a@x.org", 1, True)
    told = site.run("agents", "release", "a@x.org/node", "b@x.org").stdout
    assert told == "agent a@x.org: released; it gets jobs when it asks\nagent b@x.org: is not in quarantine\n"
    assert json.loads(site.run("agents", "release", "a@x.org", "--json").stdout) == [
        {"agent": "a@x.org", "ok": True, "changed": False}
    ]
    assert site.run("agents", "list").stdout == ""


def test_what_cannot_be_an_agent_stops_everything(site: Site) -> None:
    done = site.run("agents", "drain", "a7@x.org", "node7")
    assert isinstance(done.exception, BadName)
    assert "agent 'node7': expected a Jabber ID" in str(done.exception)
    assert site.ask(lambda store: store.draining()) == ()


def test_old_jobs_go_and_a_dry_run_says_so_before(site: Site) -> None:
    site.job_over("old", days=31)
    site.job_over("young", days=29)
    site.job_over("unpublished", days=31, publish=False)
    site.submit("waiting")
    there = set(site.area.root.iterdir())
    dry = site.run("clean", "--dry-run")
    assert dry.exit_code == 0
    assert dry.stdout.splitlines() == [
        f"would remove {site.area.root}/old, 6 bytes: its job is over",
        f"would remove {site.area.root}/young, 6 bytes: its job is over",
        "would remove job old: the job is over (failed)",
        f"would remove {site.area.root}/old.a0, 5 bytes: inputs of that job",
        f"would remove in all: 1 job, 3 directories, 17 bytes; outputs in {site.done} stay (see --outputs)",
    ]
    assert set(site.area.root.iterdir()) == there
    assert site.state("old") is State.FAILED
    wet = site.run("clean")
    assert wet.stdout == dry.stdout.replace("would remove", "removed")
    assert site.record("old") is None
    assert {path.name for path in site.area.root.iterdir()} == {"young.a0", "unpublished.a0", "unpublished"}
    assert {path.name for path in site.done.iterdir()} == {"old", "young", "unpublished"}
    assert site.run("clean").stdout.startswith("removed in all: 0 jobs, 0 directories, 0 bytes")


def test_the_age_and_the_outputs_are_the_operators_choice(site: Site) -> None:
    site.job_over("a", days=3)
    done = json.loads(site.run("clean", "--older-than", "2d", "--outputs", "--json").stdout)
    assert [(one["kind"], one["size"]) for one in done["things"]] == [
        ("attempt", 6),
        ("record", 0),
        ("inputs", 5),
        ("output", 6),
    ]
    assert (done["dry_run"], done["bytes"]) == (False, 17)
    assert list(site.done.iterdir()) == []
    assert list(site.area.root.iterdir()) == []


def test_ctrl_c_leaves_no_job_half_removed(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for job in ("a", "b"):
        site.job_over(job, days=31)
    remove = RedisStore.remove

    async def remove_and_interrupt(self: RedisStore, job: str) -> bool:
        os.kill(os.getpid(), signal.SIGINT)
        return await remove(self, job)

    monkeypatch.setattr(RedisStore, "remove", remove_and_interrupt)
    done = site.run("clean")
    assert done.exit_code == 130
    assert "interrupted; what is left goes next time" in done.stderr
    assert "removed in all: 1 job, 3 directories" in done.stdout
    assert (site.record("a"), site.state("b")) == (None, State.FAILED)
    assert [path.name for path in site.area.root.iterdir()] == ["b.a0"]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("--older-than", "1m"), "--older-than '1m': expected seconds from 3600"),
        (("--older-than", "x"), "expected seconds"),
    ],
)
def test_an_age_that_is_none_is_refused(site: Site, words: tuple[str, ...], complaint: str) -> None:
    done = site.run("clean", *words)
    assert isinstance(done.exception, ConfigError)
    assert complaint in str(done.exception)


def test_a_machine_without_the_files_cleans_nothing(site: Site) -> None:
    site.job_over("old", days=31)
    site.area.root.rename(site.area.root.with_name("elsewhere"))
    done = site.run("clean")
    assert isinstance(done.exception, ConfigError)
    assert "JM_FILES_DIR" in str(done.exception)
    assert site.record("old") is not None


def test_the_program_ends_with_one_line_when_the_queue_is_away(site: Site) -> None:
    site.server.kill()
    program = [sys.executable, "-c", "from copilot.cli.start import main; main()"]
    words = ["jobs", "hold", "j", "--config", str(site.config)]
    done = subprocess.run([*program, *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (75, "")
    assert done.stderr.startswith("copilot: Redis does not answer")
    assert len(done.stderr.splitlines()) == 1


def test_an_agent_that_nobody_knows_and_a_verb_that_there_is_not_are_said_by_the_exit_code(
    site: Site,
) -> None:
    told = site.run("agents", "explain", "nobody@x.org")
    assert (told.exit_code, "unknown-agent" in told.stdout) == (1, True)
    with pytest.raises(BadName, match="expected one of account, "):
        raise_from(site.run("audit", "--verb", "x", before=True))


def raise_from(result: Result) -> None:
    assert result.exception is not None
    raise result.exception
