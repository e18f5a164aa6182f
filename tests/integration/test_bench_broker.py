"""The benchmark with simulated agents, in small: each job is given once and each report acknowledged, or it says so.

It starts servers of its own; those of the run are asked for to skip where there are none.
"""

from __future__ import annotations

import pytest

from bench.broker import NEW, OLD, Set, measure

ROUNDS = 2


async def do_all_jobs(server: str, protocol: str, managers: int) -> None:
    chosen = Set(server=server, protocol=protocol, managers=managers, agents=3, jobs=10, rounds=ROUNDS)
    rows = await measure(chosen)
    (rounds,) = [row["rounds"] for row in rows if str(row["name"]).startswith("job cycles:")]
    assert isinstance(rounds, list)
    assert len(rounds) == ROUNDS
    cpu = {str(row["name"]).partition(":")[0] for row in rows if row["unit"] == "µs/job"}
    assert cpu >= {f"CPU of {part}" for part in ("managers", "server", "redis", "agents")}


@pytest.mark.usefixtures("prosody", "redis_server")
async def test_simulated_agents_do_all_jobs_through_prosody_and_two_managers() -> None:
    await do_all_jobs("prosody", NEW, 2)


@pytest.mark.usefixtures("ejabberd", "redis_server")
async def test_simulated_agents_do_all_jobs_through_ejabberd() -> None:
    await do_all_jobs("ejabberd", NEW, 1)


@pytest.mark.usefixtures("prosody", "redis_server", "chirp_server")
async def test_simulated_agents_of_2011_do_all_jobs() -> None:
    await do_all_jobs("prosody", OLD, 1)
