"""redis-eviction: does Redis throw away keys when its memory is short? They are jobs."""

from __future__ import annotations

from copilot.doctor.findings import Finding, fault, ok
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import check
from copilot.store.examining import Examined


def judge(found: Examined, _: Patient | None = None) -> list[Finding]:
    """By maxmemory-policy."""
    policy = found.info.get("maxmemory_policy")
    if policy == "noeviction":
        return ok("maxmemory-policy noeviction")
    return [
        fault(
            f"maxmemory-policy is {policy}: when memory is short, jobs are lost; managers refuse to start",
            expected="noeviction",
            cure="in redis.conf: maxmemory-policy noeviction; and now: CONFIG SET maxmemory-policy noeviction",
        )
    ]


CHECK = check("redis-eviction", "Redis keeps everything when its memory is short", judge)
