"""The Redis that three of the peers use: where it is, and what it promises."""

from __future__ import annotations

import os

import redis

SOCKET = os.environ["BENCH_REDIS_SOCKET"]
URL = f"unix://{SOCKET}"


def durability(promise: str) -> str:
    """`promise` of the peer, and what the running server says of its disk."""
    with redis.Redis.from_url(URL, decode_responses=True) as client:
        policy = client.config_get("append*")
    if policy["appendonly"] != "yes":
        raise RuntimeError("This Redis keeps nothing on the disk; start it with `appendonly yes`.")
    return f"Redis append-only file, appendfsync {policy['appendfsync']}; {promise}"
