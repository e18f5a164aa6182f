"""Rows of real jobs: ours with the durable queue is the figure, everybody else stands beside with version and durability."""

from __future__ import annotations

import pytest

from bench.jobs import NAMES, latency_rows, rows
from bench.peers import run
from bench.peers.environments import Environment
from bench.peers.run import Contender, Result, Round, measure

DURABLE = "Redis append-only file, appendfsync always"


def result(name: str, jobs_per_second: float, durability: str = "memory only") -> Result:
    return Result(
        name=name,
        version="1",
        durability=durability,
        job="true",
        jobs_per_second=jobs_per_second,
        rounds=(jobs_per_second,),
    )


def test_the_figure_is_ours_with_every_change_on_the_disk() -> None:
    found = [result("copilot", 20.0, DURABLE), result("copilot", 30.0, "everysec"), result("ray", 10.0)]
    true, script = rows(found, {"rq": "not measured: no network"})
    assert (true.name, true.value, true.peers) == (NAMES["true"], 20.0, {"ray 1 (memory only)": 10.0})
    assert true.note == f"20 with {DURABLE}; 30 with everysec; rq not measured: no network"
    assert (script.name, script.value, script.peers) == (NAMES["script"], None, {})


def test_one_latency_in_a_hundred_is_beyond_the_99th_percentile() -> None:
    median, rare = latency_rows([1.0] * 99 + [50.0])
    assert (median.value, rare.value) == (1.0, pytest.approx(1.49))
    assert "the longest 50.0 ms" in rare.note


async def test_a_peer_that_fails_sits_out_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    async def one_round(contender: Contender, _: Environment, *, jobs: int) -> list[Round]:
        if contender.peer == "bad":
            raise RuntimeError("bad ended with status 1")
        return [Round(peer=contender.peer, version="1", durability="", job="true", jobs=jobs, seconds=1.0)]

    monkeypatch.setattr(run, "one_round", one_round)
    here = Environment(python=run.ROOT)
    contenders = {Contender(peer="bad"): here, Contender(peer="good"): here}
    found, failed = await measure(contenders, rounds=3, jobs=10)
    assert [(one.name, one.rounds) for one in found] == [("good", (10.0, 10.0, 10.0))]
    assert failed == {"bad": "bad ended with status 1"}
