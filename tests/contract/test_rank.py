"""Which of several idle agents a job with a rank goes to: the same in every version of the queue. See decision 23."""

from __future__ import annotations

import asyncio
import itertools
import os
import random
from collections.abc import Mapping

import pytest

from copilot.errors import BadRequirements
from copilot.job import Cause, JobSpec
from copilot.matching.resources import Free
from copilot.store.base import Parking, Store
from copilot.store.memory import MemoryStore
from copilot.store.redis import RedisStore
from tests.contract import store_fixtures
from tests.contract.store_fixtures import client_of, is_fake, spec

store, shared_server = store_fixtures.store, store_fixtures.shared_server

T = 1_800_000_000.0
MEMORY = "other.Memory"
MADE_UP = int(os.environ.get("COPILOT_TEST_RANKS", "5"))  # fleets and jobs that are made up


async def park(
    store: Store, name: str, host: str, *, count: int = 1, cores: int | None = None, at: float = T
) -> None:
    """An agent finds no job."""
    given = await store.claim(
        agent=f"{name}@x",
        request=f"{name}{at}",
        dispatch_limit=60,
        count=count,
        lease=60.0,
        host=f"[ {host} ]",
        park=Parking(jid=f"{name}@x/r"),
        free=None if cores is None else Free(cores=cores),
        now=at,
    )
    assert given == ()


async def park_all(store: Store, hosts: Mapping[str, str], *, count: int = 1) -> None:
    for at, (name, host) in enumerate(hosts.items()):
        await park(store, name, host, count=count, at=T + at)


async def dispatched(store: Store, *, limit: int = 100) -> dict[str, str]:
    given = await store.dispatch(dispatch_limit=10, limit=limit, now=T + 100)
    return {one.claimed.spec.id.removeprefix("job-"): one.to.jid.partition("@")[0] for one in given}


HOSTS = {"small": "Memory = 1000", "large": "Memory = 4000", "middle": "Memory = 2000"}


async def test_a_job_goes_to_the_agent_that_it_prefers(store: Store) -> None:
    await park_all(store, HOSTS)
    await store.submit([spec(1, rank=MEMORY)], now=T)
    assert await dispatched(store) == {"1": "large"}


async def test_the_next_ones_go_to_the_next_best(store: Store) -> None:
    await park_all(store, HOSTS)
    await store.submit([spec(number, rank=MEMORY) for number in range(4)], now=T)
    assert await dispatched(store) == {"0": "large", "1": "middle", "2": "small"}
    assert await store.waiting() == 1


async def test_each_of_several_ranks_counts(store: Store) -> None:
    await park_all(store, HOSTS)
    await store.submit([spec(1, rank="0 - other.Memory"), spec(2), spec(3, rank=MEMORY)], now=T)
    assert await dispatched(store) == {"1": "small", "2": "large", "3": "middle"}


async def test_equal_ranks_go_to_who_has_waited_for_longest(store: Store) -> None:
    await park_all(store, {"one": "A = 2", "two": 'A = "x"', "three": "B = 1", "four": "A = 2"})
    jobs = [spec(number, rank="other.A") for number in range(4)]
    await store.submit(jobs, now=T)
    assert await dispatched(store) == {"0": "one", "1": "four", "2": "two", "3": "three"}


async def test_rank_chooses_among_those_that_meet_the_requirements(store: Store) -> None:
    await park_all(store, HOSTS)
    await store.submit([spec(1, rank=MEMORY, requirements="other.Memory < 4000")], now=T)
    assert await dispatched(store) == {"1": "middle"}


async def test_and_among_those_that_want_the_job(store: Store) -> None:
    picky = "Memory = 9; Requirements = other.Cores > 1"
    await park_all(
        store, {"plain": "Memory = 1", "picky": picky, "fond": "Memory = 2; Requirements = other.Cores == 1"}
    )
    await store.submit([spec(1, rank=MEMORY), spec(2, rank=MEMORY)], now=T)
    assert await dispatched(store) == {"1": "fond", "2": "plain"}


