"""redis-saving: did Redis come to grief with its disk?"""

from __future__ import annotations

from copilot.doctor.findings import Finding, fault, or_ok
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import check
from copilot.store.examining import Examined

# What INFO calls it, and what it means.
STATUSES = {
    "aof_last_write_status": "the last write to its append-only file failed: it takes no changes",
    "aof_last_bgrewrite_status": "the last rewriting of its append-only file failed: that file grows without end",
    "rdb_last_bgsave_status": "the last snapshot failed: with stop-writes-on-bgsave-error it takes no changes",
}


def judge(found: Examined, _: Patient | None = None) -> list[Finding]:
    """By what it says of its last writes."""
    place = f" ({found.config['dir']})" if "dir" in found.config else ""
    bad = [meaning for name, meaning in STATUSES.items() if found.info.get(name, "ok") != "ok"]
    faults = [
        fault(
            meaning,
            expected="that it can write",
            cure=f"make room on the disk of Redis{place}, see that the directory belongs to its user, and look at its log",
        )
        for meaning in bad
    ]
    return or_ok(faults, "its last writes to the disk went well")


CHECK = check("redis-saving", "Redis can write to its disk", judge)
