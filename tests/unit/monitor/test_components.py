"""Who reports, and what it said last."""

from __future__ import annotations

from copilot.monitor.components import FORGOTTEN_AFTER, MOST_COMPONENTS, MOST_EVENTS, SILENT_AFTER, Components

JM = "jobmanager.generic.one"


def test_the_last_value_and_the_sum_of_counts_are_kept() -> None:
    all_of_them = Components()
    all_of_them.value(JM, "queued.Jobs", 3.0, 10.0, manager=True)
    all_of_them.value(JM, "queued.Jobs", 5.0, 20.0, manager=True)
    all_of_them.count(JM, "job.succeeded", 2, 30.0, manager=True)
    all_of_them.count(JM, "job.succeeded", 1, 31.0, manager=True)
    (row,) = all_of_them.rows(31.0)
    assert (row.name, row.heard, row.silent) == (JM, 31.0, False)
    assert (row.values, row.counts) == ({"queued.Jobs": 5.0}, {"job.succeeded": 3})


def test_who_says_nothing_for_three_reports_is_silent_and_after_a_day_forgotten() -> None:
    all_of_them = Components()
    all_of_them.value(JM, "x", 1.0, 0.0, manager=True)
    assert [row.silent for row in all_of_them.rows(SILENT_AFTER)] == [False]
    assert [row.silent for row in all_of_them.rows(SILENT_AFTER + 1)] == [True]
    assert all_of_them.rows(FORGOTTEN_AFTER) == ()


def test_managers_come_first_and_agents_cannot_push_them_out() -> None:
    all_of_them = Components()
    all_of_them.value(JM, "x", 1.0, 0.0, manager=True)
    for number in range(MOST_COMPONENTS + 5):
        all_of_them.value(f"agent.{number}", "x", 1.0, 1.0, manager=False)
    names = [row.name for row in all_of_them.rows(1.0)]
    assert (names[0], len(names)) == (JM, MOST_COMPONENTS + 1)
    assert "agent.0" not in names


def test_what_one_component_says_is_bounded() -> None:
    all_of_them = Components()
    for number in range(MOST_EVENTS + 5):
        all_of_them.value(JM, f"v{number}", 1.0, 0.0, manager=True)
        all_of_them.count(JM, f"c{number}", 1, 0.0, manager=True)
    (row,) = all_of_them.rows(0.0)
    assert (len(row.values), len(row.counts)) == (MOST_EVENTS, MOST_EVENTS)
