"""The text that Prometheus reads."""

from __future__ import annotations

import re

import pytest

from copilot.job import Cause
from copilot.metrics.exposition import Exposition
from copilot.metrics.table import METRICS, PARTS, Kind, Metric
from copilot.runtime.counts import JobCounts
from tests.unit.metrics.scraping import World, read


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
    assert "python_gc_collections_total" in text


async def test_a_histogram_shows_how_many_numbers_are_not_above_each_limit() -> None:
    world = World()
    for seconds in (0.009, 0.01, 0.011, 90000.0):
        world.jobs.wait.observe(seconds)
    shown = await world.scrape()
    found = {
        limit: shown[f'copilot_job_wait_seconds_bucket{{le="{limit}"}}']
        for limit in ("0.01", "0.025", "86400.0", "+Inf")
    }
    assert found == {"0.01": 2, "0.025": 3, "86400.0": 3, "+Inf": 4}
    assert shown["copilot_job_wait_seconds_count"] == 4
    assert shown["copilot_job_wait_seconds_sum"] == pytest.approx(90000.03)


async def test_a_histogram_with_labels_is_there_when_its_first_number_is() -> None:
    world = World()
    assert not [name for name in await world.scrape() if name.startswith("copilot_transfer_seconds")]
    world.transfers.ended(("http", "fetch"), 0.2, 1000)
    shown = await world.scrape()
    labels = '{direction="fetch"}{scheme="http"}'
    assert shown[f"copilot_transfer_seconds_count{labels}"] == 1
    assert shown[f"copilot_transfer_bytes_total{labels}"] == 1000


async def test_a_program_shows_the_parts_that_it_has_and_none_besides() -> None:
    shown = {name.partition("{")[0] for name in read(await Exposition([JobCounts()]).text())}
    own = {metric.name for part in PARTS if part.source is JobCounts for metric in part.metrics}
    assert {name for name in shown if name.startswith("copilot_job")} >= {"copilot_jobs_claimed_total"}
    assert {
        name for name in shown if name.startswith("copilot_") and name in {one.name for one in METRICS}
    } <= own


def test_what_the_table_does_not_know_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(TypeError, match="no metrics are read from str"):
        Exposition([JobCounts(), "something"])


def test_each_object_and_each_name_is_in_the_table_once() -> None:
    assert len({part.source for part in PARTS}) == len(PARTS)
    assert len({metric.name for metric in METRICS}) == len(METRICS)


@pytest.mark.parametrize("metric", METRICS, ids=lambda metric: metric.name)
def test_names_follow_the_conventions_of_prometheus(metric: Metric) -> None:
    assert re.fullmatch(r"copilot_[a-z_]+", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.name.endswith("_seconds") == (metric.kind is Kind.HISTOGRAM)
