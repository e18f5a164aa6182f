"""What the queue promises on a real Redis and nowhere else: races, crashes, refusals, settings."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import pytest

from copilot.errors import ConfigError, QueueFull, StoreError, StoreUnavailable
from copilot.job import Cause, Outcome, Output, State
from copilot.matching.groups import group_of
from copilot.matching.resources import Free
from copilot.store.accounts import Bundle
from copilot.store.base import Facts, Held, Parking, Verdict
from copilot.store.controls import Gate
from copilot.store.keys import APART, FIELDS, TABLE
from copilot.store.lists import Adoption, OldList
from copilot.store.pools import MAX_CONNECTIONS
from copilot.store.reach import Reach
from copilot.store.redis import RedisStore
from copilot.store.rules import EVENTS_KEPT
from copilot.store.shares import Share
from copilot.store.watched import Stream
from tests.contract import store_fixtures
from tests.contract.store_fixtures import (
    RedisServer,
    assert_cancelling_ends,
    eventually,
    new_prefix,
    server_in_new_directory,
    spec,
)
from tests.patience import PATIENCE_S

shared_server, redis_program, server = (
    store_fixtures.shared_server,
    store_fixtures.redis_program,
    store_fixtures.server,
)

AGENT = "agent@example.org"
GOOD = Outcome(cause=Cause.OK, exit_code=0, output=Output(size=1, sha256="ab" * 32))
LOST = Outcome(cause=Cause.INFRA_LOST, exit_code=1)
BAD = Outcome(cause=Cause.USER_EXIT, exit_code=3)


@pytest.fixture
def own_server(redis_program: str) -> Iterator[RedisServer]:
    """Each real server in turn, to do with as you like."""
    with server_in_new_directory(redis_program) as server:
        yield server


@contextlib.asynccontextmanager
async def opened(server: RedisServer, url: str = "", **options: Any) -> AsyncIterator[RedisStore]:
    store = RedisStore.from_url(url or server.url, **({"prefix": new_prefix()} | options))
    try:
        yield store
    finally:
        await store.close()


# ---------------------------------------------------------------- races


async def test_fifty_claimers_get_each_of_five_hundred_jobs_once(server: RedisServer) -> None:
    prefix = new_prefix()

    async def claimer(number: int, claims: list[str]) -> None:
        async with opened(server, prefix=prefix) as store:
            request = 0
            while got := await store.claim(
                agent=f"a{number}", request=str(request), dispatch_limit=60, count=3
            ):
                request += 1
                claims += [one.spec.id for one in got]

    claims: list[str] = []
    async with opened(server, prefix=prefix) as store:
        await store.submit([spec(number) for number in range(500)])
        await asyncio.gather(*(claimer(number, claims) for number in range(50)))
        assert Counter(claims) == Counter(f"job-{number}" for number in range(500))
        assert await store.counts() == dict.fromkeys(State, 0) | {State.RUNNING: 500}


async def test_of_many_copies_of_a_request_all_get_the_same_job(server: RedisServer) -> None:
    async with opened(server) as store:
        await store.submit([spec(number) for number in range(50)])
        copies = await asyncio.gather(
            *(store.claim(agent=AGENT, request="r", dispatch_limit=60) for _ in range(50))
        )
        assert len({(one.spec.id, one.attempt) for (one,) in copies}) == 1
        assert [one.again for (one,) in copies].count(False) == 1
        assert await store.waiting() == 49


async def test_of_many_copies_of_a_report_one_is_accepted(server: RedisServer) -> None:
    async with opened(server) as store:
        await store.submit([spec()])
        await store.claim(agent=AGENT, request="r", dispatch_limit=60)
        answers = await asyncio.gather(*(store.finish("job-1", 1, GOOD) for _ in range(50)))
        assert Counter(answer.verdict for answer in answers) == {Verdict.ACCEPTED: 1, Verdict.REPEATED: 49}
        published = await asyncio.gather(*(store.publish("job-1") for _ in range(50)))
        assert sum(published) == 1


async def test_readers_that_wait_for_events_keep_nobody_from_working(server: RedisServer) -> None:
    async with opened(server) as store:
        readers = [asyncio.create_task(store.events(block=60)) for _ in range(3 * MAX_CONNECTIONS)]
        await eventually(lambda: store.round_trips == len(readers))
        await store.submit([spec()])
        found = await asyncio.wait_for(asyncio.gather(*readers), PATIENCE_S)
        assert {events[0].job for events in found} == {"job-1"}


async def test_a_call_that_is_cancelled_at_any_step_ends_and_gives_its_connection_back(
    server: RedisServer,
) -> None:
    async with contextlib.AsyncExitStack() as stores:  # they are closed when nothing is cancelled any more

        async def connect_and_ask() -> None:
            store = await stores.enter_async_context(opened(server))
            await store.waiting()

        await assert_cancelling_ends(connect_and_ask)
    async with opened(server) as store:
        await store.waiting()
        await assert_cancelling_ends(store.waiting)
        assert (
            await asyncio.gather(*(store.waiting() for _ in range(MAX_CONNECTIONS))) == [0] * MAX_CONNECTIONS
        )


# ---------------------------------------------------------------- crashes


async def test_kill_9_of_redis_loses_nothing_that_was_acknowledged(own_server: RedisServer) -> None:
    prefix = new_prefix()
    submitted: set[str] = set()
    claimed: dict[str, int] = {}
    finished: set[str] = set()

    async def submitter(store: RedisStore, number: int) -> None:
        for one in range(10_000):
            job = spec(f"{number}-{one}")
            await store.submit([job])
            submitted.add(job.id)

    async def worker(store: RedisStore, number: int) -> None:
        for request in range(10_000):
            for one in await store.claim(agent=f"a{number}", request=str(request), dispatch_limit=60):
                claimed[one.spec.id] = one.attempt
                await store.finish(one.spec.id, one.attempt, GOOD)
                finished.add(one.spec.id)

    async with opened(own_server, prefix=prefix) as store:
        tasks = [
            asyncio.create_task(work(store, number)) for number in range(4) for work in (submitter, worker)
        ]
        await eventually(lambda: len(finished) > 100)
        own_server.kill()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
        assert {type(end) for end in ends} == {StoreUnavailable}
        own_server.start()
        for job in submitted:
            record = await store.get(job)
            assert record is not None
            assert record.attempt >= claimed.get(job, 0)
            assert record.state is State.DONE or job not in finished


async def test_after_a_restart_the_same_store_goes_on_with_scripts_that_redis_has_forgotten(
    own_server: RedisServer,
) -> None:
    async with opened(own_server) as store:
        await store.submit([spec()])
        own_server.kill()
        with pytest.raises(StoreUnavailable, match="trying again"):
            await store.submit([spec()])
        own_server.start()
        await store.submit([spec(), spec(2)])
        assert await store.waiting() == 2


# ---------------------------------------------------------------- refusals


async def test_a_frozen_server_is_given_up_after_the_timeout(own_server: RedisServer) -> None:
    async with opened(own_server, timeout=1.0) as store:
        await store.submit([spec()])
        with own_server.frozen():
            begin = time.monotonic()
            with pytest.raises(StoreUnavailable):
                await store.waiting()
            with pytest.raises(StoreUnavailable):
                await store.events(after="$", block=0.1)
            assert time.monotonic() - begin < 20  # it sleeps for as long as the test wants
        assert await store.waiting() == 1


async def test_a_listener_that_is_already_connected_gives_up_a_frozen_server(own_server: RedisServer) -> None:
    async with opened(own_server, timeout=1.0) as store:
        assert await store.events(block=0.01) == ()
        with own_server.frozen(), pytest.raises(StoreUnavailable, match="did not answer within"):
            await store.events(block=0.1)


async def test_a_full_memory_refuses_a_job_whole_and_what_is_on_the_queue_goes_on(
    own_server: RedisServer,
) -> None:
    async with opened(own_server) as store:
        await store.submit([spec(1), spec(2), spec(3), spec(4)])
        await store.waiting()
        with own_server.client() as client:
            client.config_set("maxmemory", "1")
            with pytest.raises(StoreUnavailable, match="raise maxmemory"):
                await store.submit([spec(5)])
            given = await store.claim(
                agent=AGENT, request="r", dispatch_limit=0, count=4, holder="h", lease=0
            )
            assert len(given) == 4
            assert await store.suspect("h", now=time.time() + 100) == 4
            assert await store.confirm("job-1", 1, max_run_time=60)
            assert (await store.renew(AGENT, [Held(job="job-2", attempt=1)])).lost == ()
            assert await store.hand_back("job-3", 1, cause=Cause.INFRA_UNDELIVERED)
            assert (await store.cancel("job-4")).changed
            assert {one.job for one in await store.reap()} == {"job-1", "job-2", "job-4"}
            for one in await store.claim(agent=AGENT, request="s", dispatch_limit=60, count=4):
                outcome = BAD if one.spec.id == "job-2" else GOOD
                assert (await store.finish(one.spec.id, 2, outcome)).verdict is Verdict.ACCEPTED
                assert await store.publish(one.spec.id)
        assert await store.get("job-5") is None
        counts = {State.DONE: 2, State.FAILED: 1, State.CANCELLED: 1}
        assert await store.counts() == dict.fromkeys(State, 0) | counts


async def fill(store: RedisStore, server: RedisServer) -> list[str]:
    """Submit until there is clearly no room: the ids that were taken."""
    taken: list[str] = []
    while True:
        batch = [spec(len(taken) + number, arguments="x" * 4000) for number in range(50)]
        try:
            await store.submit(batch)
        except QueueFull:
            with server.client() as client:  # buffers of this submit counted, too, and are empty soon
                client.config_set("maxmemory", "5500kb")
            return taken
        taken += [job.id for job in batch]


async def test_above_the_high_water_mark_new_jobs_are_refused_and_the_others_go_on_to_their_end(
    redis_program: str,
) -> None:
    with server_in_new_directory(redis_program, maxmemory="6mb") as server:
        async with opened(server, high_water=0.7) as store:
            taken = await fill(store, server)
            assert len(taken) > 100
            assert await store.waiting() == len(taken)
            await store.submit([spec(0, arguments="x" * 4000)])  # known already
            with pytest.raises(QueueFull, match=r"more than 70% of its memory.*submit again") as caught:
                await store.submit([spec("new")])
            assert caught.value.retryable
            assert await store.get("job-new") is None
            tail = replace(BAD, tail="x" * 2000)
            for number, job in enumerate(taken):
                agent = f"a{number % 7}"
                (one,) = await store.claim(agent=agent, request=job, dispatch_limit=60, lease=60)
                assert await store.confirm(one.spec.id, 1, max_run_time=60)
                held = Held(job=one.spec.id, attempt=1, phase="run")
                assert (await store.renew(agent, [held])).lost == ()
                settled = await store.finish(one.spec.id, 1, tail if number % 10 == 0 else GOOD)
                assert settled.verdict is Verdict.ACCEPTED
                await store.publish(one.spec.id)
            assert sum((await store.counts()).values()) == len(taken)
            with pytest.raises(QueueFull):
                await store.submit([spec("new")])
            for job in taken:
                await store.remove(job)
            await store.submit([spec("new")])


async def test_a_job_of_the_old_format_stays_where_it_is_while_the_queue_is_full(redis_program: str) -> None:
    with server_in_new_directory(redis_program, maxmemory="6mb") as server, server.client() as client:
        async with opened(server, high_water=0.7) as store:
            taken = await fill(store, server)
            old = OldList(store, "waiting-jobs")
            client.rpush("waiting-jobs", "old", taken[0])
            client.set("job:old:description", "text")
            assert await old.take(0.1) == b"old"
            with pytest.raises(QueueFull):
                await old.adopt("old", b"text", spec("x", id="old"))
            assert await old.taken() == [b"old"]
            assert await old.description("old") == b"text"
            assert await old.take(0.1) == taken[0].encode()
            assert await old.forget(taken[0]) is Adoption.KNOWN
            for job in taken:
                await store.cancel(job)
                await store.publish(job)
                await store.remove(job)
            assert await old.adopt("old", b"text", spec("x", id="old")) is Adoption.ADOPTED


async def test_without_a_mark_or_a_limit_of_memory_all_jobs_are_taken(server: RedisServer) -> None:
    async with opened(server, high_water=0.0001) as store:
        with server.client() as client:
            with pytest.raises(QueueFull):
                await store.submit([spec()])
            client.config_set("maxmemory", "0")
            await store.submit([spec()])
            client.config_set("maxmemory", "1gb")
    async with opened(server) as store:
        await store.submit([spec()])


async def test_a_replica_refuses_and_says_what_to_do(own_server: RedisServer) -> None:
    async with opened(own_server) as store:
        with own_server.client() as client:
            client.execute_command("REPLICAOF", "127.0.0.1", "1")
        with pytest.raises(StoreUnavailable, match="read-only replica"):
            await store.submit([spec()])


async def test_a_server_that_is_busy_with_a_script_is_waited_for(own_server: RedisServer) -> None:
    with own_server.client() as client:
        client.config_set("lua-time-limit", "10")

    def hang() -> None:
        with own_server.client() as client, contextlib.suppress(Exception):
            client.eval("while true do end", 0)

    async def ask_for_ever(store: RedisStore) -> None:
        while True:
            await store.waiting()

    async with opened(own_server) as store:
        await store.waiting()
        hanging = asyncio.create_task(asyncio.to_thread(hang))
        with pytest.raises(StoreUnavailable, match="SCRIPT KILL"):
            await asyncio.wait_for(ask_for_ever(store), PATIENCE_S)
        with own_server.client() as client:
            client.execute_command("SCRIPT KILL")
        await hanging
        assert await store.waiting() == 0


async def test_a_key_that_somebody_else_has_written_is_named(server: RedisServer) -> None:
    prefix = new_prefix()
    with server.client() as client:
        client.set(f"{prefix}queue:{group_of(spec())}", "x")
    async with opened(server, prefix=prefix) as store:
        with pytest.raises(StoreError, match="another program") as caught:
            await store.submit([spec()])
        assert not caught.value.retryable


async def test_a_wrong_password_is_a_matter_of_configuration(own_server: RedisServer) -> None:
    with own_server.client() as client:
        client.config_set("requirepass", "right")
    for password in ("", "?password=wr0ng"):
        async with opened(own_server, own_server.url + password) as store:
            with pytest.raises(ConfigError, match="look at user name, password") as caught:
                await store.waiting()
            assert "wr0ng" not in str(caught.value)
    async with opened(own_server, own_server.url + "?password=right") as store:
        assert await store.waiting() == 0


async def test_a_server_that_is_not_there_is_named() -> None:
    store = RedisStore.from_url("redis://127.0.0.1:1/0")
    with pytest.raises(StoreUnavailable, match=r"127\.0\.0\.1:1"):
        await store.waiting()
    await store.close()


# ---------------------------------------------------------------- check


async def test_a_durable_server_is_fit_for_use(server: RedisServer) -> None:
    async with opened(server) as store:
        facts = await store.check()
        assert facts.server.startswith("Redis ")
        assert facts.warnings == ()


@pytest.mark.parametrize(
    ("settings", "warning"),
    [
        ({"appendonly": "no"}, "appendonly is off"),
        ({"maxmemory": "0"}, "maxmemory is not set"),
        ({"appendfsync": "everysec"}, "appendfsync is everysec"),
        ({"rename-command": 'CONFIG ""'}, "does not tell"),
        ({"user": "default on nopass ~* &* +@all -config"}, "does not tell"),
    ],
)
async def test_a_server_that_may_forget_is_used_with_a_warning(
    redis_program: str, settings: dict[str, str], warning: str
) -> None:
    with server_in_new_directory(redis_program, **settings) as server:
        async with opened(server) as store:
            facts: Facts = await store.check()
            assert len(facts.warnings) == 1
            assert warning in facts.warnings[0]


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [({"maxmemory-policy": "allkeys-lru"}, "noeviction"), ({"cluster-enabled": "yes"}, "Cluster")],
)
async def test_a_server_that_would_lose_jobs_is_not_used(
    redis_program: str, settings: dict[str, str], complaint: str
) -> None:
    with server_in_new_directory(redis_program, **settings) as server:
        async with opened(server) as store:
            with pytest.raises(ConfigError, match=complaint):
                await store.check()


# ---------------------------------------------------------------- keys


async def write_what_operators_write(store: RedisStore) -> None:
    await store.set_share(Share(whose="owner:alice", jobs=5))
    await store.pause(Gate.DISPATCH)
    await store.set_aside("other@x")
    await store.set_password("alice@x", "scrypt:1:1:1:a:b")
    await store.heard(AGENT, Reach(jid=f"{AGENT}/1"))
    await store.watch("job-running", Stream.STDOUT)
    await store.shown("job-running", Stream.STDOUT, 1, offset=0, data=b"x", size=1)


async def write_what_waits(store: RedisStore) -> None:
    """Arrays, jobs that wait for others (more than one step lets in), and one that fits on no agent now."""
    await store.resume(Gate.DISPATCH)
    await store.submit(
        [spec("first", priority=9, project="atlas"), spec("sweep", array=5000, priority=-20), spec("odd.7")]
    )
    waiting = [spec(f"behind{number}", after=("job-first",)) for number in range(1001)]
    await store.submit(waiting[:1000])
    await store.submit(
        [*waiting[1000:], spec("still", after=("job-held",)), spec("wide", priority=8, cores=2)]
    )
    await store.resume(Gate.DISPATCH)
    options: dict[str, Any] = {"dispatch_limit": 60, "lease": 60, "host": "[ Cores = 4 ]"}
    for request, cores in (("first", 1), ("wide", 1), ("wide again", 2), ("another", 1)):
        await store.claim(agent="two@x", request=request, free=Free(cores=cores, most=4), **options)
    await store.submit([spec("wider", priority=-9, cores=3)])
    await store.claim(
        agent="two@x", request="wider", count=1000, free=Free(cores=2, ahead=998, most=4), **options
    )
    await store.finish("job-first", 1, GOOD)
    await store.pause(Gate.DISPATCH)


async def test_only_the_keys_and_fields_of_the_table_are_written(server: RedisServer) -> None:
    prefix = new_prefix()
    async with opened(server, prefix=prefix) as store:
        jobs = [spec("done"), spec("failed", max_attempts=1), spec("back"), spec("running", max_run_time=1)]
        idle = Parking(jid="idle@x/1")
        await store.take_over()
        await store.submit([spec("elsewhere", requirements="other.Memory > 1", rank="other.Memory")])
        await store.claim(agent="idle@x", request="r", dispatch_limit=60, host="[ Memory = 1 ]", park=idle)
        await store.submit([spec("delayed", priority=1)])
        for attempt in range(1, 7):
            await store.claim(agent=AGENT, request=f"{attempt}", dispatch_limit=60)
            # An hour ahead: its delay of 2 s is not over before the test is.
            await store.hand_back(
                "job-delayed", attempt, cause=Cause.INFRA_UNDELIVERED, now=time.time() + 3600
            )
        await store.submit([*jobs, spec("held"), spec("cancelled")])
        await store.hold("job-held")
        await store.cancel("job-cancelled")
        for one in jobs[:3]:
            await store.claim(agent=AGENT, request=one.id, dispatch_limit=60)
            await store.confirm(one.id, 1, max_run_time=60)
        stored = replace(BAD, output=GOOD.output)
        for job, outcome in (("job-done", GOOD), ("job-failed", stored), ("job-back", LOST)):
            await store.finish(job, 1, outcome, package="cGFja2Vk" if outcome is stored else None)
        await store.publish("job-done")
        holder = f"{AGENT}/old"
        await store.claim(agent=AGENT, request="r", dispatch_limit=60, count=2, holder=holder, lease=60)
        await store.renew(AGENT, [Held(job="job-running", attempt=1, phase="run")])
        await store.suspect(holder, now=time.time() + 100)
        await store.drain([AGENT])
        await store.hand_back("job-back", 2, cause=Cause.INFRA_UNDELIVERED)
        await store.cancel("job-running")
        end = time.time() + 3600
        door = Bundle(id="bundle01", jid="bundle-bundle01@x", secret_hash="0" * 64, agents=1, expires=end)
        await store.add_bundle(door, password="pw")
        await write_what_operators_write(store)
        await write_what_waits(store)
    with server.client() as client:
        found = {key.removeprefix(prefix): client.type(key) for key in client.scan_iter(f"{prefix}*")}
        fields = {name for key in found if key.startswith("job:") for name in client.hkeys(prefix + key)}
        requests = [client.ttl(prefix + key) for key in found if key.startswith("request:")]
    kinds = {key.name: key.kind.replace("sorted set", "zset") for key in (*TABLE, *APART)}
    bases = {key.name: bool(key.suffix) for key in (*TABLE, *APART)}
    for name, kind in found.items():
        base, colon, _ = name.partition(":")
        assert bases[base + colon] == bool(colon), name
        assert kinds[base + colon] == kind
    assert {name.partition(":")[0] for name in found} == {key.name.rstrip(":") for key in (*TABLE, *APART)}
    assert fields == {field.name for field in FIELDS}
    assert all(590 < left <= 600 for left in requests)


LASTING = {"sequence", "groups", "events", "audit", "started", "turns"}


async def test_a_removed_job_leaves_nothing_but_what_expires_and_what_belongs_to_all(
    server: RedisServer,
) -> None:
    prefix = new_prefix()
    async with opened(server, prefix=prefix) as store:
        await store.submit([spec("done", requirements="other.Cores > 1"), spec("failed"), spec("cancelled")])
        for job, outcome in (("job-done", GOOD), ("job-failed", replace(GOOD, cause=Cause.USER_EXIT))):
            options: dict[str, Any] = {"holder": f"{AGENT}/old", "host": "[ Cores = 2 ]"}
            await store.claim(agent=AGENT, request=job, dispatch_limit=60, **options)
            await store.finish(job, 1, outcome)
        await store.cancel("job-cancelled")
        for job in ("job-done", "job-failed", "job-cancelled"):
            await store.publish(job)
            assert await store.remove(job)
    with server.client() as client:
        left = {key.removeprefix(prefix): client.ttl(key) for key in client.scan_iter(f"{prefix}*")}
    assert {key for key, seconds in left.items() if seconds < 0} == LASTING
    expiring = {key.partition(":")[0] for key, seconds in left.items() if seconds >= 0}
    assert expiring == {"request", "held", "agents", "failing", "group", "matches", "host", "hosts", "usage"}


async def test_the_event_stream_is_bounded(server: RedisServer) -> None:
    prefix = new_prefix()
    fill = "for i = 1, 101000 do redis.call('XADD', KEYS[1], '*', 'x', i) end"
    async with opened(server, prefix=prefix) as store:
        with server.client() as client:
            client.eval(fill, 1, f"{prefix}events")
            await store.submit([spec()])
            assert EVENTS_KEPT <= client.xlen(f"{prefix}events") <= EVENTS_KEPT + 1000
            client.delete(f"{prefix}events")
