"""redis-replicas: are there as many replicas as must have each change?"""

from __future__ import annotations

from copilot.doctor.findings import Finding, fault, ok, warning
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import check, replicas
from copilot.store.examining import Examined
from copilot.store.fitness import replica_warning


def judge(found: Examined, patient: Patient | None = None, *, wanted: int | None = None) -> list[Finding]:
    """`wanted`: how many must have it, instead of what the settings say."""
    config = None if patient is None else patient.queue
    copies = wanted if wanted is not None else 0 if patient is None else replicas(patient)
    failover = config is not None and config.redis_sentinels is not None
    said = replica_warning(found.info, replicas=copies, failover=failover)
    connected = int(found.info.get("connected_slaves", 0))
    if said is None:
        return ok(f"{connected} connected, {copies} wanted")
    worse = fault if connected < copies else warning
    return [
        worse(
            said,
            expected=f"at least {copies or 1}",
            cure="on each replica: replicaof PRIMARY PORT in redis.conf; or JM_REDIS_REPLICAS in Copilot.conf",
        )
    ]


CHECK = check("redis-replicas", "as many replicas are connected as must have each change", judge)
