"""What an operator should know of the Redis server that holds the queue: what it says of itself, and how fast it writes.

Changes nothing: the one key that is written, to see how long that takes, is removed, and vanishes by itself if we die.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from typing import Any

from copilot.errors import ConfigError, StoreError
from copilot.records import dataclass
from copilot.store.keys import DEFAULT_PREFIX
from copilot.store.redis import RedisStore

WRITES = 9
KEY_LIFE = 10  # s
CONFIG = ("appendfsync", "hash-max-ziplist-value", "hash-max-listpack-value", "dir")


@dataclass(frozen=True, slots=True, kw_only=True)
class Examined:
    """`info` is what INFO answers; `config` those settings that the server tells; `wall` its clock in s since the epoch, and
    `ours` ours at that moment; `write` s that a change takes at the median, None if we may not write."""

    info: Mapping[str, Any]
    config: Mapping[str, str]
    wall: float
    ours: float
    write: float | None


async def examine(store: RedisStore, wall: Any) -> Examined:
    """Ask. `wall()` is our clock, s since the epoch. Raises `StoreUnavailable`, and `ConfigError` if it does not let us in."""
    info: Mapping[str, Any] = await store.raw("INFO")
    before = wall()
    seconds, microseconds = await store.raw("TIME")
    ours = (before + wall()) / 2
    return Examined(
        info=info,
        config=await _config(store),
        wall=int(seconds) + int(microseconds) / 1e6,
        ours=ours,
        write=await _write(store),
    )


async def _config(store: RedisStore) -> dict[str, str]:
    told: dict[str, str] = {}
    for name in CONFIG:
        try:
            answer: Mapping[Any, Any] = await store.raw("CONFIG GET", name)
        except (StoreError, ConfigError):  # an ACL may forbid it; a name may be of another version
            continue
        told |= {_text(key): _text(value) for key, value in answer.items()}
    return told


async def _write(store: RedisStore) -> float | None:
    """By the median: one may wait for somebody else."""
    key, took = f"{DEFAULT_PREFIX}doctor:{secrets.token_hex(8)}", []
    try:
        for _ in range(WRITES):
            began = time.monotonic()
            await store.raw("SET", key, "x", "EX", KEY_LIFE)
            took.append(time.monotonic() - began)
        await store.raw("DEL", key)
    except (StoreError, ConfigError):
        return None
    return sorted(took)[WRITES // 2]


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
