"""What the queue promises on a primary with a replica, and when sentinels put the replica in its place."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
import redis

from copilot.cli.queue import open_briefly, open_store
from copilot.config import load
from copilot.errors import ConfigError, QueueFull, StoreUnavailable
from copilot.job import Cause, Outcome, Output, State
from copilot.jobmanager.config import SubmitConfig
from copilot.store import pools
from copilot.store.base import Held, Verdict
from copilot.store.pools import Pools
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures
from tests.contract.store_fixtures import (
    RedisServer,
    assert_cancelling_ends,
    eventually,
    find_program,
    history,
    kill_server,
    new_prefix,
    server_in_new_directory,
    spec,
    start_server,
)
from tests.patience import PATIENCE_S

redis_program = store_fixtures.redis_program

T = TypeVar("T")

AGENT = "agent@example.org"
GOOD = Outcome(cause=Cause.OK, exit_code=0, output=Output(size=1, sha256="ab" * 32))
SERVICE = "copilot"
PASSWORD, SENTINEL_PASSWORD = "pa%ss", "sentinels-own"
FAILOVER_LIMIT = PATIENCE_S  # s; 2 to 4 of them are usual
QUICK = {"repl-diskless-sync": "yes", "repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1"}


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return str(taken.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A primary and its replica."""

    primary: RedisServer
    replica: RedisServer
    port: str
    replica_settings: dict[str, str]

    def is_linked(self) -> bool:
        with self.replica.client() as client:
            return client.info("replication").get("master_link_status") == "up"


@contextlib.contextmanager
def running_pair(program: str, **settings: str) -> Iterator[Pair]:
    port = free_port()
    common = {"bind": "127.0.0.1"} | QUICK | settings
    of_replica = common | {"port": free_port(), "replicaof": f"127.0.0.1 {port}"}
    with (
        server_in_new_directory(program, port=port, **common) as primary,
        server_in_new_directory(program, **of_replica) as replica,
    ):
        pair = Pair(primary=primary, replica=replica, port=port, replica_settings=of_replica)
        asyncio.run(eventually(pair.is_linked))
        yield pair


@pytest.fixture
def pair(redis_program: str) -> Iterator[Pair]:
    """A primary and its replica, on each real server in turn."""
    with running_pair(redis_program) as made:
        yield made


