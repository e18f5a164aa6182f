"""Jobs that prefer some hosts, and idle agents on different ones, by the real commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.running import Up, run, script, until

pytestmark = pytest.mark.timeout(120)


def test_a_job_goes_to_the_idle_agent_that_it_prefers_each_time(ground: Path, place: Path) -> None:
    up = Up(ground / "system")
    job, told = script(place / "job.sh", "true"), ("--json", "--config", up.etc)
    with up.running("--agents", 2), up.agent(3, ("-n", 16, "--tag", "large"), AGENT_SLOTS=""):

        def copilot(*words: object) -> Any:
            done = run("copilot", *words)
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout)

        def idle() -> list[str]:
            return [one["agent"] for one in copilot("agents", "list", "--state", "idle", *told)]

        def went(*options: object) -> str:
            """A job comes, and ends; its agent."""
            submitted = copilot("submit", "--wait", *told, *options, job)
            return submitted["agent"].partition("@")[0]

        until(lambda: len(idle()) == 3, "three idle agents")
        assert [went("--rank", "MaxCores") for _ in range(5)] == ["agent-3"] * 5
        small = 'ifThenElse(member("large", other.Tags) =?= true, -1, 1)'
        assert went("--id", "small", "--rank", small) in ("agent-1", "agent-2")
        assert small in run("copilot", "jobs", "show", "small", "--config", up.etc).stdout
        refused = run("copilot", "submit", "--dry-run", "--config", up.etc, "--rank", "Cores *", job)
        assert (refused.returncode, "rank 'Cores *': expected a value" in refused.stderr) == (2, True), (
            refused
        )
