"""The schedule of a seed."""

from __future__ import annotations

from itertools import islice
from random import Random

from tests.faults.kinds import KINDS
from tests.faults.schedule import Fault, schedule

TARGETS = {
    *("agent-1", "agent-2", "manager-1", "storage-1", "files-1", "xmpp", "redis", "chirp", "stanzas"),
    *("disk of agent-1", "disk of area"),
}


def first(seed: int, count: int) -> list[Fault]:
    return list(islice(schedule(Random(seed), KINDS, TARGETS, 3.0), count))


def test_a_seed_has_one_schedule() -> None:
    assert first(1, 100) == first(1, 100)
    assert first(1, 100) != first(2, 100)


def test_each_kind_comes_before_any_comes_again() -> None:
    assert {fault.kind.name for fault in first(3, len(KINDS))} == {kind.name for kind in KINDS}


def test_faults_come_in_order_and_at_the_wanted_pace() -> None:
    times = [fault.at for fault in first(4, 2000)]
    assert times == sorted(times)
    assert 2.5 < times[-1] / len(times) < 3.5


def test_a_kind_hits_only_what_it_may() -> None:
    assert all(fault.target.startswith(fault.kind.targets) for fault in first(5, 500))
