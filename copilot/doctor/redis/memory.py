"""redis-memory: may Redis fill the machine, and how much room is left?"""

from __future__ import annotations

from copilot.config.groups import QueueSettings
from copilot.doctor.findings import Finding, ok, warning
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import check
from copilot.store.examining import Examined
from copilot.store.fitness import memory_warning

HIGH_WATER = 0.8


def judge(found: Examined, patient: Patient | None = None) -> list[Finding]:
    """By maxmemory, and what is used of it."""
    info = found.info
    if (said := memory_warning(info)) is not None:
        return [
            warning(
                said,
                expected="a limit below the memory of the machine",
                cure="in redis.conf: maxmemory 4gb, say; and now: CONFIG SET maxmemory 4gb",
            )
        ]
    config = None if patient is None else patient.queue
    high = config.queue_high_water if isinstance(config, QueueSettings) else HIGH_WATER
    share = int(info.get("used_memory", 0)) / int(info["maxmemory"])
    if share >= high:
        return [
            warning(
                f"Redis uses {share:.0%} of its maxmemory: no new jobs are taken above {high:.0%}",
                expected=f"less than {high:.0%}",
                cure="raise maxmemory, or remove old jobs: copilot clean",
            )
        ]
    return ok(f"{share:.0%} of maxmemory is used")


CHECK = check("redis-memory", "Redis has a limit of its memory, and room below it", judge)
