"""The Redis version without a server: same answers as in memory, addresses, scripts."""

from __future__ import annotations

import re
from importlib import resources

import pytest
from hypothesis import settings
from hypothesis.stateful import invariant

from copilot.errors import ConfigError, StoreUnavailable
from copilot.matching.groups import is_plain
from copilot.matching.matcher import matches
from copilot.store.base import Parking, Store
from copilot.store.loader import SHARED
from copilot.store.memory import MemoryStore
from copilot.store.pools import Pools
from copilot.store.redis import READS, RedisStore
from tests.contract.store_fixtures import fake_redis_store, spec
from tests.unit.store.machine import QueueMachine


class BothVersions(QueueMachine):
    def make_stores(self) -> list[Store]:
        return [MemoryStore(), fake_redis_store()]

    @invariant()
    def the_heads_are_the_first_jobs_of_the_groups(self) -> None:
        if not hasattr(self, "stores"):
            return
        store = self.stores[-1]
        assert isinstance(store, RedisStore)
        assert self.runner.run(heads(store)) == self.runner.run(first_jobs(store))
        waiting = self.runner.run(pools_of(store).workers.get(f"{store._keys._prefix}attributes"))
        particular = [head for head in self.runner.run(heads(store)) if not is_plain(head[34:])]
        assert bool(waiting) == bool(particular)


def pools_of(store: RedisStore) -> Pools:
    assert isinstance(store._connections, Pools)
    return store._connections


async def heads(store: RedisStore) -> list[str]:
    """What `heads` and `plain-heads` say."""
    both = [
        await pools_of(store).workers.zrange(f"{store._keys._prefix}{name}", 0, -1)
        for name in ("plain-heads", "heads")
    ]
    return sorted(head for found in both for head in found)


async def first_jobs(store: RedisStore) -> list[str]:
    """What they should say."""
    expected = []
    async for key in pools_of(store).workers.scan_iter(f"{store._keys.queue('')}*"):
        group = key.removeprefix(store._keys.queue(""))
        ((entry, rank),) = await pools_of(store).workers.zrange(key, 0, 0, withscores=True)
        number = "0"
        if not is_plain(group):
            number, _ = (await pools_of(store).workers.get(f"{store._keys._prefix}group:{group}")).split(
                " ", 1
            )
        expected.append(f"{int(rank) + 10**9:010d}{entry[:16]}{int(number):08d}{group}")
    return sorted(expected)


@pytest.mark.timeout(600)
class TestBothVersionsAnswerTheSame(BothVersions.TestCase):  # type: ignore[misc, valid-type]
    settings = settings(max_examples=25, stateful_step_count=30, deadline=None)


@pytest.mark.parametrize(
    "url", ["http://x", "redis://u:s3cret@x:port/0", "redis://:s3cret@x/0?db=zero", "redis://:s3cret#@x"]
)
def test_a_wrong_url_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(ConfigError, match="expected redis://") as caught:
        RedisStore.from_url(url)
    assert "s3cret" not in str(caught.value)
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("prefix", ["", "copilot", "a b:", "a{b}:", "x" * 100 + ":", "a:\n"])
def test_a_wrong_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(ConfigError, match="prefix"):
        RedisStore.from_url("redis://localhost", prefix=prefix)


@pytest.mark.parametrize("url", ["redis://localhost:1/3", "rediss://u:p@localhost", "unix:///tmp/s?db=2"])
async def test_a_store_that_was_never_used_can_be_closed(url: str) -> None:
    await RedisStore.from_url(url).close()


async def test_a_claim_that_meets_nothing_new_is_one_round_trip() -> None:
    store = fake_redis_store()
    for number in range(300):
        await store.submit(
            [spec(number, requirements=f"other.Cores > {number % 3} && other.Memory > {number}")]
        )
    await store.submit([spec(number, requirements="other.Cores > 1") for number in range(300, 400)])

    async def round_trips(host: str, jid: str) -> int:
        before = store.round_trips
        (given,) = await store.claim(
            agent="a@x", request=f"{before}", dispatch_limit=1, lease=1, host=host, park=Parking(jid=jid)
        )
        assert matches(given.spec.requirements, "[ Cores = 4; Memory = 250 ]")
        return store.round_trips - before

    assert await round_trips("[ Cores = 4; Memory = 250; Uname = 1 ]", "a@x/1") > 1
    for number in range(
        20
    ):  # the class is known, whoever asks, and what is said of other things does not count
        assert await round_trips(f"[ Uname = {number}; Memory = 250; Cores = 4 ]", f"a@x/{number}") == 1
        assert await round_trips("", f"a@x/{number}") == 1
    await store.close()


