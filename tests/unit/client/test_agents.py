"""What is told of agents: what is free and in all, of those that are there."""

from __future__ import annotations

from copilot.client.agents import _hosts
from copilot.store.explaining import Machine, Machines

NOW = 1000.0


def machine(resource: str, *, asked: float, cores: int, parked: float | None = None) -> Machine:
    return Machine(
        jid=f"a@x.org/{resource}",
        agent="a@x.org",
        asked=asked,
        parked=parked,
        host=f"[Cores = {cores}; Memory = 1000]",
    )


def test_of_several_under_one_account_those_count_that_are_online() -> None:
    gone = machine("gone", asked=NOW - 800, cores=32)
    there = [machine(name, asked=NOW - 900, cores=4, parked=NOW - 900) for name in ("one", "two")]
    told = _hosts(Machines(now=NOW, total=3, rows=[gone, *there]))
    assert told == {"a@x.org": {"seen": NOW - 900, "cores": 8, "memory": 2000}}


def test_of_those_that_have_gone_the_last_one_is_told() -> None:
    rows = [machine("last", asked=NOW - 700, cores=32), machine("first", asked=NOW - 800, cores=4)]
    told = _hosts(Machines(now=NOW, total=2, rows=rows))
    assert told == {"a@x.org": {"seen": NOW - 700, "cores": 32, "memory": 1000}}
