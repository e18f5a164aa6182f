"""What real programs show to Prometheus after real jobs: each number is that of what has happened."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from copilot.local.provision import Installed
from copilot.metrics.table import AGENTS, FILE_SERVER, MANAGERS, PARTS
from tests.acceptance.running import Up, VariedSystem, script
from tests.acceptance.shown import HOST, Shown
from tests.integration import prometheus_fixtures
from tests.integration.prometheus_fixtures import scraping

promtool = prometheus_fixtures.promtool

PROGRAMS = {
    "JM": MANAGERS,
    "SM": MANAGERS,
    "AGENT": AGENTS,
    "JM_FILES": FILE_SERVER,
}  # by the prefix of the setting
SAMPLE_PORTS = {9464: "JM", 9465: "SM", 9466: "JM_FILES", 9467: "AGENT"}
LARGE = 40_000  # bytes, more than goes with a message


@pytest.fixture
async def shown(up: Up) -> AsyncIterator[Shown]:
    """A system with one agent, all of whose programs show metrics."""
    system, numbers = VariedSystem(up.directory, agents=1), Shown(up.directory, tuple(PROGRAMS))
    numbers.switch_on(system)
    async with system.running():
        yield numbers


async def test_each_program_shows_its_part_of_what_three_jobs_took(shown: Shown, up: Up, place: Path) -> None:
    shared = place / "shared"
    shared.write_bytes(os.urandom(LARGE))
    good = script(
        place / "good.sh", f"sleep 0.02; cat shared > /dev/null; head -c {LARGE} /dev/urandom > out"
    )
    bad = script(place / "bad.sh", f"head -c {LARGE} /dev/urandom > out; exit 3")
    for command in (good, good, bad):
        await asyncio.to_thread(up.job, command, "--input", shared)
    sums = await shown.once(lambda sums: sums["copilot_agent_reports_accepted_total"] == 3)
    expected = {
        "copilot_jobs_claimed_total": 3,
        "copilot_job_wait_seconds_count": 3,
        'copilot_job_run_seconds_count{outcome="done"}': 2,
        'copilot_job_run_seconds_count{outcome="failed"}': 1,
        'copilot_handling_seconds_count{command="runJob"}': 3,
        "copilot_agent_slots": 1,
        "copilot_agent_jobs_taken_total": 3,
        'copilot_agent_jobs_ended_total{cause="ok"}': 2,
        'copilot_agent_jobs_ended_total{cause="user-exit"}': 1,
        "copilot_agent_payload_seconds_count": 3,
        "copilot_agent_journal_writes_total": 6,
        "copilot_agent_cache_misses_total": 1,
        "copilot_agent_cache_hits_total": 2,
        "copilot_agent_cache_bytes": LARGE,
        'copilot_transfer_seconds_count{direction="fetch"}{scheme="http"}': 1,
        'copilot_transfer_bytes_total{direction="fetch"}{scheme="http"}': LARGE,
        'copilot_transfer_seconds_count{direction="store"}{scheme="http"}': 3,
        'copilot_fileserver_requests_total{method="GET"}{status="2xx"}': 1,
        'copilot_fileserver_requests_total{method="PUT"}{status="2xx"}': 3,
        'copilot_fileserver_seconds_count{method="PUT"}': 3,
        "copilot_fileserver_sent_bytes_total": LARGE,
        "copilot_session_up": 3,
        "copilot_sessions_begun_total": 3,
        "copilot_login_seconds_count": 3,
        "copilot_sessions_lost_total": 0,
        "copilot_store_up": 2,
        'copilot_store_errors_total{kind="unavailable"}': 0,
        'copilot_handling_failures_total{reason="mistake"}': 0,
    }
    assert {name: sums[name] for name in expected} == expected
    stored = sums['copilot_transfer_bytes_total{direction="store"}{scheme="http"}']
    assert 3 * LARGE < stored == sums["copilot_fileserver_received_bytes_total"] < 3.1 * LARGE
    assert sums["copilot_job_wait_seconds_sum"] < sums["copilot_job_wait_seconds_count"] * 60
    assert (
        0.04 <= sums["copilot_agent_payload_seconds_sum"] <= sums["copilot_agent_payload_seconds_count"] * 60
    )
    assert sums["copilot_store_round_trips_total"] >= sums["copilot_store_round_trip_seconds_count"] > 9


async def test_prometheus_reads_them_as_the_sample_says_and_alerts_about_what_is_missing(
    shown: Shown, up: Up, place: Path, promtool: Installed
) -> None:
    await asyncio.to_thread(up.job, script(place / "job.sh", "true"))
    ports = {sample: shown.port(program) for sample, program in SAMPLE_PORTS.items()}
    async with scraping(promtool, place, ports) as prometheus:
        (accepted,) = await prometheus.says("copilot_agent_reports_accepted_total == 1")
        assert accepted["metric"]["job"] == "copilot-agents"
        assert await prometheus.says("count(up == 1) == 4")
        (wait,) = await prometheus.says(
            "histogram_quantile(0.99, sum by (le) (copilot_job_wait_seconds_bucket)) > 0"
        )
        assert float(wait["value"][1]) < 20
        (missing,) = await prometheus.says('ALERTS{alertname="CopilotDown"}')
        assert (missing["metric"]["instance"], missing["metric"]["alertstate"]) == (f"{HOST}:9468", "pending")
        assert {one["metric"]["alertname"] for one in await prometheus.ask("ALERTS")} <= {
            "CopilotDown",  # there is no monitor
            "CopilotNoAgents",  # as far as one can tell of the first seconds
            "CopilotDiskFull",  # of this machine
        }


async def test_each_program_shows_what_the_table_says_and_nothing_else(shown: Shown) -> None:
    for program, kind in PROGRAMS.items():
        own = [metric for part in PARTS if kind in part.shown_by for metric in part.metrics]
        names = {
            name.partition("{")[0].removesuffix("_bucket").removesuffix("_count").removesuffix("_sum")
            for name in await shown.by(program)
            if name.startswith("copilot_")
        }
        assert names <= {metric.name for metric in own}, program
        assert names >= {metric.name for metric in own if metric.known or not metric.labels}, program
