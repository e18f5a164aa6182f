"""redis-reach: does Redis answer where the settings say, and let us in?"""

from __future__ import annotations

from copilot.config.groups import QueuePlaceSettings
from copilot.doctor.check import Check
from copilot.doctor.findings import Finding, fault, ok, skipped
from copilot.doctor.patient import Patient
from copilot.doctor.redis.facts import facts, where
from copilot.errors import ConfigError, CopilotError, StoreError


async def run(patient: Patient) -> list[Finding]:
    """Look and judge."""
    config = patient.queue
    if config is None:
        return skipped("no settings here say where the queue is")
    try:
        await facts(patient, config)
    except (StoreError, ConfigError) as error:
        return judge(error, config)
    return judge(None, config)


def judge(error: CopilotError | None, config: QueuePlaceSettings) -> list[Finding]:
    """`error`: what came instead of an answer."""
    if error is None:
        return ok(f"{where(config)} answers")
    if isinstance(error, ConfigError):
        cure = f"set {config.key('redis_password')} (and {config.key('redis_user')}) to what requirepass or ACL say; "
        cure += f"or correct {config.key('redis_server')} and {config.key('redis_port')}"
        return [fault(f"{where(config)}: {error}", expected="that it lets us in", cure=cure)]
    return [
        fault(
            f"{where(config)}: {error}",
            expected="an answer",
            cure="start Redis, again if it hangs, let it listen there (bind, port), open the firewall; or correct "
            f"{config.key('redis_server')} and {config.key('redis_port')}",
        )
    ]


CHECK = Check(name="redis-reach", about="Redis answers, and lets us in", run=run)
