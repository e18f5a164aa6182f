"""What a job needs becomes a part of its requirements, and hosts that cannot give it do not match."""

from __future__ import annotations

import pytest

from copilot.matching.matcher import matches
from copilot.matching.needs import with_needs

GIBIBYTE = 2**30
OLD = "[ Memory = 4096; LocalDiskSpace = 9000000 ]"
NEW = '[ Memory = 4096; LocalDiskSpace = 9000000; MaxMemory = 1024; MaxDisk = 5000; Network = false; Images = { "docker" } ]'


def test_a_job_that_needs_nothing_has_the_requirements_of_its_owner() -> None:
    assert with_needs("", memory=None, disk=None) == ""
    assert with_needs("Cores>2", memory=None, disk=None) == "other.Cores > 2"


@pytest.mark.parametrize(
    ("needs", "old", "new"),
    [
        ({"memory": GIBIBYTE}, True, True),
        ({"memory": GIBIBYTE + 1}, True, False),
        ({"memory": 5 * GIBIBYTE}, False, False),
        ({"disk": 5000 * 1024}, True, True),
        ({"disk": 5001 * 1024}, True, False),
        ({"network": True}, True, False),
        ({"image": "docker://debian:12"}, False, True),
        ({"image": "/images/a.sif"}, False, False),
    ],
)
def test_a_host_that_is_too_small_does_not_get_it(needs: dict[str, object], old: bool, new: bool) -> None:
    text = with_needs("other.Memory > 1 || false", **{"memory": None, "disk": None, **needs})  # type: ignore[arg-type]
    assert (matches(text, OLD), matches(text, NEW)) == (old, new)