async def test_a_script_that_the_server_does_not_know_costs_one_more_round_trip() -> None:
    store = fake_redis_store()
    await store.submit([spec(1)])
    assert store.round_trips == 2
    await store.submit([spec(2)])
    assert store.round_trips == 3
    await store.close()


def scripts() -> dict[str, str]:
    folder = resources.files("copilot.store") / "scripts"
    return {path.name: path.read_text("utf-8") for path in folder.iterdir() if path.name.endswith(".lua")}


def test_every_script_says_what_it_touches_and_why_it_must_be_atomic() -> None:
    for name, text in scripts().items():
        header = re.match(r"(--.*\n)+", text)
        assert header, name
        if name.removesuffix(".lua") not in SHARED:
            assert "-- Touches" in header[0], name
            assert "-- Atomic because: " in header[0], name


def test_no_script_uses_what_some_servers_lack() -> None:
    for name, text in scripts().items():
        code = re.sub(r"--.*", "", text)
        assert not re.search(r"cmsgpack|struct\.|bit\.|sha1hex|LMPOP|ZMPOP|FCALL|tostring", code), name


def test_the_scripts_that_wait_for_no_replica_change_nothing() -> None:
    texts = scripts()
    harmless = {
        "EXISTS",
        "HEXISTS",
        "GET",
        "HGET",
        "HGETALL",
        "HKEYS",
        "HMGET",
        "HSCAN",
        "LINDEX",
        "SMEMBERS",
        "SCAN",
        "TIME",
        "XRANGE",
        "XREVRANGE",
        "ZCARD",
        "ZCOUNT",
        "ZRANGE",
    }
    harmless |= {
        "ZLEXCOUNT",
        "ZMSCORE",
        "ZRANGEBYLEX",
        "ZRANGEBYSCORE",
        "ZRANK",
        "ZREVRANGE",
        "ZREVRANGEBYSCORE",
        "ZREVRANK",
        "ZSCAN",
        "ZSCORE",
    }
    functions = {
        "ipairs",
        "tonumber",
        "unpack",
        "exact",
        "after",
        "order_of",
        "owner_in_spec",
        "read_trial",
        "in_queues",
        "number_in",
        "number_of_jobs",
        "record_of",
        "find_element",
        "part_of",
        "read_array",
        "read_range",
        "range_name",
        "is_range",
        "jobs_of",
        "place_of",
        "state_of",
        "append_work",
        "has_jobs",
        "may_have_jobs",
        "pairs",
        "queue_entry",
        "oldest_in",
        "set_aside_for",
        "is_row",
        "rows_of",
        "family_of",
        "beginning_of",
        "read_passed",
        "is_kept_till",
        "may_be_kept",
        "groups_with_jobs",
        "group_of",
        "id_of",
    }
    for name in READS:
        text = texts[f"{name}.lua"]
        assert set(re.findall(r"redis\.call\('(\w+)'", text)) <= harmless, name
        called = set(re.findall(r"(?<![.\w])(\w+)\(", re.sub(r"--.*", "", text)))
        own = set(re.findall(r"^ *local function (\w+)", text, re.MULTILINE))
        assert called - own <= functions, name


async def test_round_trips_are_timed_and_what_redis_does_not_answer_is_counted_by_kind() -> None:
    store = fake_redis_store()
    await store.submit([spec(1)])
    await store.counts()
    assert store.numbers.seconds.count == store.round_trips > 1
    assert not store.numbers.errors
    await store.close()
    away = RedisStore.from_url("redis://127.0.0.1:1", timeout=1.0)
    for _ in range(2):
        with pytest.raises(StoreUnavailable):
            await away.counts()
    assert away.numbers.errors == {"unavailable": 2}
    assert away.numbers.seconds.count == 0
    await away.close()
