"""The one look that all checks of Redis go by."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from copilot.config.groups import QueuePlaceSettings, QueueSettings
from copilot.doctor.check import LIMIT, Check
from copilot.doctor.findings import Finding, skipped
from copilot.doctor.patient import Patient
from copilot.errors import ConfigError, StoreError, StoreUnavailable
from copilot.store.examining import Examined, examine

PATIENCE = LIMIT - 1  # s for an answer; the store's own is longer than a check may take
Judge = Callable[[Examined], list[Finding]]


async def facts(patient: Patient, config: QueuePlaceSettings) -> Examined:
    """What the server says of itself. Raises as `examine`."""

    async def look() -> Examined:
        store = patient.open_store(config)
        try:
            async with asyncio.timeout(PATIENCE):
                return await examine(store, patient.clock.wall)
        except TimeoutError:  # so that redis-reach tells it, and the others that they could not look
            raise StoreUnavailable(
                f"Redis takes connections, and answers nothing within {PATIENCE:g} s"
            ) from None
        finally:
            await store.close()

    return await patient.once("redis", look)


def replicas(patient: Patient) -> int:
    """How many must have a change before it is acknowledged."""
    config = patient.queue
    return config.redis_replicas if isinstance(config, QueueSettings) else 0


def where(config: QueuePlaceSettings) -> str:
    """For people."""
    if config.redis_sentinels is not None:
        asked = ", ".join(f"{one.host}:{one.port}" for one in config.redis_sentinels)
        return f"the primary of {config.redis_sentinel_service!r} by the sentinels {asked}"
    return str(config.redis_socket or f"{config.redis_server}:{config.redis_port}")


def check(name: str, about: str, judge: Callable[[Examined, Patient], list[Finding]]) -> Check:
    """A check that judges what the server says of itself."""

    async def run(patient: Patient) -> list[Finding]:
        config = patient.queue
        if config is None:
            return skipped("no settings here say where the queue is")
        try:
            found = await facts(patient, config)
        except (StoreError, ConfigError):
            return skipped("Redis is not reached, see redis-reach")
        return judge(found, patient)

    return Check(name=name, about=about, run=run, limit=LIMIT + 1)
