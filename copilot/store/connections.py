"""Connections to Redis: to one server, or to the one that sentinels call the primary.

Besides `redis.py` the only module that knows redis-py. Nothing is tried twice here: the caller decides.

Who sends sets the time limit, by `asyncio.timeout`, and no connection has a `socket_timeout`: with one, redis-py sends
within `asyncio.wait_for`, and that of Python 3.11 forgets that the task was cancelled if the sending is just over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import hiredis
import redis
from redis import exceptions
from redis.asyncio import BlockingConnectionPool, ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool
from redis.backoff import NoBackoff
from redis.driver_info import DriverInfo

from copilot.errors import ConfigError
from copilot.records import dataclass

MAX_CONNECTIONS = 16  # of one instance; more only queue up inside Redis
MAX_LISTENERS = 1000  # connections that wait for events
SENTINEL_TIMEOUT = 2.0  # seconds until the next sentinel is asked

Command = Sequence[str | float | bytes]  # its name first, which may be two words


class _Sentinels(Sentinel):
    """Sentinels of which the one that answered last is asked first.

    redis-py's own search swaps places in the list between two waits, and two searches at once then lose a sentinel.
    """

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        for one in tuple(self.sentinels):
            with contextlib.suppress(exceptions.ConnectionError, exceptions.TimeoutError, TimeoutError):
                async with asyncio.timeout(SENTINEL_TIMEOUT):
                    answer: Any = await one.sentinel_masters()
                state = answer.get(service_name)
                if state and self.check_master_state(state, service_name):
                    self.sentinels.remove(one)
                    self.sentinels.insert(0, one)
                    return state["ip"], state["port"]
        raise MasterNotFoundError(service_name)


class _PrimaryPool(SentinelConnectionPool, BlockingConnectionPool):
    """Each new connection goes to the primary of that moment; when all are in use, one waits for one.

    Both parents only add to `ConnectionPool`: one says where to connect, the other when.
    """


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """`workers` ask and are answered at once. `listeners` wait for something to happen. `sentinel` knows where both have to connect, None for a server whose address is given."""

    workers: Redis
    listeners: Redis
    sentinel: Sentinel | None = None

    async def ask(self, commands: Sequence[Command]) -> list[Any]:
        """The answers to these commands, sent in one go; a refusal stands in the place of an answer.

        As redis-py's pipeline does, which packs commands in Python: that was a fourth of all that a busy manager did.
        """
        client: Any = self.workers
        connection = await client.connection_pool.get_connection()
        try:
            await connection.send_packed_command(b"".join(map(_packed, commands)))
            return [await _answer(client, connection, str(command[0])) for command in commands]
        finally:
            await client.connection_pool.release(connection)

    async def look_again(self) -> None:
        """Something went wrong: who sends next connects anew if that may lead to another server. Calls that are
        under way are left alone; they find out by themselves."""
        if self.sentinel is None:
            return
        for client in (self.workers, self.listeners):
            with contextlib.suppress(exceptions.RedisError, OSError):
                await client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """Give the connections back. Idempotent."""
        sentinels = () if self.sentinel is None else tuple(self.sentinel.sentinels)
        for client in (self.workers, self.listeners, *sentinels):
            await client.aclose(close_connection_pool=True)


def to_server(url: str, *, timeout: float) -> Connections:
    """To `redis://[[user]:password@]host[:port][/db]`, `rediss://…` (TLS) or `unix:///path[?db=n]`.

    `timeout` in seconds, for a connection. Raises `ConfigError` for another URL.
    """
    options = _options(timeout) if url.startswith("unix:") else _options(timeout) | {"socket_keepalive": True}
    try:
        workers = BlockingConnectionPool.from_url(
            url, max_connections=MAX_CONNECTIONS, timeout=timeout, **options
        )
        listeners = ConnectionPool.from_url(url, max_connections=MAX_LISTENERS, **options)
    except ValueError:  # its text may show a piece of the URL, and that a piece of a password
        raise ConfigError(
            "the URL of Redis is wrong: expected redis://[[user]:password@]host[:port][/db], rediss://… or "
            "unix:///path[?db=n]; special characters in user and password are written as %XX"
        ) from None
    return Connections(workers=Redis(connection_pool=workers), listeners=Redis(connection_pool=listeners))


def to_primary(
    addresses: Sequence[tuple[str, int]],
    service: str,
    *,
    password: str | None,
    user: str | None,
    sentinel_password: str | None,
    timeout: float,
) -> Connections:
    """To the primary of `service`, by what the sentinels at `addresses` (host, port) say when a connection is made."""
    asking = _options(SENTINEL_TIMEOUT)
    untyped: Any = _Sentinels
    sentinel = untyped(addresses, sentinel_kwargs=asking | {"password": sentinel_password})
    options = _options(timeout) | {"socket_keepalive": True, "username": user, "password": password}
    workers = sentinel.master_for(
        service,
        connection_pool_class=_PrimaryPool,
        max_connections=MAX_CONNECTIONS,
        timeout=timeout,
        **options,
    )
    listeners = sentinel.master_for(service, max_connections=MAX_LISTENERS, **options)
    return Connections(workers=workers, listeners=listeners, sentinel=sentinel)


def _packed(command: Command) -> bytes:
    words: Any = (*str(command[0]).split(), *command[1:])
    packed: bytes = hiredis.pack_command(words)
    return packed


async def _answer(client: Any, connection: Any, name: str) -> Any:
    try:
        return await client.parse_response(connection, name)
    except exceptions.ResponseError as refusal:
        return refusal


def _options(timeout: float) -> dict[str, Any]:
    return {
        "decode_responses": True,
        "protocol": 2,
        "socket_connect_timeout": timeout,
        "socket_timeout": None,
        "retry": Retry(NoBackoff(), 0),
        # As by itself; but for each connection it would look its version up among all that is installed (10 ms).
        "driver_info": DriverInfo(name="redis-py", lib_version=redis.__version__),
    }
