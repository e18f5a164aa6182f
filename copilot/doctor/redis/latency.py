"""redis-latency: how long does a change take? A claim, a confirmation and a result are one each."""

from __future__ import annotations

from copilot.doctor.findings import Finding, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import check
from copilot.store.examining import Examined

SLOW = 0.025  # s at the median; a disk with a write cache of its own takes 1 ms, one that turns 10


def judge(found: Examined, _: Patient | None = None) -> list[Finding]:
    """By the median of some writes."""
    if found.write is None:
        return skipped("we may not write a key of our own")
    if found.write <= SLOW:
        return ok(f"a change takes {found.write * 1000:.1f} ms")
    return [
        warning(
            f"a change takes {found.write * 1000:.0f} ms",
            expected=f"at most {SLOW * 1000:.0f} ms",
            cure="put the append-only file on a faster disk (SSD), of which nobody else makes much use; look at the network "
            "between here and Redis, and at SLOWLOG GET",
        )
    ]


CHECK = check("redis-latency", "Redis writes to its disk in good time", judge)
