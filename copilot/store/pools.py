"""Connections to Redis by redis-py: to one server, or to the one that sentinels call the primary.

The only module that knows redis-py; what that raises becomes what `copilot.store.connections` has.

No connection has a `socket_timeout`: with one, redis-py sends within `asyncio.wait_for`, and that of Python 3.11 forgets that the task
was cancelled if the sending is just over.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Iterator, Sequence
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
from copilot.store.connections import Command, Connections, NoPrimary, NoRedisThere, Refusal, packed

MAX_CONNECTIONS = 16  # of one instance; more only queue up inside Redis
MAX_LISTENERS = 1000  # connections that wait for events
SENTINEL_TIMEOUT = 2.0  # seconds until the next sentinel is asked

_WORDS: dict[type[Exception], str] = {  # what redis-py takes from the text of a refusal
    exceptions.NoScriptError: "NOSCRIPT",
    exceptions.OutOfMemoryError: "OOM",
    exceptions.ReadOnlyError: "READONLY",
    exceptions.MasterDownError: "MASTERDOWN",
    exceptions.NoPermissionError: "NOPERM",
    exceptions.AuthenticationError: "NOAUTH",
    exceptions.AuthenticationWrongNumberOfArgsError: "NOAUTH",
    exceptions.AuthorizationError: "NOAUTH",
}


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


class Pools(Connections):
    """`workers` ask and are answered at once. `listeners` wait for something to happen. `sentinel` knows where both have to connect, None
    for a server whose address is given."""

    def __init__(self, *, workers: Redis, listeners: Redis, sentinel: Sentinel | None = None) -> None:
        self.workers = workers
        self.listeners = listeners
        self.sentinel = sentinel
        self.failover = sentinel is not None

    async def ask(self, commands: Sequence[Command], *, raw: bool = False, waits: bool = False) -> list[Any]:
        """See `Connections.ask`. As redis-py's pipeline does, which packs commands in Python."""
        pool: Any = (self.listeners if waits else self.workers).connection_pool
        with _our_errors():
            connection = await pool.get_connection()
            try:
                await connection.send_packed_command(packed(commands))
                return [await _answer(connection, raw=raw) for _ in commands]
            finally:
                await pool.release(connection)

    async def listen(self, channel: str) -> AsyncGenerator[str | None, None]:
        """See `Connections.listen`."""
        untyped: Any = self.listeners
        with _our_errors():
            async with untyped.pubsub(ignore_subscribe_messages=True) as listening:
                await listening.subscribe(channel)
                yield None
                while True:
                    message = await listening.get_message(timeout=None)
                    if message is not None:
                        yield message["data"]

    async def look_again(self) -> None:
        """See `Connections.look_again`."""
        if self.sentinel is None:
            return
        for client in (self.workers, self.listeners):
            with contextlib.suppress(exceptions.RedisError, OSError):
                await client.connection_pool.disconnect(inuse_connections=False)

    async def close(self) -> None:
        """See `Connections.close`."""
        sentinels = () if self.sentinel is None else tuple(self.sentinel.sentinels)
        for client in (self.workers, self.listeners, *sentinels):
            await client.aclose(close_connection_pool=True)


def to_server(url: str, *, timeout: float) -> Pools:
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
    return Pools(workers=Redis(connection_pool=workers), listeners=Redis(connection_pool=listeners))


def to_primary(
    addresses: Sequence[tuple[str, int]],
    service: str,
    *,
    password: str | None,
    user: str | None,
    sentinel_password: str | None,
    timeout: float,
) -> Pools:
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
    return Pools(workers=workers, listeners=listeners, sentinel=sentinel)


async def _answer(connection: Any, *, raw: bool) -> Any:
    try:
        return await connection.read_response(disable_decoding=raw)
    except exceptions.ResponseError as error:
        return _refusal(error)


@contextlib.contextmanager
def _our_errors() -> Iterator[None]:
    """What redis-py raises, in the words of `copilot.store.connections`."""
    try:
        yield
    except MasterNotFoundError as error:
        raise NoPrimary(str(error)) from error
    except exceptions.InvalidResponse as error:
        raise NoRedisThere(str(error)) from error
    except exceptions.ConnectionError as error:
        if isinstance(error.__cause__, exceptions.InvalidResponse | hiredis.ProtocolError):
            raise NoRedisThere(str(error)) from error
        found = (
            _WORDS[kind] for kind in _WORDS if isinstance(error, kind) or isinstance(error.__cause__, kind)
        )
        if word := next(found, None):  # the cause, while it connects
            raise _refusal(error, word) from error
        raise ConnectionError(str(error)) from error
    except exceptions.TimeoutError as error:
        raise ConnectionError(str(error)) from error
    except exceptions.ResponseError as error:
        raise _refusal(error) from error


def _refusal(error: Exception, word: str | None = None) -> Refusal:
    return Refusal(str(error), word or _WORDS.get(type(error)))


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
