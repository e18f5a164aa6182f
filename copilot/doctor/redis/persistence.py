"""redis-persistence: is a job on the disk when it is acknowledged?"""

from __future__ import annotations

from copilot.doctor.findings import Finding, ok, warning
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import check, replicas
from copilot.store.examining import Examined
from copilot.store.fitness import disk_warning


def judge(found: Examined, patient: Patient | None = None) -> list[Finding]:
    """By appendonly and appendfsync."""
    copies = 0 if patient is None else replicas(patient)
    said = disk_warning(found.info, found.config.get("appendfsync"), replicas=copies)
    if said is None:
        return ok("appendonly yes, appendfsync always")
    return [
        warning(
            said,
            expected="appendonly yes and appendfsync always",
            cure="in redis.conf: appendonly yes, appendfsync always; and now: CONFIG SET appendonly yes, CONFIG SET "
            "appendfsync always",
        )
    ]


CHECK = check("redis-persistence", "what Redis has acknowledged survives a power cut", judge)
