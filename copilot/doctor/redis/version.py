"""redis-version: is the server new enough, and of a kind that can hold the queue?"""

from __future__ import annotations

from copilot.doctor.findings import Finding, fault, ok
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import check
from copilot.errors import ConfigError
from copilot.store.examining import Examined
from copilot.store.fitness import check_fitness

SOUND = {"maxmemory_policy": "noeviction"}  # that is another check


def judge(found: Examined, _: Patient | None = None) -> list[Finding]:
    """By what managers themselves refuse."""
    info = found.info
    try:
        check_fitness({**info, **SOUND})
    except ConfigError as error:
        return [
            fault(
                str(error),
                expected="a single server of version 6.2 or later, or one behind Sentinel",
                cure="install another Redis, and move the data (docs/operating.md)",
            )
        ]
    if info.get("role") == "slave":
        return [
            fault(
                "this Redis is a replica: it takes no changes",
                expected="the primary",
                cure="name the primary in *_REDIS_SERVER, or the sentinels in *_REDIS_SENTINELS",
            )
        ]
    return ok(f"Redis {info['redis_version']}, primary")


CHECK = check("redis-version", "Redis is 6.2 or later, no cluster and no replica", judge)
