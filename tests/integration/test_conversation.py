"""Agents and managers talk, over a network that loses, doubles, delays, reorders and falls apart: every job ends once.

`simulation/` has the world, `tests/faults/history.py` the judge. A schedule that fails is printed with its seed:
`ended(Weather(seed=…))` runs it again, and so does the line that Hypothesis prints below it.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from copilot.job import Event, EventKind
from copilot.store.base import Store
from tests.faults.history import Found, judge
from tests.integration.simulation.jobs import stdout_in
from tests.integration.simulation.weather import Weather
from tests.integration.simulation.world import World

TIMES = int(os.environ.get("SIMULATE", "1"))  # `make simulate` runs that many times as many
# Smaller failing schedules are looked for by `make simulate` alone, which has the time.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate, *([Phase.shrink] if TIMES > 1 else []))
SCHEDULES = settings(max_examples=80 * TIMES, deadline=None, print_blob=True, phases=PHASES)
FEWER = settings(SCHEDULES, max_examples=40 * TIMES)
FEW = settings(SCHEDULES, max_examples=6 * TIMES)
pytestmark = pytest.mark.timeout(300 * TIMES)  # s of all schedules of a test, on a busy machine, traced


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

# Nothing but partitions, while jobs are long and leases short: where an agent loses its job, they are the reason.
SPLIT = st.builds(
    Weather,
    seed=st.integers(0, 2**32),
    jitter=st.floats(0.0, 0.1),
    splits=st.integers(0, 3),
    store_splits=st.integers(0, 3),
    server_outages=st.integers(0, 2),
    longest_split=st.sampled_from([30.0, 300.0, 3600.0]),
    manager_deaths=st.integers(0, 2),
    agents=st.integers(2, 3),
    managers=st.integers(1, 2),
    jobs=st.integers(1, 4),
    longest_job=st.sampled_from([30.0, 300.0]),
    lease=st.sampled_from([10.0, 60.0]),
)
SERVICE_AWAY = st.builds(replace, SPLIT, splits=st.just(0))
ALONE = st.builds(replace, SPLIT, agents=st.just(1), splits=st.integers(1, 3), jobs=st.just(1))


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
    results = {job: stdout_in(job, output) for job, output in world.outputs.published.items()}
    assert judge(world.jobs, events_of(world), world.records(), results) == Found()
    return world


def events_of(world: World) -> list[Event]:
    return asyncio.run(_events(world.store))  # they can be waited for, which wants a loop


async def _events(store: Store) -> list[Event]:
    events: list[Event] = []
    while more := await store.events(after=events[-1].id if events else "0", count=1000):
        events.extend(more)
    return events


def attempts_used(world: World) -> set[int]:
    return {record.attempts_used for record in world.records().values()}


def test_in_good_weather_every_job_takes_one_attempt() -> None:
    world = ended(Weather(seed=1, agents=3, managers=2, jobs=10))
    assert {record.attempt for record in world.records().values()} == {1}


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


@FEW
@given(st.builds(replace, BAD_MANAGERS, apart=st.booleans(), sealed=st.just(True)))
def test_in_secure_mode_the_same_costs_no_job_and_no_attempt(weather: Weather) -> None:
    assert attempts_used(ended(weather)) == {1}


@FEW
@given(st.builds(replace, BAD_AGENTS, splits=st.integers(0, 2), sealed=st.just(True)))
def test_in_secure_mode_agents_that_die_cost_attempts_but_no_job(weather: Weather) -> None:
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


@FEWER
@given(SPLIT)
def test_partitions_take_no_job_from_an_agent_that_was_not_the_one_cut_off(weather: Weather) -> None:
    assert ended(weather).robbed == []


@FEWER
@given(SERVICE_AWAY)
def test_an_outage_of_the_service_costs_no_attempt_although_others_wait_for_work(weather: Weather) -> None:
    world = ended(weather)
    assert attempts_used(world) == {1}
    assert world.robbed == []


@FEWER
@given(ALONE)
def test_an_agent_that_was_cut_off_goes_on_with_what_nobody_else_has_begun(weather: Weather) -> None:
    """But for one case: an old request of it came late, so it passed for free, was offered its own job, and handed it back."""
    world = ended(weather)
    offered_its_own = any(event.kind is EventKind.HANDED_BACK for event in events_of(world))
    assert attempts_used(world) == {1} or offered_its_own


@FEWER
@given(
    st.builds(
        replace,
        BAD_AGENTS,
        splits=st.integers(1, 3),
        store_splits=st.integers(0, 3),
        server_outages=st.integers(0, 1),
    )
)
def test_partitions_in_bad_weather_cost_attempts_but_no_job(weather: Weather) -> None:
    ended(weather)


def test_a_calm_agent_renews_three_times_a_lease_and_no_more() -> None:
    world = ended(Weather(seed=3, jobs=1, lease=24.0, longest_job=200.0))
    renewals = sum(manager.counts.received["renewLease"] for manager in world.managers)
    (claimed,) = (event.time for event in events_of(world) if event.kind is EventKind.CLAIMED)
    leases = (world.time.now - claimed) / 24.0
    assert leases > 1.0
    assert 1 <= renewals <= 3 * leases / 0.8 + 1
