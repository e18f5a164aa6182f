"""The doctor and Redis: a good one, and one that is broken in one way for each check."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis as redis_client

from copilot.doctor.findings import Verdict
from copilot.doctor.redis import facts
from copilot.local.redis import Redis
from tests.integration.doctor.setups import BY_TIME, Setup, unwell
from tests.patience import PATIENCE_S

WARNING = Verdict.WARNING


@pytest.fixture
async def own_redis(redis_server: Redis, open_directory: Path) -> AsyncIterator[Redis]:
    """One whose settings a test may change; `redis_server` is asked for to skip where there is none."""
    server = Redis(open_directory / "redis")
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def queued(own_redis: Redis, tmp_path: Path) -> Setup:
    """Who knows where it is: the monitor's settings need nothing else of a system."""
    setup = Setup(tmp_path)
    setup.write(
        "copilot-job-submit.conf",
        {
            "JM_REDIS_SERVER": "127.0.0.1",
            "JM_REDIS_PORT": own_redis.port,
            "JM_REDIS_PASSWORD": own_redis.password,
        },
    )
    return setup


def configure(server: Redis, **settings: str) -> None:
    """Change the running one."""
    with redis_client.Redis.from_url(server.url) as connection:
        for name, value in settings.items():
            connection.config_set(name.replace("_", "-"), value)


async def test_a_good_redis_has_no_fault_and_nothing_is_left_in_it(queued: Setup, own_redis: Redis) -> None:
    found = await queued.examined("redis")
    assert not unwell(found, but=[*BY_TIME])
    assert not any(one.verdict is Verdict.SKIPPED for one in found.values())
    with redis_client.Redis.from_url(own_redis.url) as connection:
        assert connection.dbsize() == 0


async def test_a_redis_with_one_setting_wrong(queued: Setup, own_redis: Redis) -> None:
    broken = (
        (
            "redis-eviction",
            {"maxmemory_policy": "allkeys-lru"},
            {"maxmemory_policy": "noeviction"},
            "allkeys-lru",
        ),
        (
            "redis-persistence",
            {"appendfsync": "everysec"},
            {"appendfsync": "always"},
            "appendfsync is everysec",
        ),
        ("redis-persistence", {"appendonly": "no"}, {"appendonly": "yes"}, "appendonly is off"),
        (
            "redis-packing",
            {"hash_max_ziplist_value": "64"},
            {"hash_max_ziplist_value": "4096"},
            "value is 64",
        ),
        ("redis-memory", {"maxmemory": "0"}, {"maxmemory": "1gb"}, "maxmemory is not set"),
        ("redis-memory", {"maxmemory": "1mb"}, {"maxmemory": "1gb"}, "of its maxmemory"),
    )
    for check, wrong, right, seen in broken:
        configure(own_redis, **wrong)
        kind = Verdict.FAULT if check == "redis-eviction" else WARNING
        assert seen in await queued.fault(check, kind)
        assert set(unwell(await queued.examined("redis"), but=[*BY_TIME])) == {check}
        configure(own_redis, **right)


async def test_a_redis_that_is_away_or_lets_us_not_in(queued: Setup) -> None:
    file = "copilot-job-submit.conf"
    queued.write(file, {"JM_REDIS_PASSWORD": "wrong"})
    assert "password" in await queued.fault("redis-reach")
    found = await queued.examined("redis")
    assert set(unwell(found)) == {"redis-reach"}  # the others say that they could not look
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    queued.write(file, {"JM_REDIS_PORT": port})
    assert f"127.0.0.1:{port}" in await queued.fault("redis-reach")


async def test_a_redis_that_hangs_is_told_once(queued: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "PATIENCE", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system takes connections; nobody reads them
        queued.write("copilot-job-submit.conf", {"JM_REDIS_PORT": silent.getsockname()[1]})
        found = await queued.examined("redis")
    assert set(unwell(found)) == {"redis-reach"}
    assert "answers nothing within 0.2 s" in found["redis-reach"].findings[0].seen


async def test_a_port_where_something_else_answers(queued: Setup) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as other:
        queued.write("copilot-job-submit.conf", {"JM_REDIS_PORT": other.sockets[0].getsockname()[1]})
        found = await queued.examined("redis")
    assert set(unwell(found)) == {"redis-reach"}
    assert "no Redis" in found["redis-reach"].findings[0].seen


async def test_a_replica_and_replicas_that_are_not_there(queued: Setup, own_redis: Redis) -> None:
    queued.write("copilot-job-submit.conf", {"JM_REDIS_REPLICAS": 1})
    assert "0 replicas are connected" in await queued.fault("redis-replicas")
    with redis_client.Redis.from_url(own_redis.url) as connection:
        connection.replicaof("127.0.0.1", "1")
        assert "is a replica" in await queued.fault("redis-version")


async def test_a_disk_that_redis_cannot_write_to(queued: Setup, own_redis: Redis) -> None:
    data = own_redis.directory / "data"
    data.rename(data.with_name("gone"))  # its working directory: a new file has no place
    try:
        gone = data.with_name("gone")
        gone.chmod(0o500)
        with redis_client.Redis.from_url(own_redis.url) as connection:
            connection.set("something", "x")
            connection.bgsave()
            async with asyncio.timeout(PATIENCE_S):
                while connection.info("persistence")["rdb_bgsave_in_progress"]:
                    await asyncio.sleep(0.01)
        assert "the last snapshot failed" in await queued.fault("redis-saving")
    finally:
        gone.chmod(0o700)
        gone.rename(data)


@contextlib.asynccontextmanager
async def slow_line(target: int, delay: float) -> AsyncIterator[int]:
    """A port that leads to `target`, where each piece takes so many seconds, as on a slow disk."""
    tasks = set[asyncio.Task[None]]()

    async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65536):
                await asyncio.sleep(delay)
                sink.write(data)
        sink.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", target)
        tasks.update(
            (asyncio.create_task(pump(reader, far_writer)), asyncio.create_task(pump(far_reader, writer)))
        )

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_redis_that_is_slow(queued: Setup, own_redis: Redis) -> None:
    async with slow_line(own_redis.port, 0.02) as port:
        queued.write("copilot-job-submit.conf", {"JM_REDIS_PORT": port})
        assert "a change takes" in await queued.fault("redis-latency", WARNING)
