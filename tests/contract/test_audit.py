"""Who has changed what, over every version of the queue: each operator's method leaves one entry, in his name."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from copilot.actor import Actor, Via, acting
from copilot.errors import BadName, JobExists
from copilot.roles import Account, Standing
from copilot.store.accounts import Bundle
from copilot.store.arrays import Slice, Wish
from copilot.store.audit import MOST_TARGETS, OPERATIONS, AuditEntry
from copilot.store.base import Store
from copilot.store.controls import Gate
from copilot.store.shares import Share
from copilot.store.survey import Survey
from tests.contract import store_fixtures
from tests.contract.store_fixtures import spec

shared_server, store = store_fixtures.shared_server, store_fixtures.store

T = 1_700_000_000.5
ANNA = Actor(name="anna", via=Via.CLI, standing="operator", place="host-7")
AGENT = "a@x.org"
HASH = "0" * 64

# What components do, what only reads, and what belongs to nobody in particular. A new method of the port stands here, or in
# `OPERATIONS` of `copilot/store/audit.py` if somebody changes the queue by it.
OF_COMPONENTS = frozenset(
    {
        "adopt",
        "claim",
        "close",
        "confirm",
        "dispatch",
        "done_errand",
        "end_accounts",
        "enrol",
        "errands",
        "finish",
    }
    | {
        "hand_back",
        "leave",
        "publish",
        "reap",
        "reject",
        "renew",
        "shown",
        "suspect",
        "take_over",
        "tried_errand",
        "unpark",
    }
    | {"heard", "refused", "shown", "wanted", "watch"}
)
READS = frozenset(
    {
        "account",
        "accounts",
        "array",
        "awaits",
        "asides",
        "attempts",
        "audit",
        "bundles",
        "cancelling",
        "check",
        "counts",
        "draining",
    }
    | {"ended", "errand", "events", "get", "hints", "package", "password", "paused", "quarantine", "trials"}
    | {"reach", "shares", "unpublished", "usage", "waiting"}
) | {name for name, _ in inspect.getmembers(Survey, inspect.isfunction)}


async def entries(store: Store) -> list[AuditEntry]:
    return list(await store.audit(count=1000))


async def lay_out(store: Store) -> None:
    """job-2 runs, job-3 is held, job-4 waits, the others are cancelled and published."""
    await store.submit([spec(number) for number in (2, 3, 4, 5, 6)] + [spec(7, array=3)], now=T)
    await store.claim(agent=AGENT, request="1", dispatch_limit=60, now=T)
    await store.hold("job-3", now=T)
    for job in ("job-5", "job-6"):
        await store.cancel(job, now=T)
        await store.publish(job, now=T)


def a_bundle(ident: str = "abcdefgh", secret: str = HASH) -> Bundle:
    return Bundle(id=ident, jid=f"{ident}@x.org", secret_hash=secret)


# For each method one call that changes something, its target and its result.
CALLS: dict[str, tuple[Callable[[Store], Awaitable[Any]], str, str]] = {
    "submit": (lambda s: s.submit([spec(9)]), "job-9", "changed"),
    "cancel": (lambda s: s.cancel("job-2", reason="why"), "job-2", "changed running"),
    "hold": (lambda s: s.hold("job-4", reason="why"), "job-4", "changed held"),
    "release": (lambda s: s.release("job-3", reason="why"), "job-3", "changed waiting"),
    "retry": (lambda s: s.retry("job-5", reason="why"), "job-5", "changed waiting"),
    "operate_slice": (
        lambda s: s.operate_slice("job-7", Slice(begin=1, end=3), Wish.HOLD, reason="why"),
        "job-7[1:3]",
        "changed",
    ),
    "remove": (lambda s: s.remove("job-6"), "job-6", "changed"),
    "drain": (lambda s: s.drain([AGENT, "b@x.org"]), f"{AGENT} b@x.org", "changed"),
    "set_aside": (lambda s: s.set_aside("c@x.org", reason="why"), "c@x.org", "changed"),
    "pause": (lambda s: s.pause(Gate.INTAKE, reason="why"), "intake", "changed"),
    "set_share": (
        lambda s: s.set_share(Share(whose="owner:anna", shares=2, cores=8)),
        "owner:anna (shares 2, cores 8)",
        "changed",
    ),
    "put_account": (
        lambda s: s.put_account(Account(jid="u@x.org", standing=Standing.OPERATOR), password="secret"),
        "u@x.org (operator)",
        "changed",
    ),
    "revoke": (lambda s: s.revoke("z@x.org", reason="why"), "z@x.org", "changed"),
    "expire": (lambda s: s.expire(AGENT, T + 10), AGENT, "changed"),
    "add_bundle": (lambda s: s.add_bundle(a_bundle(), password="secret"), "abcdefgh", "changed"),
    "set_password": (lambda s: s.set_password("u@x.org", "scrypt:secret"), "u@x.org", "changed"),
}
# Those that undo one of them; they change nothing the second time.
AFTER: tuple[tuple[str, Callable[[Store], Awaitable[Any]], str], ...] = (
    ("pardon", lambda s: s.pardon("c@x.org", reason="why"), "c@x.org"),
    ("resume", lambda s: s.resume(Gate.INTAKE, reason="why"), "intake"),
    ("revoke_bundle", lambda s: s.revoke_bundle("abcdefgh"), "abcdefgh"),
)


def test_every_method_of_the_port_is_somebodys() -> None:
    methods = {name for name, _ in inspect.getmembers(Store, inspect.isfunction) if not name.startswith("_")}
    unknown = methods - OPERATIONS.keys() - OF_COMPONENTS - READS
    assert not unknown, (
        f"{unknown}: add it to OPERATIONS in copilot/store/audit.py and to CALLS here if an operator changes something by it"
    )
    assert CALLS.keys() | {name for name, _, _ in AFTER} | {"cut_audit"} == OPERATIONS.keys()


async def test_each_leaves_one_entry_in_the_name_of_who_did_it(store: Store) -> None:
    await lay_out(store)
    for name, (call, target, result) in CALLS.items():
        before = await entries(store)
        with acting(ANNA):
            await call(store)
        (entry,) = (await entries(store))[len(before) :]
        operation = OPERATIONS[name]
        said = (entry.who, entry.via, entry.standing, entry.place, entry.verb, entry.target, entry.result)
        assert said == ("anna", "cli", "operator", "host-7", operation.verb or Wish.HOLD, target, result), (
            name
        )
        assert entry.reason == ("why" if operation.reason else ""), name
        assert "secret" not in repr(entry)
    for name, call, target in AFTER:
        for result in ("changed", "unchanged"):
            before = await entries(store)
            with acting(ANNA):
                await call(store)
            (entry,) = (await entries(store))[len(before) :]
            assert (entry.verb, entry.target, entry.result) == (
                OPERATIONS[name].verb or "hold",
                target,
                result,
            )


async def test_what_changes_nothing_is_told_as_that_and_what_is_refused_not_at_all(store: Store) -> None:
    await store.submit([spec(1)], now=T)
    with acting(ANNA):
        await store.hold("job-1", now=T)
        await store.hold("job-1", now=T)
        await store.hold("job-7", now=T + 1)
        with pytest.raises(JobExists):
            await store.submit([spec(1, command="other.sh")])
        await store.add_bundle(a_bundle(), password="secret")
        with pytest.raises(BadName, match="taken"):
            await store.add_bundle(a_bundle(secret="1" * 64), password="secret")
    told = [(one.verb, one.target, one.result) for one in await entries(store)]
    assert told == [
        ("hold", "job-1", "changed held"),
        ("hold", "job-1", "unchanged held"),
        ("hold", "job-7", "unchanged"),
        ("bundle", "abcdefgh", "changed"),
    ]
    assert (await entries(store))[2].time == T + 1


async def test_what_somebody_was_not_allowed_is_told_with_who_wanted_it(store: Store) -> None:
    before = time.time()
    with acting(Actor(name="eve@x.org", via=Via.WEB, standing="submitter", place="10.1.1.1")):
        await store.refused("cancel", ["job-1", "job-2[3:]"], reason="a\nb" * 10_000)
    (entry,) = await entries(store)
    assert (entry.who, entry.standing, entry.via, entry.place) == (
        "eve@x.org",
        "submitter",
        "web",
        "10.1.1.1",
    )
    assert (entry.verb, entry.target, entry.result) == ("cancel", "job-1 job-2[3:]", "refused")
    assert (len(entry.reason) < 3000, "\n" in entry.reason) == (True, False)
    assert before - 60 < entry.time < time.time() + 60


async def test_what_components_messages_and_programs_submit_is_not_told_and_what_they_cancel_is(
    store: Store,
) -> None:
    await store.submit([spec(1)])
    for number, via in enumerate((Via.XMPP, Via.PYTHON), 2):
        with acting(Actor(name="eve@x.org", via=via, standing="submitter")):
            await store.submit([spec(number)])
    assert await entries(store) == []
    await store.cancel("job-1")
    (entry,) = await entries(store)
    assert (entry.who, entry.via) == ("copilot", "service")


async def test_many_at_once_are_one_entry_of_bounded_length(store: Store) -> None:
    with acting(ANNA):
        await store.submit([spec(number) for number in range(1000)])
        await store.drain([f"a{number}@x.org" for number in range(1000)])
        await store.cancel("job-1", reason="x\n" * 100_000)
    assert [one.target.endswith(f" and {1000 - MOST_TARGETS} more") for one in await entries(store)] == [
        True,
        True,
        False,
    ]
    assert all(len(repr(one)) < 3000 for one in await entries(store))


async def test_who_acts_at_the_same_time_is_not_taken_for_another(store: Store) -> None:
    names = [f"p{number}" for number in range(20)]
    await store.submit([spec(name) for name in names])

    async def hold(name: str) -> None:
        with acting(Actor(name=name, via=Via.WEB)):
            await store.hold(f"job-{name}")

    await asyncio.gather(*map(hold, names))
    assert sorted((one.who, one.target) for one in await entries(store)) == sorted(
        (name, f"job-{name}") for name in names
    )


async def test_entries_are_read_in_parts_waited_for_and_cut(store: Store) -> None:
    await store.submit([spec(number) for number in range(5)])
    for number in range(5):
        await store.hold(f"job-{number}")
    first = await store.audit(count=2)
    rest = await store.audit(after=first[-1].id)
    assert [one.target for one in (*first, *rest)] == [f"job-{number}" for number in range(5)]
    waiting = asyncio.create_task(store.audit(after="$", block=30))
    await asyncio.sleep(0.05)  # so that it waits; a call before that would be seen anyway
    with acting(ANNA):
        assert await store.cut_audit(first[-1].id, reason="exported to x") == 2
    (told,) = await waiting
    assert (told.verb, told.target, told.result, told.who) == ("cut-audit", first[-1].id, "changed", "anna")
    assert [one.verb for one in await entries(store)] == ["hold", "hold", "hold", "cut-audit"]
    with pytest.raises(ValueError, match="expected the id of an entry"):
        await store.cut_audit("$")


async def test_passwords_are_kept_and_taken_away(store: Store) -> None:
    assert await store.password("u@x.org") == ""
    await store.set_password("u@x.org", "scrypt:1")
    assert await store.password("u@x.org") == "scrypt:1"
    await store.set_password("u@x.org", "")
    assert await store.password("u@x.org") == ""
