"""The samples in etc/prometheus, and the text of our metrics, as Prometheus itself reads them."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from copilot.local.provision import Installed
from tests.integration import prometheus_fixtures
from tests.integration.prometheus_fixtures import ETC
from tests.unit.metrics.scraping import World
from tests.unit.metrics.test_samples import expressions

promtool = prometheus_fixtures.promtool

ALERTS = ETC / "copilot-alerts.yml"
DASHBOARD = ETC.with_name("grafana") / "copilot-prometheus.json"
PAGE = ETC.parents[1] / "docs" / "metrics.md"
LATE = "90m"  # later than any alert waits

# What makes each alert ring: series with their values, minute by minute ("start+step x times").
ALARMS: Mapping[str, Mapping[str, str]] = {
    "CopilotDown": {'up{job="copilot-managers", instance="one"}': "0x100"},
    "CopilotStoreDown": {"copilot_store_up": "0x100"},
    "CopilotStoreErrors": {'copilot_store_errors_total{instance="one", kind="unavailable"}': "0+60x100"},
    "CopilotStoreSlow": {
        'copilot_store_round_trip_seconds_bucket{instance="one", le="0.5"}': "0+10x100",
        'copilot_store_round_trip_seconds_bucket{instance="one", le="1.0"}': "0+60x100",
        'copilot_store_round_trip_seconds_bucket{instance="one", le="+Inf"}': "0+60x100",
    },
    "CopilotSessionDown": {"copilot_session_up": "0x100"},
    "CopilotSessionFlaps": {"copilot_sessions_lost_total": "0+1x100"},
    "CopilotLoopLag": {
        'copilot_loop_lag_seconds_bucket{instance="one", le="0.5"}': "0+10x100",
        'copilot_loop_lag_seconds_bucket{instance="one", le="1.0"}': "0+60x100",
        'copilot_loop_lag_seconds_bucket{instance="one", le="+Inf"}': "0+60x100",
    },
    "CopilotOverloaded": {"copilot_events_at_work": "256x100"},
    "CopilotMistake": {'copilot_handling_failures_total{reason="mistake"}': "0+1x100"},
    "CopilotNoAgents": {'copilot_messages_received_total{job="copilot-managers", command="getJob"}': "7x100"},
    "CopilotQueueStuck": {'copilot_jobs{state="waiting"}': "7x100", "copilot_jobs_claimed_total": "3x100"},
    "CopilotQueueOld": {
        'copilot_job_wait_seconds_bucket{le="3600.0"}': "0+10x100",
        'copilot_job_wait_seconds_bucket{le="14400.0"}': "0+60x100",
        'copilot_job_wait_seconds_bucket{le="+Inf"}': "0+60x100",
    },
    "CopilotGettingJobsSlow": {
        'copilot_handling_seconds_bucket{command="getJob", le="5.0"}': "0+10x100",
        'copilot_handling_seconds_bucket{command="getJob", le="10.0"}': "0+60x100",
        'copilot_handling_seconds_bucket{command="getJob", le="+Inf"}': "0+60x100",
    },
    "CopilotLeasesRunOut": {
        "copilot_leases_ran_out_total": "0+1x100",
        "copilot_leases_granted_total": "0+10x100",
    },
    "CopilotRequeues": {'copilot_requeues_total{cause="infra-lost"}': "0+2x100"},
    "CopilotJobsFail": {
        'copilot_job_run_seconds_count{outcome="failed"}': "0+6x100",
        'copilot_job_run_seconds_count{outcome="done"}': "0+3x100",
    },
    "CopilotStaleReports": {'copilot_reports_fenced_total{reason="stale"}': "0+1x100"},
    "CopilotForeignReports": {'copilot_reports_fenced_total{reason="foreign"}': "0+1x100"},
    "CopilotQuarantines": {"copilot_quarantines_total": "0+1x100"},
    "CopilotDiskFull": {
        'copilot_disk_free_bytes{directory="files"}': "9x100",
        'copilot_disk_size_bytes{directory="files"}': "100x100",
    },
    "CopilotFileServerErrors": {'copilot_fileserver_requests_total{method="PUT", status="5xx"}': "0+60x100"},
    "CopilotTransfersFail": {
        'copilot_transfer_failures_total{scheme="http", direction="fetch"}': "0+1x100",
        'copilot_transfer_seconds_count{scheme="http", direction="store"}': "0+9x100",
    },
    "CopilotJournalFails": {"copilot_agent_journal_failures_total": "0+1x100"},
    "CopilotAgentTakenForDead": {"copilot_agent_leases_lost_total": "0+1x100"},
    "CopilotMonitorDropsLines": {"copilot_monitor_lines_dropped_total": "0+1x100"},
}
QUIET: Mapping[str, str] = {
    'up{job="copilot-managers", instance="one"}': "1x100",
    'up{job="copilot-agents", instance="one"}': "0x100",  # agents come and go
    "copilot_store_up": "1x100",
    "copilot_session_up": "1x100",
    'copilot_jobs{state="waiting"}': "7x100",
    "copilot_jobs_claimed_total": "0+60x100",
    "copilot_leases_granted_total": "0+60x100",
    "copilot_leases_ran_out_total": "0+1x100",
    'copilot_messages_received_total{job="copilot-managers", command="getJob"}': "0+60x100",
    'copilot_requeues_total{cause="infra-preempted"}': "0+60x100",
    'copilot_job_run_seconds_count{outcome="done"}': "0+60x100",
    'copilot_job_run_seconds_count{outcome="failed"}': "0+6x100",
    'copilot_reports_fenced_total{reason="repeated"}': "0+60x100",
    'copilot_transfer_failures_total{scheme="http", direction="fetch"}': "0+1x100",
    'copilot_transfer_seconds_count{scheme="http", direction="fetch"}': "0+9x100",
    'copilot_disk_free_bytes{directory="files"}': "50x100",
    'copilot_disk_size_bytes{directory="files"}': "100x100",
}


def run(tool: Installed, *arguments: object, told: bytes = b"") -> str:
    """What promtool says; it must be content."""
    argv = [str(tool.program), *map(str, arguments)]
    done = subprocess.run(argv, input=told, capture_output=True, check=False, env=tool.environment())
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    return said


def test_the_configuration_and_its_rules_are_valid(promtool: Installed) -> None:
    assert f"{len(ALARMS)} rules found" in run(promtool, "check", "config", ETC / "prometheus.yml")


@pytest.mark.parametrize("path", [DASHBOARD, PAGE], ids=lambda path: path.name)
def test_what_dashboard_and_page_ask_for_is_valid(promtool: Installed, tmp_path: Path, path: Path) -> None:
    asked = [one.replace("$__rate_interval", "5m") for one in expressions(path)]
    rules = [{"record": f"panel:{number}", "expr": one} for number, one in enumerate(asked)]
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": rules}]}))  # which is YAML, too
    assert f"{len(rules)} rules found" in run(promtool, "check", "rules", file)


async def test_the_text_of_every_metric_is_as_prometheus_wants_it(promtool: Installed) -> None:
    world = World()
    world.jobs.run["done"].observe(1.0)
    world.transfers.ended(("http", "fetch"), 0.2, 1000)
    assert run(promtool, "check", "metrics", told=await world.exposition.text()) == ""


def test_each_alert_rings_when_it_should_and_none_in_a_quiet_time(
    promtool: Installed, tmp_path: Path
) -> None:
    assert set(re.findall(r"alert: (\w+)", ALERTS.read_text())) == ALARMS.keys()
    tests = [_case(series, alert) for alert, series in ALARMS.items()]
    cases = {"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": [*tests, _case(QUIET, None)]}
    file = tmp_path / "cases.yml"
    file.write_text(json.dumps(cases))
    run(promtool, "test", "rules", file)


def _case(series: Mapping[str, str], alert: str | None) -> dict[str, Any]:
    ringing = 'count by (alertname) (ALERTS{alertstate="firing"})'
    expected = [] if alert is None else [{"labels": f'{{alertname="{alert}"}}', "value": 1}]
    return {
        "name": alert or "quiet",
        "interval": "1m",
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": [{"expr": ringing, "eval_time": LATE, "exp_samples": expected}],
    }
