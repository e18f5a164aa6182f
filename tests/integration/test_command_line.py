"""`copilot submit`, `jobs`, `queue`, `agents` on a real queue, as people type them."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.errors import BadName, ConfigError, UnknownJob
from copilot.job import Cause, Outcome, State
from copilot.store.redis import RedisStore
from tests.contract.store_fixtures import server_in_new_directory
from tests.integration.test_operating import Site

GOOD = Outcome(cause=Cause.OK, exit_code=0)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with server_in_new_directory("redis-server") as server:
        yield Site(server, tmp_path)


def submit(site: Site, *words: str) -> str:
    done = site.run("submit", *words, before=True)
    assert done.exit_code == 0, (done.stderr, done.exception)
    return str(done.stdout.strip())


def finish(site: Site, outcome: Outcome = GOOD) -> str:
    async def one(store: RedisStore) -> str:
        (given,) = await store.claim(agent="a@x.org", request=uuid.uuid4().hex, dispatch_limit=60)
        await store.finish(given.spec.id, given.attempt, outcome)
        return given.spec.id

    return site.ask(one)


def test_a_command_with_its_arguments_and_a_job_file_get_on_the_queue(site: Site, tmp_path: Path) -> None:
    job = submit(site, "--cores", "2-4", "--tag", "night", str(site.script), "--watch", "a b")
    record = site.record(job)
    assert record is not None
    assert (record.spec.command, record.spec.arguments) == ("run.sh", "--watch 'a b'")
    assert (record.spec.cores, record.spec.max_cores, record.spec.tags) == (2, 4, ("night",))
    file = tmp_path / "job.toml"
    file.write_text('command = "run.sh"\npriority = 3\ntags = ["day"]\nwalltime = "1h"\n')
    job = submit(site, "--id", "mine", "--priority", "5", "--tag", "x", str(file))
    record = site.record("mine")
    assert record is not None
    assert (job, record.spec.priority, record.spec.tags) == ("mine", 5, ("day", "x"))
    assert record.spec.max_run_time == 3600
    dry = site.run("submit", "--dry-run", "--json", str(file), before=True)
    assert json.loads(dry.stdout)["tags"] == ["day"]
    assert sum(site.ask(lambda store: store.counts()).values()) == 2
    assert isinstance(
        site.run("submit", "--priority", "5", str(file), "x", before=True).exception, ConfigError
    )
    assert isinstance(site.run("submit", "no-such-file", before=True).exception, BadName)


def test_jobs_are_listed_and_meant_by_what_is_known_of_them(site: Site) -> None:
    for number in range(3):
        submit(site, "--id", f"n{number}", "--tag", "night", "--priority", str(number), str(site.script))
    submit(site, "--id", "d", str(site.script))
    site.claim()
    rows = [line.split()[:2] for line in site.run("jobs", "list").stdout.splitlines()]
    assert rows == [
        ["ID", "STATE"],
        ["n2", "running"],
        ["n1", "waiting"],
        ["n0", "waiting"],
        ["d", "waiting"],
    ]
    listed = json.loads(site.run("jobs", "list", "--tag", "night", "--state", "waiting", "--json").stdout)
    assert [job["id"] for job in listed["jobs"]] == ["n1", "n0"]
    lines = site.run("jobs", "list", "--all", "--where", "Priority > 0", "--json").stdout.splitlines()
    assert sorted(json.loads(line)["id"] for line in lines) == ["n1", "n2"]
    refused = site.run("jobs", "hold", "--tag", "night")
    assert isinstance(refused.exception, ConfigError)
    assert "Hold 2 jobs (state waiting, tag night)? Nobody can answer here: say --yes" in str(
        refused.exception
    )
    held = site.run("jobs", "hold", "--tag", "night", "--yes")
    assert held.stdout.splitlines() == [f"job n{number}: held; release lets it go on" for number in (0, 1)]
    assert (site.state("n0"), site.state("d")) == (State.HELD, State.WAITING)
    assert "no job is meant: state waiting, tag nobody" in site.run("jobs", "hold", "--tag", "nobody").stdout
    assert isinstance(site.run("jobs", "cancel").exception, ConfigError)
    assert isinstance(site.run("jobs", "cancel", "d", "--tag", "x").exception, ConfigError)


def test_many_jobs_are_summed_up(site: Site) -> None:
    site.submit(*(f"j{number:03}" for number in range(70)))
    done = site.run("jobs", "cancel", "--owner", "alice", "-y", "--reason", "a typo")
    assert done.stdout == "70 jobs: cancelled\n"
    assert site.ask(lambda store: store.counts())[State.CANCELLED] == 70


def test_the_end_of_jobs_is_waited_for_and_told(site: Site) -> None:
    site.submit("one", "two")
    assert (
        finish(site),
        finish(site, Outcome(cause=Cause.USER_EXIT, exit_code=3, reason="exit code 3")),
    ) == (
        "one",
        "two",
    )
    done = site.run("jobs", "wait", "one")
    assert (done.exit_code, done.stdout) == (0, "1 of 1 done\n")
    done = site.run("jobs", "wait", "--owner", "alice")
    assert done.exit_code == 1
    assert done.stdout.splitlines()[1].split()[:2] == ["two", "failed"]
    assert done.stdout.endswith("1 of 2 done\n")
    site.submit("three")
    done = site.run("jobs", "wait", "three", "--timeout", "0s")
    assert done.exit_code == 124
    assert isinstance(site.run("jobs", "wait", "three", "nobody").exception, UnknownJob)
    told = site.run("jobs", "history", "two").stdout.splitlines()
    assert [line.split()[3] for line in told[1:]] == ["submitted", "claimed", "running", "failed"]
