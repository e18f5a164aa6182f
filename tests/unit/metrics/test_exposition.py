"""The text that Prometheus reads."""

from __future__ import annotations

import re

import pytest

from copilot.job import Cause
from copilot.metrics.table import METRICS, Kind, Metric
from tests.unit.metrics.scraping import World


async def test_each_counter_shows_what_was_counted() -> None:
    world = World()
    world.jobs.requeues["infra-lost"] += 2
    world.jobs.reports_fenced["stale"] += 1
    world.jobs.leases_renewed = 7
    world.messages.resent = 5
    world.messages.copies = 4
    world.messages.dropped["bad-value"] += 1
    world.messages.refused["claim-refused"] += 3
    shown = await world.scrape()
    expected = {
        'copilot_requeues_total{cause="infra-lost"}': 2,
        'copilot_reports_fenced_total{reason="stale"}': 1,
        "copilot_leases_renewed_total": 7,
        "copilot_messages_resent_total": 5,
        "copilot_messages_duplicate_total": 4,
        'copilot_messages_dropped_total{reason="bad-value"}': 1,
        'copilot_messages_refused_total{code="claim-refused"}': 3,
    }
    assert {name: shown[name] for name in expected} == expected


async def test_what_may_come_is_shown_as_0_before_it_does() -> None:
    shown = await World().scrape()
    assert {shown[f'copilot_attempts_ended_total{{cause="{cause}"}}'] for cause in Cause} == {0}
    assert 'copilot_requeues_total{cause="ok"}' not in shown
    assert {shown[f'copilot_reports_fenced_total{{reason="{why}"}}'] for why in ("stale", "foreign")} == {0}
    assert shown['copilot_messages_received_total{command="jobDone"}'] == 0


async def test_every_metric_has_its_type_and_meaning() -> None:
    text = (await World().exposition.text()).decode()
    for metric in METRICS:
        assert f"# TYPE {metric.name} {metric.kind}\n" in text
        assert f"# HELP {metric.name} {metric.meaning}\n" in text
    assert "process_resident_memory_bytes" in text


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"copilot_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
