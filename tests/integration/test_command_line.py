"""`copilot submit`, `jobs`, `queue`, `agents` on a real queue, as people type them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import tarfile
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from copilot.errors import BadName, ConfigError, IntakePaused, TransferRefused, UnknownJob
from copilot.job import Cause, Outcome, Output, State
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


def finish(site: Site, outcome: Outcome = GOOD, package: str | None = None) -> str:
    async def one(store: RedisStore) -> str:
        (given,) = await store.claim(agent="a@x.org", request=uuid.uuid4().hex, dispatch_limit=60)
        await store.finish(given.spec.id, given.attempt, outcome, package=package)
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


def test_a_list_of_what_is_named_tells_what_is_not_known_and_what_is_left_out(site: Site) -> None:
    submit(site, "--id", "sim", "--array", "9", str(site.script))
    done = site.run("jobs", "list", "sim[:2]", "nope")
    assert [line.split()[0] for line in done.stdout.splitlines()] == ["ID", "sim.0", "sim.1"]
    assert (done.exit_code, done.stderr.splitlines()) == (
        1,
        ["copilot: job nope is not known: look for a typing error; records of old jobs are removed"],
    )
    few = site.run("jobs", "list", "-n", "4", "sim[2:]", "--json")
    assert (few.exit_code, json.loads(few.stdout)["more"], len(json.loads(few.stdout)["jobs"])) == (0, 3, 4)


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
    assert "Hold 2 jobs (state waiting or blocked, tag night)? Nobody can answer here: say --yes" in str(
        refused.exception
    )
    held = site.run("jobs", "hold", "--tag", "night", "--yes")
    assert held.stdout.splitlines() == [f"job n{number}: held; release lets it go on" for number in (0, 1)]
    assert (site.state("n0"), site.state("d")) == (State.HELD, State.WAITING)
    assert (
        "no job is meant: state waiting or blocked, tag nobody"
        in site.run("jobs", "hold", "--tag", "nobody").stdout
    )
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


def test_the_queue_is_paused_and_goes_on_and_all_who_look_are_told(site: Site) -> None:
    site.submit("one")
    done = site.run("pause", "--reason", "power cut")
    assert done.stdout == "no agent gets a job from now on; what runs goes on, and new jobs wait\n"
    assert site.run("pause").stdout == "nothing changed: it is paused already\n"
    assert site.run("queue").stdout.startswith("paused by ")
    said = json.loads(site.run("queue", "--json").stdout)
    assert (said["paused"][0]["gate"], said["paused"][0]["reason"]) == ("dispatch", "power cut")
    assert said["jobs"]["waiting"] == 1
    told = site.run("submit", "--id", "two", str(site.script), before=True)
    assert "copilot submit: the queue is paused by " in told.stderr
    site.claim()
    assert site.state("one") is State.WAITING
    site.run("pause", "--intake")
    refused = site.run("submit", "--id", "three", str(site.script), before=True)
    assert isinstance(refused.exception, IntakePaused)
    assert refused.exception.exit_code == 75
    assert site.run("resume").stdout == "agents get jobs again\n"
    assert site.run("resume", "--intake").stdout == "new jobs are taken again\n"
    assert site.run("resume").stdout == "nothing changed: it was not paused\n"
    lines = site.run("events", "--kind", "paused", "--json").stdout.splitlines()
    assert [json.loads(line)["text"].split()[0] for line in lines] == ["dispatch", "intake"]
    assert "one" in site.run("events", "--job", "one", "--since", "1h").stdout
    assert site.run("top").stdout.startswith("jobs  ")


def test_shares_and_limits_are_set_and_listed_and_explain_names_them(site: Site) -> None:
    assert site.run("shares", "list").stdout == "nothing was set: everybody has one share and no limit\n"
    site.run("shares", "set", "ann@x", "--shares", "3", "--jobs", "0")
    done = site.run("quotas", "set", "project:atlas", "--cores", "12", "--json")
    assert json.loads(done.stdout)["most_cores"] == 12
    assert [line.split() for line in site.run("shares", "list").stdout.splitlines()[1:]] == [
        ["ann@x", "3", "0", "0", "0", "none", "full"],
        ["project:atlas", "1", "0", "none", "0", "12", "-"],
    ]
    site.run("shares", "set", "ann@x", "--jobs", "none", "--shares", "1")
    assert [one["name"] for one in json.loads(site.run("shares", "list", "--json").stdout)] == ["atlas"]
    for bad in (
        ("ann",),
        ("ann", "--jobs", "-1"),
        ("ann", "--jobs", "x"),
        ("ann", "--shares", "0"),
        ("x:", "--cores", "y"),
    ):
        assert isinstance(site.run("shares", "set", *bad).exception, BadName)


def test_an_agent_is_put_in_quarantine_by_hand_and_released(site: Site) -> None:
    done = site.run("agents", "quarantine", "a@x.org", "--reason", "odd results")
    assert done.stdout == "agent a@x.org: gets no jobs until `copilot agents release`; what it runs goes on\n"
    site.submit("one")
    site.claim()
    assert site.state("one") is State.WAITING
    (row,) = site.run("agents", "list", "--state", "quarantined").stdout.splitlines()[1:]
    assert row.split()[:2] == ["a@x.org", "quarantined"]
    assert row.endswith(" until it is released: odd results")
    assert "by " in site.run("agents", "show", "a@x.org").stdout
    assert json.loads(site.run("agents", "show", "a@x.org", "--json").stdout)["in_quarantine"] is True
    assert (
        site.run("agents", "release", "a@x.org").stdout
        == "agent a@x.org: released; it gets jobs when it asks\n"
    )
    assert "for 1h00m" in site.run("agents", "quarantine", "a@x.org", "--for", "1h").stdout
    assert isinstance(site.run("agents", "list", "--state", "asleep").exception, BadName)


def test_the_output_of_a_job_is_listed_printed_and_unpacked(site: Site, tmp_path: Path) -> None:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        for name, text in (("one/stdout", b"4\n"), ("one/deep/er", b"x" * 5000)):
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    packed = data.getvalue()
    site.submit("one", "two")
    finish(
        site,
        replace(GOOD, output=Output(size=len(packed), sha256=hashlib.sha256(packed).hexdigest())),
        package=base64.b64encode(packed).decode(),
    )
    listed = site.run("jobs", "output", "one", "--json")
    assert json.loads(listed.stdout)["files"] == [
        {"name": "stdout", "size": 2},
        {"name": "deep/er", "size": 5000},
    ]
    assert site.run("jobs", "output", "one", "stdout").stdout == "4\n"
    assert isinstance(site.run("jobs", "output", "one", "nothing").exception, BadName)
    to = tmp_path / "to"
    to.mkdir()
    assert site.run("jobs", "output", "one", "--to", str(to)).stdout == f"{to}/one\n"
    assert (to / "one" / "deep" / "er").read_bytes() == b"x" * 5000
    assert isinstance(site.run("jobs", "output", "two").exception, TransferRefused)


def test_arrays_are_meant_by_filters_and_slices(site: Site) -> None:
    submit(site, "--id", "sim", "--array", "2000", "--tag", "night", str(site.script), "{index}")
    site.claim()
    assert "sim[-2:]: 2 of 2 elements held" in site.run("jobs", "hold", "sim[-2:]").stdout
    rows = [line.split()[:2] for line in site.run("jobs", "list").stdout.splitlines()]
    assert rows == [["ID", "STATE"], ["sim[2000]", "running"]]
    refused = site.run("jobs", "release", "--tag", "night")
    assert "Release 2 jobs (state held, tag night)? Nobody can answer here" in str(refused.exception)
    assert "2 of 2,000 elements released" in site.run("jobs", "release", "--tag", "night", "--yes").stdout
    done = site.run("jobs", "cancel", "--where", 'Id == "sim" && Attempt == 0', "--yes", "--json")
    assert [(one["job"], one["changed"]) for one in json.loads(done.stdout)] == [("sim", 1999)]
    assert site.ask(lambda store: store.counts())[State.RUNNING] == 1
    assert isinstance(site.run("jobs", "cancel", "sim[1").exception, BadName)
    assert isinstance(site.run("jobs", "cancel", "none[1:2]").exception, UnknownJob)
    assert "array sim: running" in site.run("jobs", "show", "sim").stdout
    shown = json.loads(site.run("jobs", "list", "sim[1:3]", "--json").stdout)
    assert [(job["id"], job["state"]) for job in shown["jobs"]] == [("sim.1", "cancelled"), ("sim.2", "cancelled")]  # fmt: skip