async def test_and_among_those_where_it_fits_now(store: Store) -> None:
    await park(store, "full", "Memory = 9; Cores = 8", count=1, cores=1, at=T)
    await park(store, "free", "Memory = 1; Cores = 8", count=4, cores=4, at=T + 1)
    await park(store, "better", "Memory = 2; Cores = 8", count=4, cores=4, at=T + 2)
    await store.submit([spec(number, rank=MEMORY, cores=3) for number in range(2)], now=T)
    assert await dispatched(store) == {"0": "better", "1": "free"}


async def test_what_comes_first_by_priority_is_given_first(store: Store) -> None:
    await park_all(store, {"small": "Memory = 1", "large": "Memory = 2"})
    await store.submit([spec(1, rank=MEMORY), spec(2, priority=1), spec(3, rank=MEMORY, priority=2)], now=T)
    assert await dispatched(store) == {"3": "large", "2": "small"}


async def test_an_agent_with_many_cores_gets_all_that_prefer_it(store: Store) -> None:
    await park_all(store, HOSTS, count=3)
    await store.submit([spec(number, rank=MEMORY) for number in range(4)], now=T)
    assert await dispatched(store, limit=2) == {"0": "large", "1": "large"}
    assert await dispatched(store) == {"2": "large", "3": "middle"}


async def test_an_agent_that_gets_no_jobs_is_passed_over(store: Store) -> None:
    await park_all(store, HOSTS)
    await store.set_aside("large@x", now=T)
    await store.submit([spec(1, rank=MEMORY)], now=T)
    assert await dispatched(store) == {"1": "middle"}


async def test_a_job_that_was_released_or_comes_back_is_offered_anew(store: Store) -> None:
    await store.submit([spec(1, rank=MEMORY)], now=T)
    await store.hold("job-1", now=T)
    await park_all(store, HOSTS)
    assert await dispatched(store) == {}
    await store.release("job-1", now=T)
    assert await dispatched(store) == {"1": "large"}
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await dispatched(store) == {"1": "middle"}


