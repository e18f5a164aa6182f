"""Whether a Redis server may hold the queue, and what an operator should know of how safe a job is there.

All of it follows from what the server says of itself; nothing is sent here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from copilot.errors import ConfigError

OLDEST_VERSION = (6, 2)


def check_fitness(info: Mapping[str, Any]) -> None:
    """Raise `ConfigError` if a server that says this of itself (INFO) must not be used."""
    version = str(info["redis_version"])
    if tuple(int(part) for part in re.findall(r"\d+", version)[:2]) < OLDEST_VERSION:
        raise ConfigError(f"Redis {version}: expected 6.2 or later; install a newer server")
    if info.get("redis_mode") == "cluster":
        raise ConfigError(
            "Redis Cluster: expected a single server, or one behind Sentinel; use another server for the queue"
        )
    if (policy := info.get("maxmemory_policy")) != "noeviction":
        raise ConfigError(
            f"Redis evicts keys when memory is short (maxmemory-policy {policy}), and would lose jobs: "
            "set 'maxmemory-policy noeviction' in its configuration"
        )


def disk_warning(info: Mapping[str, Any], appendfsync: str | None, *, replicas: int) -> str | None:
    """What the server's own disk does not keep. `appendfsync`: None if the server does not tell; `replicas`: how many
    must have a change before it is acknowledged. They follow a primary that has started again with less, too."""
    if not info.get("aof_enabled"):
        loss = "one that starts again is empty, and so are its replicas then" if replicas else "jobs are lost"
        return f"appendonly is off: when Redis dies, {loss}; set 'appendonly yes' and 'appendfsync always'"
    if appendfsync is None:
        return "the server does not tell its appendfsync: see to it that it is 'always', or jobs may be lost"
    if appendfsync != "always":
        unless = " unless a replica takes its place before it is back" if replicas else ""
        return (
            f"appendfsync is {appendfsync}: a power cut loses what was just acknowledged{unless}; "
            "set 'appendfsync always'"
        )
    return None


def replica_warning(info: Mapping[str, Any], *, replicas: int, failover: bool) -> str | None:
    """What replicas do not keep. `failover`: one of them may become the primary."""
    connected = int(info.get("connected_slaves", 0))
    if connected < replicas:
        return (
            f"{connected} replicas are connected, and {replicas} must have each change (REDIS_REPLICAS): "
            "nothing is acknowledged until so many are there; start them, or lower it"
        )
    if failover and not replicas:
        return (
            "no replica must have a change before it is acknowledged (REDIS_REPLICAS is 0): a failover loses what "
            "was not yet copied; set it to 1 or more"
        )
    return None


def memory_warning(info: Mapping[str, Any]) -> str | None:
    """That nothing keeps the queue from filling the machine."""
    if info.get("maxmemory"):
        return None
    return "maxmemory is not set: new jobs may fill the memory of the machine; say what Redis may have"
