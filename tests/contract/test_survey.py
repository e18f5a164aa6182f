"""What onlookers ask of the queue, over every version of it: exact, bounded, in pages that lead to each other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from copilot.job import Cause, EventKind, Outcome, State
from copilot.matching.groups import group_of
from copilot.store.base import Held, Parking, Store
from copilot.store.places import DEEPEST
from copilot.store.redis import RedisStore
from copilot.store.rules import PARKED_FOR
from copilot.store.survey import Group, Groups, Idle, Line, Oldest, Owner, Owners, Work
from tests.contract import store_fixtures
from tests.contract.store_fixtures import is_fake, spec

shared_server, store = store_fixtures.shared_server, store_fixtures.store

AGENT, OTHER = "agent@example.org", "other@example.org"
T = 1_700_000_000.123456
GOOD = Outcome(cause=Cause.OK, exit_code=0)
BAD = Outcome(cause=Cause.USER_EXIT, exit_code=3)
LOST = Outcome(cause=Cause.INFRA_LOST, exit_code=1)
LARGE, SMALL = "other.Memory >= 2000", "other.Memory < 2000"


async def claim(store: Store, request: str = "r", *, now: float = T, **options: Any) -> list[str]:
    """Ids of what it got."""
    options = {"agent": AGENT, "lease": 60.0} | options
    given = await store.claim(request=request, dispatch_limit=60, now=now, **options)
    return [one.spec.id for one in given]


async def owners(store: Store) -> dict[str, tuple[int, int]]:
    """How many jobs of each owner wait and run."""
    found = await store.owners()
    assert found.total == len(found.rows)
    return {one.owner: (one.waiting, one.running) for one in found.rows}


async def all_pages(store: Store, state: State, limit: int) -> list[str]:
    """The jobs of all pages, in order."""
    found, place = list[str](), ""
    while True:
        page = await store.page(state, after=place, limit=limit)
        found += [line.job for line in page.rows]
        if not (place := page.next):
            return found


# ---------------------------------------------------------------- groups


async def test_groups_come_by_size_with_their_oldest_job(store: Store) -> None:
    await store.submit([spec(1, requirements=SMALL)], now=T)
    await store.submit([spec(2, requirements=LARGE, priority=5)], now=T + 2)
    await store.submit([spec(3, requirements=LARGE, priority=-5)], now=T + 1)
    await store.submit([spec(4, requirements=LARGE, priority=9)], now=T + 3)
    await store.submit([spec(5), spec(6)], now=T + 4)
    found = await store.groups()
    assert replace(found, rows=tuple(replace(one, name="") for one in found.rows)) == Groups(
        total=3,
        rows=(
            Group(requirements=LARGE, waiting=3, oldest=T + 1),
            Group(requirements="", waiting=2, oldest=T + 4),
            Group(requirements=SMALL, waiting=1, oldest=T),
        ),
    )
    assert found.rows[0].name == group_of(spec(2, requirements=LARGE))
    first = await store.groups(limit=1)
    assert (first.total, len(first.rows)) == (3, 1)


async def test_the_oldest_job_of_a_group_is_found_behind_more_urgent_ones(store: Store) -> None:
    await store.submit([spec(0, priority=-1), spec(1, requirements=LARGE, priority=-1)], now=T)
    for number in range(2, 30):
        await store.submit([spec(number, priority=number % 7)], now=T + number)
        await store.submit([spec(100 + number, requirements=LARGE, priority=number % 7)], now=T + number)
    assert [one.oldest for one in (await store.groups()).rows] == [T, T]


async def test_the_oldest_job_of_all_is_found_part_by_part(store: Store) -> None:
    assert await store.oldest() == Oldest(submitted=None, next="")
    for number in range(20):
        requirements = f"other.Memory >= {(number + 7) % 20}"
        jobs = [
            spec(number, requirements=requirements),
            spec(100 + number, requirements=requirements, priority=number % 3),
        ]
        await store.submit(jobs, now=T + number)
    ages, place = list[float](), ""
    while True:
        part = await store.oldest(place, 6)
        ages += [] if part.submitted is None else [part.submitted]
        if not (place := part.next):
            break
    assert min(ages) == T
    with pytest.raises(ValueError, match="place 'x'"):
        await store.oldest("x")


async def test_without_jobs_there_are_no_groups(store: Store) -> None:
    assert await store.groups() == Groups(total=0, rows=())
    with pytest.raises(ValueError, match="limit 0"):
        await store.groups(limit=0)


# ---------------------------------------------------------------- owners


async def test_owners_are_counted_where_their_jobs_are(store: Store) -> None:
    await store.submit(
        [spec(n, owner="ann", priority=1, max_attempts=2, max_user_attempts=1) for n in range(4)], now=T
    )
    await store.submit([spec(n, owner="bob ✓\n") for n in range(4, 6)] + [spec(6)], now=T)
    assert await owners(store) == {"ann": (4, 0), "bob ✓\n": (2, 0), "": (1, 0)}
    assert await claim(store, count=2) == ["job-0", "job-1"]
    assert await owners(store) == {"ann": (2, 2), "bob ✓\n": (2, 0), "": (1, 0)}
    await store.finish("job-0", 1, GOOD, now=T)
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    await store.hold("job-2", now=T)
    await store.cancel("job-3", now=T)
    await store.cancel("job-6", now=T)
    assert await owners(store) == {"bob ✓\n": (2, 0), "ann": (1, 0)}
    await store.publish("job-3", now=T)
    await store.retry("job-3", now=T)
    await store.release("job-2", now=T)
    assert await owners(store) == {"bob ✓\n": (2, 0), "ann": (3, 0)}


async def test_those_who_have_most_come_first(store: Store) -> None:
    await store.submit([spec(n, owner=f"user-{n % 7}" if n < 28 else "much") for n in range(60)], now=T)
    found = await store.owners(limit=3)
    assert found == Owners(
        total=8,
        rows=(
            Owner(owner="much", waiting=32, running=0),
            Owner(owner="user-6", waiting=4, running=0),
            Owner(owner="user-5", waiting=4, running=0),
        ),
    )


async def test_a_revived_job_runs_for_its_owner(store: Store) -> None:
    await store.submit([spec(owner="ann")], now=T)
    await claim(store)
    await store.confirm("job-1", 1, max_run_time=9, now=T)
    await store.reap(now=T + 100)
    assert await owners(store) == {"ann": (1, 0)}
    held = Held(job="job-1", attempt=1)
    assert (await store.renew(AGENT, [held], now=T + 101)).revived == (held,)
    assert await owners(store) == {"ann": (0, 1)}


async def test_jobs_of_an_older_version_are_counted_once_they_move(store: Store) -> None:
    if not isinstance(store, RedisStore):
        pytest.skip("nothing outlives the process")
    await store.submit([spec(n, owner="ann") for n in range(6)], now=T)
    for number in range(6):
        await store.raw("HDEL", store._keys.job(f"job-{number}"), "owner")
    await store.raw("DEL", f"{store._keys._prefix}owners")
    assert await claim(store, count=3) == ["job-0", "job-1", "job-2"]
    assert await owners(store) == {"ann": (0, 3)}
    assert [line.owner for line in (await store.page(State.WAITING)).rows] == ["ann"] * 3
    await store.finish("job-0", 1, GOOD, now=T)
    await store.cancel("job-3", now=T)
    await store.hold("job-4", now=T)
    await store.release("job-4", now=T)
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T)
    assert await owners(store) == {"ann": (2, 1)}
    for number, request in ((1, "a"), (4, "b"), (5, "c")):
        assert await claim(store, request) == [f"job-{number}"]
    for job, attempt in (("job-1", 2), ("job-2", 1), ("job-4", 1), ("job-5", 1)):
        await store.finish(job, attempt, GOOD, now=T)
    assert await owners(store) == {}


async def test_an_owner_that_is_no_text_is_counted(store: Store) -> None:
    await store.submit([spec(owner="a\ud800b")], now=T)
    assert await claim(store) == ["job-1"]
    assert await owners(store) == {"a?b": (0, 1)}


# ---------------------------------------------------------------- agents


async def test_who_has_what(store: Store) -> None:
    await store.submit([spec(1), spec(2), spec(3)], now=T)
    await claim(store, "a")
    await claim(store, "b", agent=OTHER, now=T + 1)
    await store.renew(OTHER, [Held(job="job-2", attempt=1, phase="upload")], now=T + 2)
    part = await store.holders()
    assert sorted(part.rows, key=lambda one: one.job) == [
        Work(job="job-1", attempt=1, agent=AGENT, claimed=T, phase=""),
        Work(job="job-2", attempt=1, agent=OTHER, claimed=T + 1, phase="upload"),
    ]
    assert part.next == ""
    assert await store.work(["job-2", "job-3", "nobody"]) == (
        Work(job="job-2", attempt=1, agent=OTHER, claimed=T + 1, phase="upload"),
    )
    with pytest.raises(ValueError, match="1001 jobs"):
        await store.work(["j"] * 1001)


async def test_parts_bring_every_job_and_every_agent(store: Store) -> None:
    await store.submit([spec(number) for number in range(400)], now=T)
    for number in range(400):
        park = Parking(jid=f"a{number}@x/1")
        await claim(store, agent=f"a{number}@x", count=3 if number >= 399 else 1)
        await claim(store, "2", agent=f"i{number}@x", park=park, host="[ ]", count=2)
        await store.claim(agent=f"p{number}@x", request="p", dispatch_limit=9, park=park, now=T)
        if number == 150:
            break
    jobs, place = set[str](), ""
    while True:
        work = await store.holders(place, 20)
        jobs |= {one.job for one in work.rows}
        if not (place := work.next):
            break
    running = (await store.counts())[State.RUNNING]
    assert len(jobs) == running > 128


async def test_idle_agents_are_there_as_long_as_they_are_parked(store: Store) -> None:
    parks = [Parking(jid=f"a{number}@x/1") for number in range(300)]
    for number, park in enumerate(parks):
        await claim(store, agent=f"a{number}@x", park=park, count=4, now=T + number)
    agents, place = dict[str, Idle](), ""
    while True:
        part = await store.idle(place, 20, now=T + PARKED_FOR)
        agents |= {one.jid: one for one in part.rows}
        if not (place := part.next):
            break
    assert len(agents) == 299  # the first one has not asked again in time
    assert agents["a7@x/1"] == Idle(jid="a7@x/1", agent="a7@x", slots=4, since=T + 7)
    with pytest.raises(ValueError, match="place 'x'"):
        await store.idle("x")


async def test_agents_have_the_slots_that_they_say_they_have(store: Store) -> None:
    hosts = {"two@x/1": "[\n  Slots = 2;\n  Cores = 8\n]", "none@x/1": "[ Cores = 8 ]"}
    for jid, host in hosts.items():
        await claim(store, agent=jid.partition("/")[0], park=Parking(jid=jid), host=host, count=4)
    assert await store.declared(["none@x/1", "two@x/1", "stranger@x/1"]) == (0, 2, 0)
    with pytest.raises(ValueError, match="1001 agents"):
        await store.declared(["a@x/1"] * 1001)


# ---------------------------------------------------------------- pages of jobs


async def test_waiting_jobs_come_as_they_are_claimed(store: Store) -> None:
    priorities = [0, 3, -2, 3, 0, 1]
    kinds = ["", LARGE, SMALL, "", LARGE]
    jobs = [spec(n, priority=priorities[n % 6], requirements=kinds[n % 5]) for n in range(90)]
    await store.submit(jobs, now=T)
    expected = [job.id for job in sorted(jobs, key=lambda job: (-job.priority, int(job.id[4:])))]
    for limit in (7, 89, 90, 200):
        assert await all_pages(store, State.WAITING, limit) == expected
    page = await store.page(State.WAITING, limit=1)
    assert page.total == 90
    assert page.rows == (Line(job=expected[0], owner="", state=State.WAITING, attempt=0, agent="", since=T),)


async def test_nobody_reads_a_long_queue_to_its_end(store: Store) -> None:
    for first in range(0, 2000, 500):
        await store.submit([spec(number) for number in range(first, first + 500)], now=T)
    assert len(await all_pages(store, State.WAITING, 100)) == DEEPEST + 100
    with pytest.raises(ValueError, match=f"up to {DEEPEST}"):
        await store.page(State.WAITING, after=f"{DEEPEST + 1}")


async def test_delayed_jobs_stand_behind_all_that_may_be_claimed(store: Store) -> None:
    await store.submit([spec(1), spec(2)], now=T)
    for number in range(6):
        assert await claim(store, f"{number}", now=T + number) == ["job-1"]
        await store.hand_back("job-1", number + 1, cause=Cause.INFRA_UNDELIVERED, now=T + number + 0.5)
    assert await store.waiting() == 1
    for limit in (1, 2, 3):
        assert await all_pages(store, State.WAITING, limit) == ["job-2", "job-1"]
    page = await store.page(State.WAITING)
    assert (page.total, page.rows[1].since, page.rows[1].agent) == (2, T + 5.5, AGENT)


async def test_running_jobs_come_by_the_end_of_their_time(store: Store) -> None:
    await store.submit([spec(n, owner="ann", max_run_time=100 - n) for n in range(5)], now=T)
    for job in await claim(store, count=5, lease=None):
        await store.confirm(job, 1, max_run_time=1000, now=T)
    assert await all_pages(store, State.RUNNING, 2) == [f"job-{n}" for n in (4, 3, 2, 1, 0)]
    page = await store.page(State.RUNNING, limit=1)
    assert page.rows == (
        Line(job="job-4", owner="ann", state=State.RUNNING, attempt=1, agent=AGENT, since=T),
    )


async def test_jobs_that_are_over_come_with_the_newest_first(store: Store) -> None:
    await store.submit([spec(n, max_attempts=1) for n in range(10)], now=T)
    for number, job in enumerate(await claim(store, count=9)):
        await store.finish(job, 1, (GOOD, BAD, LOST)[number % 3], now=T + number // 6)
    assert await all_pages(store, State.DONE, 1) == ["job-6", "job-3", "job-0"]
    assert await all_pages(store, State.FAILED, 2) == ["job-8", "job-7", "job-5", "job-4", "job-2", "job-1"]
    page = await store.page(State.FAILED, limit=2)
    assert [(line.job, line.cause, line.since) for line in page.rows] == [
        ("job-8", "infra-lost", T + 1),
        ("job-7", "user-exit", T + 1),
    ]
    # What is new does not shift the next page, and what is gone does not end it.
    await claim(store, "9")
    await store.finish("job-9", 1, BAD, now=T + 5)
    await store.publish("job-7", now=T + 5)
    assert await store.remove("job-7")
    rest = await store.page(State.FAILED, after=page.next, limit=9)
    assert [line.job for line in rest.rows] == ["job-5", "job-4", "job-2", "job-1"]
    assert (rest.total, rest.next) == (6, "")


async def test_held_jobs_come_with_the_newest_first(store: Store) -> None:
    await store.submit([spec(n) for n in range(3)], now=T)
    for number in (1, 0, 2):
        await store.hold(f"job-{number}", now=T + 10 - number)
    assert await all_pages(store, State.HELD, 2) == ["job-0", "job-1", "job-2"]
    assert [line.since for line in (await store.page(State.HELD)).rows] == [T + 10, T + 9, T + 8]


@pytest.mark.parametrize("state", State)
async def test_a_place_that_no_page_has_told_is_refused(store: Store, state: State) -> None:
    assert (await store.page(state)).rows == ()
    for place in ("x", "-1", "1:", ":job", "1:../x", "1" * 30, "1 2", "1.5"):
        with pytest.raises(ValueError, match="place"):
            await store.page(state, after=place)


# ---------------------------------------------------------------- events


async def test_what_is_told_of_one_job_is_found_among_all_others(store: Store) -> None:
    await store.submit([spec(number) for number in range(50)], now=T)
    assert await claim(store, count=20)
    events = await store.events(count=1000)
    told = await store.told("job-7", count=1000)
    assert told.events == tuple(event for event in events if event.job == "job-7")
    assert (told.looked_at, told.last) == (70, events[-1].id)
    part = await store.told("job-7", after=events[9].id, count=30)
    assert (part.looked_at, part.last, part.events) == (30, events[39].id, ())
    assert await store.told("job-7", after=told.last) == await store.told("nobody", after=told.last)
    with pytest.raises(ValueError, match=r"event id '\$'"):
        await store.told("job-7", after="$")


async def test_a_first_claim_tells_how_long_the_job_has_waited(store: Store) -> None:
    await store.submit([spec()], now=T)
    (given,) = await store.claim(agent=AGENT, request="1", dispatch_limit=9, now=T + 2.5)
    assert given.submitted == T
    await store.hand_back("job-1", 1, cause=Cause.INFRA_UNDELIVERED, now=T + 3)
    park = Parking(jid=f"{OTHER}/1")
    await store.hold("job-1", now=T + 3)
    await claim(store, agent=OTHER, park=park, now=T + 3)
    await store.release("job-1", now=T + 3)
    (later,) = await store.dispatch(dispatch_limit=9, now=T + 4)
    assert (later.claimed.submitted, later.claimed.attempt) == (T, 2)
    claims = [event for event in await store.events() if event.kind is EventKind.CLAIMED]
    assert [(event.wait, event.text) for event in claims] == [(2.5, ""), (None, "")]


# ---------------------------------------------------------------- load


async def test_the_store_says_how_full_it_is(store: Store) -> None:
    if is_fake(store):
        pytest.skip("fakeredis knows no INFO")
    await store.submit([spec(n) for n in range(3)], now=T)
    for job in await claim(store, count=2):
        await store.finish(job, 1, GOOD, now=T)
    await store.publish("job-0", now=T)
    load = await store.load()
    assert load.unpublished == 1
    if isinstance(store, RedisStore):
        assert 0 < load.used < load.limit == 2**30  # as the fixture sets it
