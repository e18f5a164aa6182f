"""Ten jobs that do not run, each for another reason: `copilot jobs explain` tells which, to a user who has only the commands."""

from __future__ import annotations

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from copilot.local.system import command_path
from tests.acceptance.running import LIMIT_S, Up, run, script

KILLED = "kill -KILL $$"


def explain(system: Up, *jobs: str) -> dict[str, dict[str, Any]]:
    """What the command says of each."""
    found = run("copilot", "jobs", "explain", *jobs, "--json", "--config", system.etc)
    assert found.stdout, found.stderr
    said = json.loads(found.stdout)
    return {one["job"]: one for one in (said if isinstance(said, list) else [said])}


def explained(system: Up, job: str, code: str) -> dict[str, Any]:
    """What is said of a job as soon as this is the reason: `--watch` goes on until then."""
    with watching(system, job) as watched:
        for line in watched.stdout or ():
            said: dict[str, Any] = json.loads(line)
            if said["code"] == code:
                return said
    raise AssertionError(f"{job} was never explained by {code}")


@contextmanager
def watching(system: Up, job: str) -> Iterator[subprocess.Popen[str]]:
    words = ["timeout", f"{LIMIT_S:g}", str(command_path("copilot")), "jobs", "explain", job, "--json"]
    with subprocess.Popen(
        [*words, "--watch", "0.3", "--config", str(system.etc)], stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def submit(system: Up, command: Path, name: str, *options: object) -> None:
    said = system.submit(command, "--id", name, *options)
    assert said.returncode == 0, said.stderr


@pytest.mark.timeout(300)
def test_ten_jobs_that_do_not_run_are_explained_each_by_its_reason(up: Up, place: Path) -> None:
    place.chmod(0o755)
    killed, short = script(place / "killed.sh", KILLED), script(place / "short.sh", "true")
    long = script(place / "long.sh", "sleep 300")
    data = place / "data"
    data.write_text("data")
    with up.running():
        with (up.etc / "copilot-jobmanager-generic.conf").open("a") as file:
            file.write("JM_DISPATCH_LIMIT 2s\n")
        up.kill("copilot-jobmanager")
        # All that fails fails at agent-1, which has one slot, until it is in quarantine.
        submit(up, killed, "dead", "--max-attempts", 2)
        failed = up.submit(killed, "--id", "bad", "--max-attempts", 1, "--count", 2, "--wait")
        assert failed.returncode != 0
        submit(up, short, "shunned", "--requirements", "Slots == 1")
        shunned = explained(up, "shunned", "quarantine")
        assert "jobs keep failing there" in shunned["text"]
        assert "copilot agents release agent-1@" in shunned["next"]
        submit(up, short, "impossible", "--requirements", "Memory >= 99999999")
        after = "submit", "--id", "patient", "--after", "dead", "--config", up.etc, short
        blocked = run("copilot", *after)
        assert blocked.returncode == 0, blocked.stderr
        submit(up, short, "large", "--memory", "8 TiB")
        submit(up, short, "kept", "--requirements", "Slots == 90")
        held = run("copilot", "jobs", "hold", "kept", "--reason", "Ann looks", "--config", up.etc)
        assert held.returncode == 0, held.stderr
        limited = run("copilot", "shares", "set", "project:capped", "--jobs", "0", "--config", up.etc)
        assert limited.returncode == 0, limited.stderr
        submit(up, short, "beyond", "--project", "capped", "--requirements", "Slots == 90")
        submit(up, short, "hungry", "--input", data, "--requirements", "Slots == 90")
        (staged,) = (up.directory / "files").glob("hungry.a0/data")
        staged.unlink()
        with up.agent(2, AGENT_SLOTS="12") as second:
            submit(up, long, "gone", "--requirements", "Slots == 12")
            explained(up, "gone", "running")
            # It has room for more, is believed to be there, and confirms nothing.
            second.send_signal(signal.SIGSTOP)
            submit(up, short, "returned", "--requirements", "Slots == 12")
            back = explained(up, "returned", "back-off")
            assert re.search(r"handed back \d+ times in a row, last by agent-2@", back["text"])
            second.kill()
            second.wait(LIMIT_S)
        gone = explained(up, "gone", "silent")
        assert "goes to another agent (attempt 2)" in gone["next"]
        said = explain(up, "impossible", "large", "kept", "hungry", "beyond", "patient", "dead", "nobody")
        text = run("copilot", "jobs", "explain", "dead", "--config", up.etc).stdout
    assert {job: one["code"] for job, one in said.items()} == {
        "impossible": "no-matching-agent",
        "large": "too-big",
        "kept": "held",
        "hungry": "input-missing",
        "beyond": "quota",
        "patient": "dependency",
        "dead": "dead-letter",
        "nobody": "unknown-job",
    }
    assert said["impossible"]["text"].startswith("needs Memory >= 99999999: 1 agent online, best has ")
    assert said["large"]["text"].startswith("needs 8 TiB of memory for one job: ")
    assert "project capped" in said["beyond"]["text"]
    waits = "waits for 1 job: dead (failed, infra-killed); that does not end by itself"
    assert said["patient"]["text"] == waits
    assert said["kept"]["text"].endswith(": Ann looks")
    assert "data is not in the file area" in said["hungry"]["text"]
    assert "each time somebody killed it with SIGKILL" in said["dead"]["text"]
    assert text.count("exit code 137 (SIGKILL)") == 2