async def test_elements_of_an_array_have_its_rank(store: Store) -> None:
    await park_all(store, HOSTS)
    await store.submit([spec("a", rank=MEMORY, array=3)], now=T)
    assert await dispatched(store) == {"a.0": "large", "a.1": "middle", "a.2": "small"}
    await park_all(store, {"one": "Memory = 1", "two": "Memory = 2"})
    await store.hand_back("job-a.1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await dispatched(store) == {"a.1": "two"}


async def test_an_agent_that_asks_gets_the_first_job_whatever_its_rank(store: Store) -> None:
    """Nobody is kept waiting for a better one."""
    await park(store, "large", "Memory = 9")
    await store.submit([spec(1, rank=MEMORY)], now=T)
    given = await store.claim(agent="small@x", request="r", dispatch_limit=60, host="[ Memory = 1 ]", now=T)
    assert [one.spec.id for one in given] == ["job-1"]


async def test_two_agents_of_two_cores_get_two_jobs_of_two(store: Store) -> None:
    """In one look: that one agent is full is nothing against others like it."""
    for name in ("one", "two"):
        await park(store, name, "Cores = 2; MaxCores = 2", count=2, cores=2)
    await store.submit([spec(number, cores=2) for number in range(2)], now=T)
    assert await dispatched(store) == {"0": "one", "1": "two"}


async def test_a_rank_is_checked_and_written_in_one_way(store: Store) -> None:
    with pytest.raises(BadRequirements, match=r"job job-1: rank, character 16, at '\* 2': expected a value"):
        await store.submit([spec(1, rank="other.Memory * * 2")], now=T)
    with pytest.raises(BadRequirements, match="rank 'Memory': expected the one way of writing"):
        await store.submit([spec(1, rank="Memory")], now=T)
    assert await store.get("job-1") is None


async def test_the_record_has_it_and_jobs_without_requirements_show_none(store: Store) -> None:
    await store.submit([spec(1, rank=MEMORY), spec(2)], now=T)
    record = await store.get("job-1")
    assert record is not None
    assert record.spec.rank == MEMORY
    groups = (await store.groups()).rows
    assert {(one.requirements, one.rank) for one in groups} == {("", MEMORY), ("", "")}


# ---------------------------------------------------------------- in Redis


def is_real(store: Store) -> bool:
    """Whether it is a server of its own."""
    return isinstance(store, RedisStore) and not is_fake(store)


SAID = (
    "Memory = 1; Fast = true",
    "Memory = 2; Fast = 2",
    "Memory = 3; Fast = 1 / 0",
    "Memory = 3; Requirements = other.Cores > 1",
)
RANKS = ("", MEMORY, "other.Fast")
WANTED = ("", "other.Memory > 1", "other.Memory < 3")
NOBODY = "other.Memory + other.Fast + other.Cores + other.MaxCores < 0"


async def made_up(store: Store, chance: random.Random, word: str, start: float) -> list[tuple[str, str]]:
    """Some agents find no jobs, some jobs come, and who got which."""
    found: list[tuple[str, str]] = []
    submitted: list[JobSpec] = []
    names = [f"{word}-{number}@x" for number in range(6)]
    for at in (start, start + 100, start + 200):
        for later, agent in enumerate(chance.sample(names, chance.randint(1, 6))):
            cores = chance.randint(1, 4)
            await store.claim(
                agent=agent,
                request=f"{at}",
                dispatch_limit=600,
                count=cores,
                lease=chance.choice([60.0, 60.0, None]),
                host=f"[ Cores = 4; {chance.choice(SAID)} ]",
                park=Parking(jid=f"{agent}/r"),
                free=chance.choice([None, Free(cores=cores), Free(cores=cores, ahead=1, memory=100)]),
                now=at + later,
            )
        if chance.random() < 0.3:
            await store.set_aside(names[2], seconds=chance.choice([5.0, 500.0]), now=at)
        jobs = [
            JobSpec(
                id=f"{word}-{at - start:.0f}-{number}",
                command="c",
                rank=chance.choice(RANKS),
                priority=chance.choice([0, 0, 1]),
                cores=chance.choice([1, 1, 2]),
                exclusive=chance.random() < 0.2,
                requirements=chance.choice(WANTED),
            )
            for number in range(chance.randint(1, 12))
        ]
        submitted += jobs
        await store.submit(jobs, now=at + 10)
        for _ in range(chance.randint(1, 2)):
            limit = chance.choice([1, 2, 100, 100])
            given = await store.dispatch(dispatch_limit=600, limit=limit, now=at + 10)
            found += [(one.to.jid, one.claimed.spec.id) for one in given]
    for agent in names:
        await store.unpark(f"{agent}/r", now=start + 1000)
    for job in submitted:
        await store.cancel(job.id, now=start + 1000)
    return found


async def let_all_be_known(store: Store) -> None:
    """Of all kinds of hosts is known how they suit all kinds of jobs. In memory it always is: what is asked about first gets a job later."""
    await store.submit([spec("never", requirements=NOBODY, priority=-1)], now=T)
    kinds = itertools.product(SAID, RANKS, WANTED, (1, 2), (False, True))
    for number, (said, rank, wanted, cores, alone) in enumerate(kinds):
        job = spec(f"known-{number}", rank=rank, requirements=wanted, cores=cores, exclusive=alone)
        await store.submit([job], now=T)
        host, free = f"[ Cores = 4; {said} ]", Free(cores=4)
        await store.claim(
            agent="known@x", request=f"{number}", dispatch_limit=60, host=host, free=free, now=T
        )
        await store.cancel(job.id, now=T)


async def test_redis_chooses_as_the_queue_in_memory(store: Store) -> None:
    if not is_real(store):
        pytest.skip("real servers are compared with memory")
    memory = MemoryStore()
    await let_all_be_known(store)
    for seed in range(MADE_UP):
        found = [
            await made_up(one, random.Random(seed), f"seed-{seed}", T + 2000 * seed)
            for one in (memory, store)
        ]
        assert found[0] == found[1], seed


async def test_managers_that_look_at_the_same_time_choose_the_same(store: Store) -> None:
    if not isinstance(store, RedisStore):
        pytest.skip("one program alone has the queue in memory")
    others = [RedisStore(store._connections, prefix=store._keys._prefix) for _ in range(2)]
    for at in range(8):
        hosts = {f"a{at}": "Memory = 1", f"b{at}": "Memory = 3", f"c{at}": "Memory = 2"}
        await park_all(store, hosts)
        await store.submit([spec(at, rank=MEMORY, requirements="" if at % 2 else "other.Memory < 3")], now=T)
        found = await asyncio.gather(*(dispatched(one) for one in (store, *others)))
        assert {job: to for given in found for job, to in given.items()} == {
            str(at): f"{'b' if at % 2 else 'c'}{at}"
        }
        for name in hosts:
            await store.unpark(f"{name}@x/r", now=T + 100)


async def test_a_rank_is_asked_for_once_and_jobs_without_one_cost_no_message_more(store: Store) -> None:
    if not isinstance(store, RedisStore):
        pytest.skip("asks nobody")

    async def messages(number: int, rank: str) -> int:
        await park_all(store, HOSTS)
        await store.submit([JobSpec(id=f"job-{number}", command="run.sh", rank=rank)], now=T)
        before = store.round_trips
        assert await dispatched(store) == {str(number): "large" if rank else "small"}
        return store.round_trips - before

    await dispatched(store)  # a script that is new to the server costs a message
    assert await messages(1, "") == await messages(2, "") == 1
    assert await messages(3, MEMORY) == 3  # what they say of it, how much it is liked, and the job
    assert await messages(4, MEMORY) <= 2  # who parked while nobody asked for Memory is asked
    await store.submit([spec(9, rank=MEMORY, requirements="other.Memory < 0")], now=T)
    assert await messages(5, MEMORY) <= 2
    assert await messages(6, MEMORY) == 1


async def test_a_rank_of_which_nothing_is_known_any_more_is_asked_for(store: Store) -> None:
    """As when managers of the version before have told of the matches alone."""
    if not isinstance(store, RedisStore):
        pytest.skip("knows all")
    await store.submit([spec("never", rank=MEMORY, requirements="other.Memory < 0")], now=T)
    for number in (1, 2):
        await park_all(store, HOSTS)
        await store.submit([spec(number, rank=MEMORY)], now=T)
        assert await dispatched(store) == {str(number): "large"}
        async with client_of(store) as client:
            found = [key async for key in client.scan_iter(f"{store._keys._prefix}ranks:*")]
            assert len(found) == 3
            await client.delete(*found)


async def test_a_job_does_not_wait_for_ever_for_what_is_not_known(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not isinstance(store, RedisStore):
        pytest.skip("knows all")
    monkeypatch.setattr("copilot.store.redis.ASKED_FOR_RANKS", 0)
    await park_all(store, HOSTS)
    await store.submit([spec(1, rank=MEMORY)], now=T)
    assert list(await dispatched(store)) == ["1"]


async def test_more_looks_than_one_step_may_take_leave_jobs_to_who_waits(store: Store) -> None:
    """A hundred ranks and three hundred agents: all of the jobs are given, and the first by their ranks."""
    if not is_real(store):
        pytest.skip("of real servers")
    await park_all(store, {f"a{at}": f"Memory = {at // 100}" for at in range(300)})
    await store.submit([spec(number, rank=f"other.Memory - {number}") for number in range(100)], now=T)
    given = await dispatched(store)
    assert (len(given), given["0"]) == (100, "a200")
