"""What a server says of itself, and what an operator hears of it."""

from __future__ import annotations

from typing import Any

import pytest

from copilot.errors import ConfigError
from copilot.store.fitness import check_fitness, disk_warning, replica_warning

DURABLE = {"aof_enabled": 1}


@pytest.mark.parametrize("version", ["2.8.24", "6.0.16", "5.9"])
def test_a_server_that_is_too_old_is_refused(version: str) -> None:
    with pytest.raises(ConfigError, match=r"expected 6\.2 or later"):
        check_fitness({"redis_version": version, "maxmemory_policy": "noeviction"})


@pytest.mark.parametrize("version", ["6.2.0", "7.0.15", "10.0.1", "255.255.255"])
def test_a_server_that_is_new_enough_is_taken(version: str) -> None:
    check_fitness({"redis_version": version, "maxmemory_policy": "noeviction"})


@pytest.mark.parametrize(
    ("info", "appendfsync", "replicas", "expected"),
    [
        ({}, "always", 0, "when Redis dies, jobs are lost"),
        ({}, "always", 1, "one that starts again is empty, and so are its replicas"),
        (DURABLE, "everysec", 0, "everysec: a power cut loses what was just acknowledged; set"),
        (
            DURABLE,
            "everysec",
            2,
            "everysec: a power cut loses what was just acknowledged unless a replica takes",
        ),
        (DURABLE, "no", 0, "appendfsync is no: a power cut loses"),
        (DURABLE, None, 1, "does not tell its appendfsync"),
    ],
)
def test_a_disk_that_may_forget_is_told_of_with_what_replicas_change_about_it(
    info: dict[str, Any], appendfsync: str | None, replicas: int, expected: str
) -> None:
    assert expected in (disk_warning(info, appendfsync, replicas=replicas) or "")


@pytest.mark.parametrize("replicas", [0, 2])
def test_a_disk_that_keeps_all_gives_no_reason_to_warn(replicas: int) -> None:
    assert disk_warning(DURABLE, "always", replicas=replicas) is None


@pytest.mark.parametrize(
    ("connected", "replicas", "failover", "expected"),
    [
        (0, 1, False, "0 replicas are connected, and 1 must have each change"),
        (1, 2, True, "1 replicas are connected, and 2 must have"),
        (1, 0, True, "REDIS_REPLICAS is 0): a failover loses"),
    ],
)
def test_too_few_replicas_are_told_of(connected: int, replicas: int, failover: bool, expected: str) -> None:
    found = replica_warning({"connected_slaves": connected}, replicas=replicas, failover=failover)
    assert expected in (found or "")


@pytest.mark.parametrize(
    ("info", "replicas", "failover"),
    [({}, 0, False), ({"connected_slaves": 2}, 0, False), ({"connected_slaves": 2}, 1, True)],
)
def test_enough_replicas_give_no_reason_to_warn(info: dict[str, Any], replicas: int, failover: bool) -> None:
    assert replica_warning(info, replicas=replicas, failover=failover) is None
