"""Agents and managers talk, over a network that loses, doubles, delays and reorders: every job ends once.

`simulation.py` has the world. A schedule that fails is printed with its seed: `ended(Weather(seed=…))` runs it again.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from copilot.job import EventKind, State
from tests.integration.simulation import Weather, World, output_of

TIMES = int(os.environ.get("SIMULATE", "1"))  # `make simulate` runs that many times as many
SCHEDULES = settings(max_examples=200 * TIMES, deadline=None)
FEWER = settings(max_examples=100 * TIMES, deadline=None)

BAD_NETWORK = st.builds(
    Weather,
    seed=st.integers(0, 2**32),
    loss=st.floats(0.0, 0.4),
    double=st.floats(0.0, 0.4),
    jitter=st.floats(0.0, 20.0),
    cuts=st.integers(0, 6),
    agents=st.integers(1, 3),
    slots=st.integers(1, 2),
    managers=st.integers(1, 2),
    jobs=st.integers(1, 4),
)
BAD_MANAGERS = st.builds(
    replace,
    BAD_NETWORK,
    manager_deaths=st.integers(1, 8),
    store_away=st.floats(0.0, 0.3),
    upload_fails=st.floats(0.0, 0.3),
)
BAD_AGENTS = st.builds(
    replace,
    BAD_MANAGERS,
    agent_deaths=st.integers(1, 6),
    journal_fails=st.floats(0.0, 0.3),
    jumps=st.integers(0, 2),
)

GOOD_LINE = st.builds(
    Weather,
    seed=st.integers(0, 2**32),
    jitter=st.floats(0.0, 0.1),
    manager_deaths=st.integers(0, 8),
    store_away=st.floats(0.0, 0.1),
    agents=st.integers(1, 3),
    slots=st.integers(1, 2),
    managers=st.integers(1, 2),
    jobs=st.integers(1, 4),
)

CALM = st.builds(replace, GOOD_LINE, manager_deaths=st.just(0), store_away=st.just(0.0))


@pytest.fixture(autouse=True, scope="module")
def _quiet() -> Iterator[None]:
    """Nobody reads what hundreds of worlds log, and keeping it takes longer than they do."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


def ended(weather: Weather) -> World:
    """The world after its jobs have ended, each once, with the output of the attempt that was accepted."""
    world = World(weather)
    world.run()
    events = asyncio.run(world.store.events(count=1000))
    ends = [event.job for event in events if event.kind is EventKind.DONE]
    assert sorted(ends) == sorted(spec.id for spec in world.jobs)
    assert set(world.accepted.values()) <= {1}
    for record in world.records():
        assert record.state is State.DONE
        assert world.accepted[record.spec.id, record.attempt] == 1
        assert world.outputs.published[record.spec.id] == output_of(record.spec.id, record.attempt)
    return world


def attempts_used(world: World) -> set[int]:
    return {record.attempts_used for record in world.records()}


def test_in_good_weather_every_job_takes_one_attempt() -> None:
    world = ended(Weather(seed=1, agents=3, managers=2, jobs=10))
    assert {record.attempt for record in world.records()} == {1}


@FEWER
@given(BAD_NETWORK)
def test_a_bad_network_costs_no_job_and_no_attempt(weather: Weather) -> None:
    assert attempts_used(ended(weather)) == {1}


@SCHEDULES
@given(BAD_MANAGERS)
def test_managers_that_die_at_any_step_cost_no_job_and_no_attempt(weather: Weather) -> None:
    assert attempts_used(ended(weather)) == {1}


@FEWER
@given(BAD_AGENTS)
def test_agents_that_die_and_come_back_cost_attempts_but_no_job(weather: Weather) -> None:
    ended(weather)


@FEWER
@given(st.builds(replace, BAD_AGENTS, departures=st.integers(1, 6), grace=st.sampled_from([0.0, 10.0, 40.0])))
def test_agents_that_leave_in_bad_weather_cost_attempts_but_no_job(weather: Weather) -> None:
    ended(weather)


@FEWER
@given(CALM, st.integers(1, 8), st.sampled_from([0.0, 10.0, 40.0]))
def test_agents_that_leave_in_the_middle_cost_no_job_and_no_attempt(
    weather: Weather, departures: int, grace: float
) -> None:
    assert attempts_used(ended(replace(weather, departures=departures, grace=grace))) == {1}


@FEWER
@given(st.builds(replace, BAD_MANAGERS, apart=st.just(True)))
def test_a_storage_manager_of_its_own_to_which_agents_are_redirected_costs_no_job_and_no_attempt(
    weather: Weather,
) -> None:
    assert attempts_used(ended(weather)) == {1}


@FEWER
@given(st.builds(replace, BAD_AGENTS, apart=st.just(True)))
def test_agents_that_die_half_way_through_a_redirect_cost_attempts_but_no_job(weather: Weather) -> None:
    ended(weather)


@FEWER
@given(BAD_AGENTS, st.sampled_from([5.0, 15.0, 60.0]))
def test_leases_that_run_out_too_early_cost_attempts_but_no_job(weather: Weather, lease: float) -> None:
    ended(replace(weather, lease=lease))


@FEWER
@given(GOOD_LINE, st.sampled_from([5.0, 60.0]))
def test_a_living_agent_loses_no_job_however_short_the_lease_and_long_the_outage(
    weather: Weather, lease: float
) -> None:
    assert attempts_used(ended(replace(weather, lease=lease))) == {1}


def test_a_calm_agent_renews_three_times_a_lease_and_no_more() -> None:
    world = ended(Weather(seed=3, jobs=1, lease=24.0))
    renewals = sum(manager.counts.received["renewLease"] for manager in world.managers)
    (claimed,) = (
        event.time for event in asyncio.run(world.store.events()) if event.kind is EventKind.CLAIMED
    )
    leases = (world.time.now - claimed) / 24.0
    assert leases > 1.0
    assert 1 <= renewals <= 3 * leases / 0.8 + 1
