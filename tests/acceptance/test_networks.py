"""An agent on another network: it reaches two ports of the service, joins by a bundle, and works in secure mode."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from copilot.local.process import unprivileged_user
from copilot.local.system import command_path
from tests.acceptance.networks import HUB, Host, two_hosts
from tests.acceptance.running import packed, script, service, stop, until

pytestmark = [
    pytest.mark.server("nft"),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root makes network namespaces"),
]


@contextlib.contextmanager
def on(host: Host, output: Path, *command: object, **variables: str) -> Iterator[Path]:
    """A command, running on a host; what it says is in `output`."""
    argv = host.inside(*command)
    with (
        output.open("wb") as file,
        subprocess.Popen(argv, stdout=file, stderr=file, env={**os.environ, **variables}) as process,
    ):
        try:
            yield output
            stop(process)
        finally:
            process.kill()


def test_an_agent_that_reaches_two_ports_joins_by_a_bundle_and_does_a_job_in_secure_mode(place: Path) -> None:
    system, work, bundle = place / "system", place / "work", place / "bundle.conf"
    big = place / "big.txt"
    big.write_text("x" * 200_000)  # too large to come with the job: it goes by the file port
    job = script(place / "job.sh", "wc -c < big.txt; cat /proc/net/dev")
    etc = system / "etc"
    with two_hosts() as (hub, field):
        secured = (sys.executable, "-m", "tests.acceptance.secured", system, HUB)
        with on(hub, place / "up.out", *secured) as said:
            until(lambda: "Running." in said.read_text(), "the system")
            ports = [int((system / name).read_text()) for name in ("prosody/port", "files-port")]
            redis = int((system / "redis" / "port").read_text())
            assert {*ports, redis} <= hub.open_ports()
            field.allow_only(HUB, ports)
            assert [field.reaches(HUB, port) for port in (*ports, redis)] == [True, True, False]

            copilot = command_path("copilot")
            hub.run(copilot, "bundle", "create", "-o", bundle, "--config", etc)
            joined = _handed_over(bundle, work)
            with on(field, place / "agent.out", command_path("copilot-agent"), *joined, **service()) as agent:
                until(lambda: "Ready as agent-" in agent.read_text(), "the agent")
                submit = (
                    command_path("copilot-job-submit"),
                    "--config",
                    etc,
                    "--command",
                    job,
                    "--input",
                    big,
                )
                record = json.loads(hub.run(*submit, "--wait", "--json"))
    assert (record["state"], record["exit_code"]) == ("done", 0)
    assert record["agent"] in agent.read_text()
    lines = packed(record)["stdout"].splitlines()
    assert lines[0].strip() == "200000"
    credentials = (work / "agent.conf").read_text()
    assert re.search(r"^AGENT_SECURE_MODE 1$", credentials, re.MULTILINE)
    assert "everything is sealed from end to end" in (system / "log" / "jobmanager.log").read_text()


def _handed_over(bundle: Path, work: Path) -> tuple[object, ...]:
    """The agent's options; its files belong to the user as whom it runs."""
    work.mkdir(mode=0o700)
    if (user := unprivileged_user()) is not None:
        for path in (bundle, work):
            shutil.chown(path, user)
    return "--join", bundle, "--dir", work
