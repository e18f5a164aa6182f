"""What a job may use that does not say what it needs: the share of its cores; who says so may have all."""

from __future__ import annotations

import pytest

from copilot.agent.capacity import Capacity
from copilot.agent.limits.keeping import Keeping
from copilot.job import Limits

KEEPING = Keeping(most=Limits(memory=8000, disk=900), each=Limits(memory=1000, disk=100))


@pytest.mark.parametrize(
    ("wanted", "cores", "memory", "disk"),
    [
        (Limits(), 1, 1000, 100),
        (Limits(), 4, 4000, 400),
        (Limits(), 24, 8000, 900),
        (Limits(memory=6000), 1, 6000, 100),
        (Limits(memory=9000, disk=50), 2, 8000, 50),
    ],
)
def test_memory_and_disk_go_by_cores(wanted: Limits, cores: int, memory: int, disk: int) -> None:
    held = KEEPING.limits(wanted, cores)
    assert (held.memory, held.disk) == (memory, disk)
    assert KEEPING.refusing(wanted, cores) == memory


def test_what_an_operator_says_of_each_job_is_the_same_for_all() -> None:
    keeping = Keeping(most=Limits(memory=500))
    assert keeping.limits(Limits(), 4).memory == keeping.limits(Limits(), 1).memory == 500


@pytest.mark.parametrize(
    ("capacity", "cores", "share"),
    [
        (Capacity(cores=24, jobs=24), 1, 41),
        (Capacity(cores=24, jobs=24), 24, 984),
        (Capacity(cores=24, jobs=1), 1, 1000),  # one job at a time has it all
        (Capacity(cores=24, jobs=1), 12, 1000),
    ],
)
def test_a_share_is_that_of_the_places(capacity: Capacity, cores: int, share: int) -> None:
    assert capacity.share(1000, cores) == share
    assert capacity.share(None, cores) is None
