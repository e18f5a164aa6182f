"""Jobs that prefer some hosts, idle agents on different ones, and two managers, by the real commands."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

from tests.acceptance.running import Up, run, script, until
from tests.acceptance.test_many_managers import manager

LARGE = 'ifThenElse(member("large", other.Tags) =?= true, -1, 1)'


def test_jobs_go_to_the_idle_agent_that_they_prefer(ground: Path, place: Path) -> None:
    up = Up(ground / "system")
    job = script(place / "job.sh", "true")
    options = ("-n", 16, "--tag", "large")
    with up.running("--agents", 2), manager(up, 1), up.agent(3, options, AGENT_SLOTS=""):
        until(lambda: asyncio.run(idle(up)) == 3, "three idle agents")
        assert submitted(up, job, "--count", 5, "--rank", "MaxCores") == ["agent-3"] * 5
        (agent,) = submitted(up, job, "--id", "small", "--rank", LARGE)
        assert agent in ("agent-1", "agent-2")
        assert LARGE in run("copilot", "jobs", "show", "small", "--config", up.etc).stdout
        refused = run("copilot", "submit", "--dry-run", "--config", up.etc, "--rank", "Cores *", job)
        assert (refused.returncode, "rank 'Cores *': expected a value" in refused.stderr) == (2, True), (
            refused
        )


def submitted(up: Up, job: Path, *options: object) -> list[str]:
    """Jobs come, and end; the agent of each."""
    done = run("copilot", "submit", "--wait", "--json", "--config", up.etc, *options, job)
    assert done.returncode == 0, done.stderr
    return [json.loads(line)["agent"].partition("@")[0] for line in done.stdout.splitlines()]


async def idle(up: Up) -> int:
    """How many agents wait for work."""
    async with up.store() as store:
        return len((await store.idle()).rows)