@contextlib.asynccontextmanager
async def opened(server: RedisServer, **options: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore.from_url(server.url, **({"prefix": new_prefix(), "replicas": 1} | options))
    try:
        yield store
    finally:
        await store.close()


async def until_it_answers(call: Callable[[], Awaitable[T]]) -> T:
    """The answer, as soon as there is one."""
    async with asyncio.timeout(FAILOVER_LIMIT):
        while True:
            try:
                return await call()
            except StoreUnavailable:
                await asyncio.sleep(0.01)


# ---------------------------------------------------------------- WAIT


async def test_what_was_acknowledged_is_on_the_replica(pair: Pair) -> None:
    async with opened(pair.primary) as store, opened(pair.replica, prefix=store._keys._prefix) as copy:
        for number in range(50):
            await store.submit([spec(number)])
            assert await copy.get(f"job-{number}") is not None
        (one,) = await store.claim(agent=AGENT, request="r", dispatch_limit=60)
        record = await copy.get(one.spec.id)
        assert record is not None
        assert record.state is State.RUNNING


async def test_a_change_and_its_wait_are_one_round_trip(pair: Pair) -> None:
    async with opened(pair.primary) as store:
        await store.submit([spec(1)])
        assert store.round_trips == 2  # the script was new
        for number in range(2, 12):
            await store.submit([spec(number)])
        assert store.round_trips == 12


async def until_it_follows(change: Callable[[], Awaitable[None]]) -> None:
    """Repeat a change until the replica, which was frozen, has it: it takes a moment to come back."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            with contextlib.suppress(StoreUnavailable):
                return await change()


async def test_without_the_replica_nothing_is_acknowledged_and_a_repetition_makes_it_good(pair: Pair) -> None:
    async with opened(pair.primary, timeout=1.0) as store, opened(pair.primary) as reader:
        with pair.replica.frozen():
            for _ in range(3):  # from the second time on it changes nothing, and waits all the same
                with pytest.raises(
                    StoreUnavailable, match=r"only 0 of 1 replicas had it within 0\.5 s.*again"
                ):
                    await store.submit([spec()])
        await until_it_follows(lambda: store.submit([spec()]))
        assert await store.waiting() == 1
        assert await history(store) == ["submitted 0"]
        assert await reader.waiting() == 0  # another prefix


async def test_a_command_that_is_typed_waits_for_replicas_and_heeds_the_mark_as_its_settings_say(
    pair: Pair, tmp_path: Path
) -> None:
    environ = {
        "JM_REDIS_SERVER": "127.0.0.1",
        "JM_REDIS_PORT": pair.port,
        "JM_REDIS_REPLICAS": "1",
        "JM_QUEUE_HIGH_WATER": "0.5",
        "JM_CHIRP_SERVER": "localhost",
        "JM_DONE_JOB_DIR": "/srv/done",
    }
    config, _ = load(SubmitConfig, tmp_path, environ)
    store = open_briefly(config)
    with pair.primary.client() as client:
        client.config_set("maxmemory", client.info("memory")["used_memory"] * 3 // 2)
        with pytest.raises(QueueFull, match="of its memory"):
            await store.submit([spec(1)])
        client.config_set("maxmemory", "0")
        client.config_resetstat()
        await store.submit([spec(1)])
        assert client.info("commandstats")["cmdstat_wait"]["calls"] == 1
        with pair.replica.client() as copy:
            assert copy.exists("copilot:job:job-1")
    await store.close()


async def test_what_changes_nothing_waits_for_what_another_connection_has_changed(pair: Pair) -> None:
    async with opened(pair.primary, timeout=1.0) as one, opened(pair.primary, timeout=1.0) as other:
        other._keys = one._keys
        await other.submit([spec(0)])  # connected, and its own changes are on the replica
        with pair.replica.frozen():
            for store in (one, other):
                with pytest.raises(StoreUnavailable, match="only 0 of 1"):
                    await store.submit([spec(1)])


async def test_reads_wait_for_nobody(pair: Pair) -> None:
    async with opened(pair.primary, timeout=1.0) as store:
        await store.submit([spec()])
        with pair.replica.frozen():
            assert await store.get("job-1") is not None
            assert (await store.counts())[State.WAITING] == 1
            assert await store.waiting() == 1
            assert await store.quarantine(AGENT) == 0
            assert await store.cancelling() == ()
            assert await store.unpublished() == ()
            assert await store.ended(State.DONE, time.time()) == ()
            assert len(await store.events()) == 1


async def test_every_step_of_a_job_may_be_repeated_after_it_was_not_acknowledged(pair: Pair) -> None:
    async with opened(pair.primary, timeout=1.0) as store:

        async def twice(call: Callable[[], Awaitable[T]]) -> T:
            """The answer to the second call; the first one changed the primary alone."""
            with pair.replica.frozen(), pytest.raises(StoreUnavailable, match="replicas"):
                await call()
            async with asyncio.timeout(PATIENCE_S):
                return await until_it_answers(call)

        await twice(lambda: store.submit([spec(1), spec(2)]))
        (one,) = await twice(lambda: store.claim(agent=AGENT, request="r", dispatch_limit=60, lease=60))
        assert (one.spec.id, one.attempt) == ("job-1", 1)
        assert await twice(lambda: store.confirm("job-1", 1, max_run_time=60))
        held = Held(job="job-1", attempt=1, phase="run")
        assert (await twice(lambda: store.renew(AGENT, [held]))).lost == ()
        settled = await twice(lambda: store.finish("job-1", 1, GOOD))
        assert (settled.verdict, settled.state) == (Verdict.REPEATED, State.DONE)
        assert [record.spec.id for record in await store.unpublished()] == ["job-1"]
        await twice(lambda: store.publish("job-1"))
        assert await store.unpublished() == ()
        await twice(lambda: store.claim(agent=AGENT, request="s", dispatch_limit=60))
        await twice(lambda: store.hand_back("job-2", 1, cause=Cause.INFRA_UNDELIVERED))
        assert (await twice(lambda: store.hold("job-2"))).state is State.HELD
        assert (await twice(lambda: store.release("job-2"))).state is State.WAITING
        assert (await twice(lambda: store.cancel("job-2"))).state is State.CANCELLED
        await twice(lambda: store.publish("job-2"))
        assert (await twice(lambda: store.retry("job-2"))).state is State.WAITING
        assert not await twice(lambda: store.remove("job-1"))
        assert await store.get("job-1") is None
        kinds = [line.split()[0] for line in await history(store, "job-2")]
        assert kinds == ["submitted", "claimed", "handed-back", "held", "released", "cancelled", "retried"]


async def test_a_replica_that_died_is_missed_and_welcome_when_it_is_back(pair: Pair) -> None:
    async with opened(pair.primary, timeout=1.0) as store:
        assert (await store.check()).warnings == ()
        pair.replica.kill()
        with pytest.raises(StoreUnavailable, match="only 0 of 1"):
            await store.submit([spec()])
        (warning,) = (await store.check()).warnings
        assert warning.startswith("0 replicas are connected, and 1 must have each change")
        pair.replica.start(**pair.replica_settings)
        await until_it_answers(lambda: store.submit([spec()]))
        assert await store.waiting() == 1


async def test_who_waits_at_a_primary_that_becomes_a_replica_is_told_to_try_again(pair: Pair) -> None:
    async with opened(pair.replica) as store:
        with pair.replica.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
        waiting = asyncio.create_task(store.events(after="$", block=60))
        with pair.replica.client() as client:
            await eventually(lambda: client.info("clients")["blocked_clients"] == 1)
            client.execute_command("REPLICAOF", "127.0.0.1", pair.port)
        with pytest.raises(StoreUnavailable, match="just become a replica"):
            await asyncio.wait_for(waiting, PATIENCE_S)


# ---------------------------------------------------------------- Sentinel


@contextlib.contextmanager
def running_sentinel(program: str, pair: Pair) -> Iterator[int]:
    """The port of a sentinel that watches the pair, and knows its replica."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="copilot-sentinel-") as directory:
        configuration = Path(directory) / "sentinel.conf"
        lines = [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {directory}",
            f"logfile {directory}/log",
            f"requirepass {SENTINEL_PASSWORD}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {pair.port} 1",
            f"sentinel auth-pass {SERVICE} {PASSWORD}",
            f"sentinel down-after-milliseconds {SERVICE} 1000",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        configuration.write_text("".join(f"{line}\n" for line in lines))
        process = start_server(find_program(program), configuration, "--sentinel")
        try:
            asyncio.run(eventually(lambda: _knows_a_good_replica(port, process)))
            yield int(port)
        finally:
            kill_server(process)


def _knows_a_good_replica(port: str, process: subprocess.Popen[bytes]) -> bool:
    assert process.poll() is None
    with (
        redis.Redis(port=int(port), password=SENTINEL_PASSWORD, decode_responses=True) as client,
        contextlib.suppress(redis.RedisError),
    ):
        found = client.sentinel_slaves(SERVICE)
        return [(one["flags"], one["master-link-status"]) for one in found] == [("slave", "ok")]
    return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Watched:
    """A pair under the eyes of a sentinel, all with passwords."""

    pair: Pair
    port: int

    @contextlib.asynccontextmanager
    async def opened(self, **options: Any) -> AsyncIterator[RedisStore]:
        """A store that asks a sentinel that is away first."""
        given = {"password": PASSWORD, "sentinel_password": SENTINEL_PASSWORD, "prefix": new_prefix()}
        addresses = [("127.0.0.1", 1), ("127.0.0.1", self.port)]
        store = RedisStore.from_sentinels(addresses, **({"service": SERVICE} | given | options))
        try:
            yield store
        finally:
            await store.close()


@pytest.fixture
def watched(redis_program: str) -> Iterator[Watched]:
    """Each real server in turn."""
    with (
        running_pair(redis_program, requirepass=PASSWORD, masterauth=PASSWORD) as pair,
        running_sentinel(redis_program, pair) as port,
    ):
        yield Watched(pair=pair, port=port)


async def test_kill_9_of_the_primary_loses_nothing_and_the_store_goes_on_with_the_next(
    watched: Watched,
) -> None:
    acknowledged: set[str] = set()

    async def submitter(store: RedisStore, number: int) -> None:
        for one in range(10_000):
            job = spec(f"{number}-{one}")
            await store.submit([job])
            acknowledged.add(job.id)

    async with watched.opened(replicas=1) as store:
        tasks = [asyncio.create_task(submitter(store, number)) for number in range(4)]
        listener = asyncio.create_task(store.events(after="$", block=60))
        await eventually(lambda: len(acknowledged) > 200)
        await listener
        listener = asyncio.create_task(store.events(after="9999999999999-0", block=60))
        watched.pair.primary.kill()
        ends = await asyncio.gather(*tasks, listener, return_exceptions=True)
        assert {type(end) for end in ends} == {StoreUnavailable}
        store._replicas = 0  # there is none left
        await until_it_answers(lambda: store.submit([spec("after")]))
        found = await until_it_answers(lambda: asyncio.gather(*map(store.get, acknowledged)))
        assert {record.spec.id for record in found if record is not None} == acknowledged
        assert await until_it_answers(lambda: store.events(after="$", block=0.01)) == ()


async def test_a_primary_that_was_replaced_acknowledges_nothing_and_is_left_for_the_next(
    watched: Watched,
) -> None:
    """For some seconds both servers take changes; only the new one will keep them."""
    async with watched.opened(replicas=1, timeout=1.0) as store:
        await asyncio.gather(*(store.submit([spec(number)]) for number in range(20)))
        with redis.Redis(port=watched.port, password=SENTINEL_PASSWORD) as client:
            client.execute_command("SENTINEL FAILOVER", SERVICE)
            old = int(watched.pair.port)
            await eventually(lambda: client.sentinel_masters()[SERVICE]["port"] != old, FAILOVER_LIMIT)
        with pytest.raises(StoreUnavailable):
            await store.submit([spec("lost")])
        assert await store.get("job-lost") is None
        assert await store.waiting() == 20


async def test_a_store_asks_again_when_its_server_refuses_to_write(watched: Watched) -> None:
    async with watched.opened(timeout=2) as store:
        await store.submit([spec(1)])
        assert isinstance(store._connections, Pools)
        asked = store._connections.workers.connection_pool
        with redis.Redis(port=int(watched.pair.port), password=PASSWORD) as client:
            client.config_set("min-replicas-to-write", "2")
            with pytest.raises(StoreUnavailable, match="too few replicas are connected"):
                await store.submit([spec(2)])
            assert not any(one.is_connected for one in asked._available_connections)
            client.config_set("min-replicas-to-write", "0")
        await store.submit([spec(2)])


async def test_the_settings_lead_there(watched: Watched, tmp_path: Path) -> None:
    environ = {
        "JM_REDIS_SENTINELS": f"127.0.0.1:1,127.0.0.1:{watched.port}",
        "JM_REDIS_PASSWORD": PASSWORD,
        "JM_REDIS_SENTINEL_PASSWORD": SENTINEL_PASSWORD,
        "JM_REDIS_REPLICAS": "1",
        "JM_CHIRP_SERVER": "localhost",
        "JM_DONE_JOB_DIR": "/srv/done",
    }
    config, _ = load(SubmitConfig, tmp_path, environ)
    assert PASSWORD not in repr(config)
    assert SENTINEL_PASSWORD not in repr(config)
    store = open_store(config)
    await store.submit([spec()])
    with watched.pair.replica.client() as client:
        assert client.exists("copilot:job:job-1")
    await store.close()


async def test_no_sentinel_is_forgotten_when_many_connect_at_once(watched: Watched) -> None:
    async with watched.opened(replicas=1) as store:
        await asyncio.gather(*(store.submit([spec(number)]) for number in range(50)))
        assert isinstance(store._connections, Pools)
        assert store._connections.sentinel is not None
        found = [
            one.connection_pool.connection_kwargs["port"] for one in store._connections.sentinel.sentinels
        ]
        assert found == [watched.port, 1]


async def test_a_sentinel_that_says_nothing_is_passed_over(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pools, "SENTINEL_TIMEOUT", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        addresses = [silent.getsockname(), ("127.0.0.1", watched.port)]
        secrets = {"password": PASSWORD, "sentinel_password": SENTINEL_PASSWORD}
        store = RedisStore.from_sentinels(addresses, SERVICE, **secrets, timeout=5)
        assert await store.waiting() == 0
        await store.close()


async def test_a_search_for_the_primary_that_is_cancelled_at_any_step_ends(watched: Watched) -> None:
    async def connect_and_listen() -> None:
        async with watched.opened() as store:
            await store.events(after="$", block=60)

    await assert_cancelling_ends(connect_and_listen)


async def test_sentinels_without_replicas_that_count_are_warned_of(watched: Watched) -> None:
    async with watched.opened() as store:
        (warning,) = (await store.check()).warnings
        assert "REDIS_REPLICAS is 0" in warning
    async with watched.opened(replicas=1) as store:
        assert (await store.check()).warnings == ()


@pytest.mark.parametrize("wrong", [{"service": "another"}, {"sentinel_password": "wr0ng"}])
async def test_sentinels_that_name_no_primary_are_a_reason_to_try_again(
    watched: Watched, wrong: dict[str, str]
) -> None:
    async with watched.opened(**wrong) as store:
        with pytest.raises(
            StoreUnavailable, match=r"no sentinel names a primary.*REDIS_SENTINEL_PASSWORD"
        ) as caught:
            await store.waiting()
        assert "wr0ng" not in str(caught.value)


async def test_a_wrong_password_of_the_servers_is_a_matter_of_configuration(watched: Watched) -> None:
    async with watched.opened(password="wr0ng") as store:
        with pytest.raises(ConfigError, match="look at user name, password") as caught:
            await store.waiting()
        assert "wr0ng" not in str(caught.value)
