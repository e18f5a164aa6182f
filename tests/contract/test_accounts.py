"""Who may come in: accounts, bundles and errands, the same in every version of the store."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from typing import Any

import pytest

from copilot.errors import BadName
from copilot.job import State
from copilot.roles import Account, Standing
from copilot.store.accounts import Bundle, Entry, Errand
from copilot.store.base import Held, Parking, Store, Verdict
from copilot.store.redis import RedisStore
from copilot.store.rules import OUT_OF_TIME
from tests.contract import store_fixtures
from tests.contract.store_fixtures import client_of, history, spec

store, shared_server = store_fixtures.store, store_fixtures.shared_server

T = 1_800_000_000.0625
KEY, OTHER_KEY = ("A" * 43 + "=", "B" * 43 + "=")
HASH, OTHER_HASH = "a" * 64, "b" * 64
A, B, TEMPORARY = "agent-a@x", "agent-b@x", "bundle-1@x"
LATER = T + 1000.0


def bundle(**fields: Any) -> Bundle:
    fixed = {
        "id": "bundle01",
        "jid": TEMPORARY,
        "secret_hash": HASH,
        "projects": frozenset({"theory", "p.2"}),
    }
    return Bundle(**(fixed | fields))


def agent(jid: str = A, key: str = KEY) -> Account:
    return Account(jid=jid, standing=Standing.AGENT, key=key)


async def enrol(store: Store, account: Account | None = None, **fields: Any) -> Entry:
    fixed: dict[str, Any] = {
        "by": TEMPORARY,
        "bundle": "bundle01",
        "secret_hash": HASH,
        "password": "pw",
        "now": T,
    }
    return (await store.enrol(**(fixed | {"account": account or agent()} | fields))).entry


async def claim(
    store: Store, jid: str = A, *, now: float = T, park: bool = False, count: int = 1
) -> list[str]:
    claim.number += 1  # type: ignore[attr-defined]
    parking = Parking(jid=f"{jid}/r") if park else None
    given = await store.claim(
        agent=jid,
        request=f"r{claim.number}",
        dispatch_limit=60.0,
        lease=60.0,
        park=parking,
        count=count,
        now=now,  # type: ignore[attr-defined]
    )
    return [one.spec.id for one in given]


claim.number = 0  # type: ignore[attr-defined]


async def wanted(store: Store, *, now: float = T) -> dict[str, str | None]:
    return {one.jid: one.password for one in await store.errands(lease=0.001, now=now)}


async def test_a_record_reads_back_as_it_was_written(store: Store) -> None:
    account = Account(
        jid=A,
        standing=Standing.SUBMITTER,
        projects=frozenset({"one", "two"}),
        key=KEY,
        bundle="bundle01",
        created=T / 3,
        expires=T,
        revoked=True,
    )
    await store.put_account(account)
    assert await store.account(A) == account
    assert await store.account(B) is None
    await store.put_account(Account(jid=B, standing=Standing.ADMIN), now=T)
    assert await store.account(B) == Account(jid=B, standing=Standing.ADMIN, created=T)
    assert await wanted(store) == {}


async def test_changes_are_told_in_their_order_and_each_once(store: Store) -> None:
    assert (await store.accounts()).number == 0
    for jid in (A, B, "c@x"):
        await store.put_account(agent(jid), now=T)
    first = await store.accounts(limit=2)
    assert [one.jid for one in first.accounts] == [A, B]
    rest = await store.accounts(after=first.number)
    assert [one.jid for one in rest.accounts] == ["c@x"]
    await store.put_account(agent(A, OTHER_KEY), now=T)
    last = await store.accounts(after=rest.number)
    assert [(one.jid, one.key) for one in last.accounts] == [(A, OTHER_KEY)]
    again = await store.accounts(after=last.number)
    assert (again.number, again.accounts) == (last.number, ())


async def test_a_change_is_a_hint(store: Store) -> None:
    hints = store.hints()
    heard = asyncio.ensure_future(anext(hints))
    while not heard.done():
        await store.put_account(agent(), now=T)
        await asyncio.sleep(0.001)
    heard.result()
    with contextlib.suppress(RuntimeError):
        await hints.aclose()  # type: ignore[attr-defined]


@pytest.mark.parametrize("jid", ["A@x", "a", "a@x/r", "a b@x", "", "a@x\n", "x" * 2000 + "@x"])
async def test_what_is_no_bare_jid_gets_no_record(store: Store, jid: str) -> None:
    for attempt in (store.put_account(agent(jid)), store.revoke(jid), store.expire(jid, T)):
        with pytest.raises(BadName):
            await attempt


@pytest.mark.parametrize(
    "wrong",
    [
        {"id": "../x"},
        {"secret_hash": "short"},
        {"agents": 0},
        {"agents": 10**9},
        {"projects": frozenset({"a b"})},
        {"projects": frozenset(f"p{number}" for number in range(101))},
    ],
)
async def test_what_is_no_bundle_is_refused(store: Store, wrong: dict[str, Any]) -> None:
    with pytest.raises(BadName):
        await store.add_bundle(bundle(**wrong), password="pw")
    assert await store.bundles() == ()


async def test_a_bundle_has_an_account_that_the_server_is_to_have(store: Store) -> None:
    await store.add_bundle(bundle(expires=LATER), password="pw", now=T)
    await store.add_bundle(bundle(id="bundle02", jid="b2@x"), password="pw2", now=T + 1)
    assert await store.bundles() == (
        bundle(created=T, expires=LATER),
        bundle(id="bundle02", jid="b2@x", created=T + 1),
    )
    found = await store.account(TEMPORARY)
    assert found == Account(
        jid=TEMPORARY, standing=Standing.BUNDLE, bundle="bundle01", created=T, expires=LATER
    )
    assert await wanted(store, now=T + 1) == {TEMPORARY: "pw", "b2@x": "pw2"}


async def test_the_same_bundle_again_changes_nothing_and_another_one_of_its_name_is_refused(
    store: Store,
) -> None:
    await store.put_account(agent(B), now=T)
    for _ in range(2):
        await store.add_bundle(bundle(), password="pw", now=T)
    for other in (bundle(secret_hash=OTHER_HASH), bundle(id="bundle02", jid=B)):
        with pytest.raises(BadName, match="taken"):
            await store.add_bundle(other, password="pw", now=T)
    assert await store.bundles() == (bundle(created=T),)
    assert await store.account(B) == replace(agent(B), created=T)


async def test_an_agent_comes_in_and_works_for_the_projects_of_its_bundle(store: Store) -> None:
    await store.add_bundle(bundle(agents=2), password="pw", now=T)
    assert await enrol(store) is Entry.ENROLLED
    assert await store.account(A) == Account(
        jid=A,
        standing=Standing.AGENT,
        key=KEY,
        projects=frozenset({"theory", "p.2"}),
        bundle="bundle01",
        created=T,
    )
    assert await store.bundles() == (bundle(agents=2, used=1, created=T),)
    assert (await wanted(store))[A] == "pw"


async def test_the_same_key_again_gets_the_same_account_and_counts_nothing(store: Store) -> None:
    await store.add_bundle(bundle(agents=1), password="pw", now=T)
    assert await enrol(store) is Entry.ENROLLED
    assert await enrol(store, password="new", now=T + 1) is Entry.AGAIN
    assert (await store.bundles())[0].used == 1
    assert (await wanted(store, now=T + 1))[A] == "new"
    assert (await store.account(A)).created == T  # type: ignore[union-attr]


async def test_a_bundle_lets_in_no_more_than_it_says_and_then_its_account_goes(store: Store) -> None:
    await store.add_bundle(bundle(agents=2), password="pw", now=T)
    assert await enrol(store) is Entry.ENROLLED
    assert await enrol(store, agent(B, OTHER_KEY)) is Entry.ENROLLED
    assert await enrol(store, agent("c@x", "C" * 43 + "=")) is Entry.USED_UP
    assert await store.account("c@x") is None
    assert TEMPORARY not in await wanted(store)  # the last one has yet to hear its answer
    assert (await wanted(store, now=T + 61))[TEMPORARY] is None


async def test_many_that_come_at_once_get_as_many_places_as_there_are(store: Store) -> None:
    await store.add_bundle(bundle(agents=5), password="pw", now=T)
    keys = [letter * 43 + "=" for letter in "ABCDEFGHIJ"]
    entries = await asyncio.gather(*(enrol(store, agent(f"{key[0].lower()}@x", key)) for key in keys * 2))
    assert entries.count(Entry.ENROLLED) == 5
    assert (await store.bundles())[0].used == 5
    assert len((await store.accounts()).accounts) == 6


@pytest.mark.parametrize(
    ("wrong", "entry"),
    [
        ({"secret_hash": OTHER_HASH}, Entry.UNKNOWN),
        ({"bundle": "bundle99"}, Entry.UNKNOWN),
        ({"by": "bundle-2@x"}, Entry.UNKNOWN),
        ({"now": LATER}, Entry.EXPIRED),
    ],
)
async def test_who_has_not_the_right_bundle_does_not_come_in(
    store: Store, wrong: dict[str, Any], entry: Entry
) -> None:
    await store.add_bundle(bundle(expires=LATER), password="pw", now=T)
    assert await enrol(store, **wrong) is entry
    assert await store.account(A) is None
    assert (await store.bundles())[0].used == 0


async def test_nobody_takes_the_account_of_another_one(store: Store) -> None:
    await store.add_bundle(bundle(agents=9), password="pw", now=T)
    await store.put_account(Account(jid="boss@x", standing=Standing.ADMIN, key=KEY), now=T)
    assert await enrol(store) is Entry.ENROLLED
    assert await enrol(store, agent(A, OTHER_KEY)) is Entry.TAKEN
    assert await enrol(store, agent("boss@x", KEY)) is Entry.TAKEN
    assert (await store.account(A)).key == KEY  # type: ignore[union-attr]


async def test_a_revoked_bundle_lets_nobody_in_and_whoever_has_come_stays(store: Store) -> None:
    await store.add_bundle(bundle(agents=9), password="pw", now=T)
    assert await enrol(store) is Entry.ENROLLED
    assert await store.revoke_bundle("bundle01", now=T)
    assert not await store.revoke_bundle("bundle01", now=T)
    assert not await store.revoke_bundle("bundle99", now=T)
    assert await enrol(store, agent(B, OTHER_KEY)) is Entry.REVOKED
    assert await enrol(store) is Entry.REVOKED
    assert (await store.bundles())[0].revoked
    assert (await store.account(A)).counts(T)  # type: ignore[union-attr]
    assert not (await store.account(TEMPORARY)).counts(T)  # type: ignore[union-attr]
    assert (await wanted(store))[TEMPORARY] is None


async def test_a_revoked_agent_does_not_come_in_again_by_the_same_key(store: Store) -> None:
    await store.add_bundle(bundle(agents=9), password="pw", now=T)
    await enrol(store)
    await store.revoke(A, now=T)
    assert await enrol(store) is Entry.REVOKED
    assert (await wanted(store))[A] is None


async def test_who_is_revoked_loses_its_jobs_and_gets_none(store: Store) -> None:
    await store.submit([spec(1), spec(2), spec(3)], now=T)
    assert await claim(store, count=2) == ["job-1", "job-2"]
    assert await claim(store, B) == ["job-3"]
    await store.confirm("job-1", 1, max_run_time=60.0, now=T)
    cut = await store.revoke(A, now=T)
    assert cut.changed
    assert sorted((one.job, one.kind, one.cause, one.agent) for one in cut.events) == [
        ("job-1", "handed-back", "infra-preempted", A),
        ("job-2", "handed-back", "infra-preempted", A),
    ]
    assert await claim(store) == []
    record = await store.get("job-1")
    assert record is not None
    assert (record.state, record.attempts_used) == (State.WAITING, 0)
    assert await claim(store, B, count=3) == ["job-1", "job-2"]
    again = await store.revoke(A, now=T)
    assert (again.changed, again.events) == (False, ())


async def test_what_a_revoked_agent_says_later_changes_nothing(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await claim(store)
    await store.confirm("job-1", 1, max_run_time=60.0, now=T)
    await store.revoke(A, reason="it mines", now=T)
    held = Held(job="job-1", attempt=1)
    assert (await store.renew(A, [held], now=T)).lost == (held,)
    assert (await store.finish("job-1", 1, OUT_OF_TIME, now=T)).verdict is Verdict.REPEATED
    assert not await store.confirm("job-1", 1, max_run_time=60.0, now=T)
    assert await history(store) == [
        "submitted 0",
        "claimed 1",
        "running 1",
        "handed-back 1 infra-preempted",
    ]


async def test_a_revoked_agent_does_not_renew_what_went_back_before(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await claim(store)
    await store.confirm("job-1", 1, max_run_time=60.0, now=T)
    await store.reap(now=T + 61)
    await store.revoke(A, now=T + 62)
    held = Held(job="job-1", attempt=1)
    assert (await store.renew(A, [held], now=T + 63)).lost == (held,)


async def test_who_is_parked_and_revoked_gets_nothing(store: Store) -> None:
    await claim(store, park=True)
    await claim(store, B, park=True)
    await store.revoke(A, now=T)
    await claim(store, park=True)  # its message was under way
    await store.submit([spec(1), spec(2)], now=T)
    given = await store.dispatch(dispatch_limit=10.0, now=T)
    assert [one.to.jid for one in given] == [f"{B}/r"]


async def test_a_job_that_somebody_cancels_ends_when_its_agent_is_revoked(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    await claim(store)
    await store.cancel("job-1", now=T)
    assert [one.kind for one in (await store.revoke(A, now=T)).events] == ["cancelled"]


async def test_an_agent_without_a_record_can_be_revoked(store: Store) -> None:
    await store.revoke(A, now=T)
    assert await store.account(A) == Account(jid=A, standing=Standing.AGENT, created=T, revoked=True)
    assert await wanted(store) == {A: None}


async def test_what_is_no_agent_gets_no_job(store: Store) -> None:
    await store.add_bundle(bundle(), password="pw", now=T)
    await store.put_account(Account(jid=B, standing=Standing.SUBMITTER), now=T)
    await store.submit([spec(1)], now=T)
    assert await claim(store, TEMPORARY) == []
    assert await claim(store, B) == []
    assert await claim(store) == ["job-1"]


async def test_an_account_ends_by_itself(store: Store) -> None:
    await store.add_bundle(bundle(agents=2), password="pw", now=T)
    await enrol(store)
    await store.submit([spec(1), spec(2)], now=T)
    assert await store.expire(A, T + 10, now=T)
    assert await claim(store) == ["job-1"]
    assert await store.end_accounts(now=T + 9) == ()
    assert await claim(store, now=T + 10) == []
    assert [one.kind for one in await store.end_accounts(now=T + 10)] == ["handed-back"]
    assert await store.end_accounts(now=T + 11) == ()
    assert (await wanted(store, now=T + 11))[A] is None
    assert not await store.expire(A, None, now=T + 11)
    assert await enrol(store, now=T + 11) is Entry.EXPIRED


async def test_an_end_can_be_put_off(store: Store) -> None:
    assert await store.expire(A, T + 10, now=T)
    assert await store.expire(A, None, now=T + 9)
    assert await store.end_accounts(now=T + 11) == ()
    assert (await store.account(A)) == Account(jid=A, standing=Standing.AGENT, created=T)


async def test_the_account_of_a_bundle_goes_with_its_time(store: Store) -> None:
    await store.add_bundle(bundle(expires=T + 10), password="pw", now=T)
    assert await store.end_accounts(now=T + 10) == ()
    assert await wanted(store, now=T + 10) == {TEMPORARY: None}


async def test_an_errand_is_taken_by_one_at_a_time_and_by_the_next_if_that_one_dies(store: Store) -> None:
    await store.put_account(agent(), password="pw", now=T)
    (errand,) = await store.errands(lease=30.0, now=T)
    assert (errand.jid, errand.password, errand.tried) == (A, "pw", "")
    assert "pw" not in repr(errand)
    assert await store.errands(lease=30.0, now=T + 29) == ()
    assert await store.errands(lease=30.0, now=T + 30) == (errand,)
    assert await store.errand(A) == errand
    assert await store.done_errand(errand)
    assert await store.errand(A) is None
    assert not await store.done_errand(errand)
    assert await store.errands(now=T + 99) == ()


async def test_an_errand_that_was_carried_out_strikes_off_no_later_one(store: Store) -> None:
    await store.put_account(agent(), password="pw", now=T)
    (old,) = await store.errands(now=T)
    await store.revoke(A, now=T)
    assert not await store.done_errand(old)
    (new,) = await store.errands(now=T)
    assert new.password is None
    assert await store.done_errand(new)
    await store.put_account(agent(), password="pw", now=T)
    assert not await store.done_errand(old)
    assert not await store.done_errand(new)
    assert isinstance(await store.errand(A), Errand)


async def test_why_an_errand_failed_is_kept_until_it_is_tried_again(store: Store) -> None:
    await store.put_account(agent(), password="pw", now=T)
    (errand,) = await store.errands(now=T)
    await store.tried_errand(errand, "x" * 2000, again=5.0, now=T)
    assert (await store.errand(A)).tried == "x" * 1000  # type: ignore[union-attr]
    assert await store.errands(now=T + 4) == ()
    (again,) = await store.errands(now=T + 5)
    assert (again.number, again.password) == (errand.number, "pw")


async def test_an_account_that_was_made_late_is_removed_once_more(store: Store) -> None:
    """One instance has been told to make it, and another one to remove it, and nobody knows who came first to the server."""
    for late_first in (True, False):
        await store.put_account(agent(), password="pw", now=T)
        (making,) = await store.errands(now=T)
        await store.revoke(A, now=T)
        (removing,) = await store.errands(now=T)
        if late_first:
            assert not await store.done_errand(making)
            assert not await store.done_errand(removing)
        else:
            assert await store.done_errand(removing)
            assert not await store.done_errand(making)
        errand = await store.errand(A)
        assert errand is not None
        assert errand.password is None
        assert await store.done_errand(errand)
        assert await store.errand(A) is None


async def test_what_comes_after_changes_that_were_lost_has_a_number_that_nobody_has_seen(
    store: Store,
) -> None:
    if not isinstance(store, RedisStore):
        return  # memory is lost as a whole
    await store.put_account(agent(), now=T)
    await store.put_account(agent(B), now=T)
    seen = (await store.accounts()).number
    async with client_of(store) as client:
        await client.hdel(store._keys.accounts, B)
        await client.zrem(f"{store._keys.accounts}-changed", B)
    await store.put_account(agent("agent-c@x"), now=T + 1)
    assert [one.jid for one in (await store.accounts(after=seen)).accounts] == ["agent-c@x"]
