"""redis-packing: does Redis keep records of jobs compactly?"""

from __future__ import annotations

from copilot.doctor.findings import Finding, ok, skipped, warning
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import check
from copilot.store.examining import Examined

WANTED = 4096  # bytes: the description of a job is one field of a hash


def judge(found: Examined, _: Patient | None = None) -> list[Finding]:
    """By the longest field that does not make a hash large (Redis 7 calls it listpack, and knows the old name)."""
    told = found.config.get("hash-max-listpack-value") or found.config.get("hash-max-ziplist-value")
    if told is None:
        return skipped("the server does not tell")
    if int(told) >= WANTED:
        return ok(f"hash-max-ziplist-value {told}")
    return [
        warning(
            f"hash-max-ziplist-value is {told}: a waiting job takes twice as much memory",
            expected=f"{WANTED}",
            cure=f"in redis.conf: hash-max-ziplist-value {WANTED}; and now: CONFIG SET hash-max-ziplist-value {WANTED}",
        )
    ]


CHECK = check("redis-packing", "Redis keeps records of jobs compactly", judge)
