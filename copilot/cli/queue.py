"""Opens the queue where a program's configuration says that it is: for programs that stay, and for commands that somebody types."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

from copilot.config.groups import QueuePlaceSettings, QueueSettings
from copilot.store.redis import TIMEOUT, RedisStore
from copilot.store.single import Address, SingleConnection


def open_briefly(config: QueuePlaceSettings) -> RedisStore:
    """The queue that the settings name, for a command: it asks what it has to, and ends. Connects when first used. Loads no redis-py,
    which takes longer than all else that such a command does; but behind sentinels (decision 27)."""
    if config.redis_sentinels is not None:
        return open_store(config)
    address = Address(
        path=str(config.redis_socket or ""),
        host=config.redis_server or "",
        port=config.redis_port,
        user=config.redis_user or "",
        password=config.redis_password or "",
    )
    return RedisStore(SingleConnection(address, timeout=TIMEOUT), **_promises(config))


def open_store(config: QueuePlaceSettings) -> RedisStore:
    """The queue that the settings name; connects when first used."""
    options = _promises(config)
    if config.redis_sentinels is not None:
        return RedisStore.from_sentinels(
            config.redis_sentinels,
            config.redis_sentinel_service,
            user=config.redis_user,
            password=config.redis_password,
            sentinel_password=config.redis_sentinel_password,
            **options,
        )
    user, password = config.redis_user or "", config.redis_password or ""
    if config.redis_socket is not None:
        given = {name: word for name, word in (("username", user), ("password", password)) if word}
        return RedisStore.from_url(f"unix://{config.redis_socket}?{urlencode(given)}", **options)
    host = config.redis_server or ""
    address = f"[{host}]" if ":" in host else host
    entry = f"{quote(user, safe='')}:{quote(password, safe='')}@" if user or password else ""
    return RedisStore.from_url(f"redis://{entry}{address}:{config.redis_port}/0", **options)


def _promises(config: QueuePlaceSettings) -> dict[str, Any]:
    """What new jobs and changes have to wait for."""
    if not isinstance(config, QueueSettings):
        return {}
    return {"high_water": config.queue_high_water, "replicas": config.redis_replicas}
