"""Who everybody is, in a manager's memory; and the door at which those wait whom it does not know."""

from __future__ import annotations

import asyncio
import logging

import pytest

from copilot.errors import StoreUnavailable
from copilot.protocol import codec
from copilot.protocol.commands import GetJob, JobDone, WantGetJob
from copilot.protocol.envelope import Envelope
from copilot.protocol.events import Received
from copilot.protocol.people import People
from copilot.roles import Account, Standing
from copilot.runtime import accounts as accounts_module
from copilot.runtime.accounts import AccountCache
from copilot.runtime.doorman import MOST_MESSAGES, MOST_WAITING, Doorstep
from copilot.store.memory import MemoryStore
from tests.hand_clock import HandClock
from tests.unit.runtime.bench import PEER, Scripted, rest, running, until

NOW = 1_800_000_000.0
GET = GetJob(agent_host="h", jdl="[]")
WANT = WantGetJob(agent_host="h", jdl="[]")
DONE = JobDone(job_id="j1", exit_code=0, state="done")
AGENT = "agent@x"


class Slow(MemoryStore):
    """Looks accounts up when it is told to, or is away."""

    def __init__(self) -> None:
        super().__init__(HandClock(NOW))
        self.asked: list[str] = []
        self.may_answer = asyncio.Event()
        self.trouble: Exception | None = None

    async def account(self, jid: str) -> Account | None:
        self.asked.append(jid)
        await self.may_answer.wait()
        if self.trouble is not None:
            raise self.trouble
        return await super().account(jid)


def cache(store: MemoryStore, *agents: str, clock: HandClock | None = None) -> AccountCache:
    people = People.of(*agents)
    return AccountCache(store, agents=people, services=["jm@x"], clock=clock or HandClock(NOW))


async def test_a_record_goes_before_what_the_settings_say() -> None:
    store = MemoryStore(HandClock(NOW))
    made = AccountCache(
        store, agents=People.of("x"), services=["mon@x"], askers=People.of("y"), clock=HandClock(NOW)
    )
    await made.refresh()
    assert [made.standing_of(jid) for jid in (AGENT, "mon@x", "ops@y", "a@z", "x", "")] == [
        Standing.AGENT,
        Standing.SERVICE,
        Standing.SERVICE,
        None,
        None,
        None,
    ]
    await store.put_account(Account(jid=AGENT, standing=Standing.BUNDLE))
    await store.put_account(Account(jid="a@z", standing=Standing.SUBMITTER))
    await made.refresh()
    assert [made.standing_of(jid) for jid in (AGENT, "a@z")] == [Standing.BUNDLE, Standing.SUBMITTER]


async def test_an_account_ends_when_its_time_has_come_without_a_look_at_the_store() -> None:
    store, clock = MemoryStore(HandClock(NOW)), HandClock(NOW)
    await store.put_account(Account(jid=AGENT, standing=Standing.AGENT, expires=NOW + 5))
    made = cache(store, "x", clock=clock)
    await made.refresh()
    assert made.standing_of(AGENT) is Standing.AGENT
    assert made.account(AGENT) is not None
    clock.advance(5)
    assert made.standing_of(AGENT) is None
    assert made.account(AGENT) is None


async def test_all_records_are_read_at_the_start_however_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accounts_module, "BATCH", 3)
    store = MemoryStore()
    for number in range(10):
        await store.put_account(Account(jid=f"a{number}@x", standing=Standing.AGENT))
    made = cache(store)
    async with made.kept_fresh():
        assert all(made.knows(f"a{number}@x") for number in range(10))


async def test_what_is_new_is_known_after_a_hint_or_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    store = MemoryStore()
    made = cache(store)
    async with made.kept_fresh():
        await store.put_account(Account(jid=AGENT, standing=Standing.AGENT))
        made.hint()
        await until(lambda: made.standing_of(AGENT) is Standing.AGENT)
    monkeypatch.setattr(accounts_module, "REFRESH_EVERY", 0.001)
    async with made.kept_fresh():
        await store.revoke(AGENT)
        await until(lambda: made.standing_of(AGENT) is None)


@pytest.mark.parametrize("trouble", [StoreUnavailable("it is away"), KeyError("it is away")])
async def test_a_store_that_is_away_leaves_what_is_known(
    trouble: Exception, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nor is the looking over when it tells what we do not understand."""
    monkeypatch.setattr(accounts_module, "REFRESH_EVERY", 0.001)
    store = MemoryStore()
    await store.put_account(Account(jid=AGENT, standing=Standing.AGENT))
    made, looks = cache(store), 0

    async def away(**_: int) -> None:
        nonlocal looks
        looks += 1
        raise trouble

    async with made.kept_fresh():
        monkeypatch.setattr(store, "accounts", away)
        await until(lambda: looks > 2)
        assert made.standing_of(AGENT) is Standing.AGENT
        monkeypatch.undo()
    assert f"accounts cannot be read for now: {trouble}" in caplog.text


async def test_who_is_not_known_is_looked_up_before_he_is_heard_and_all_he_says_stays_in_order() -> None:
    store, component = Slow(), Scripted()
    async with running(component, accounts=cache(store)) as bench:
        await store.put_account(Account(jid=AGENT, standing=Standing.AGENT))
        for command, ident in ((WANT, "m1"), (GET, "m2"), (DONE, "m3")):
            bench.say(command, ident)
        await until(lambda: bool(store.asked))
        await rest()
        assert component.commands() == []
        store.may_answer.set()
        await until(lambda: len(component.commands()) == 3)
        assert component.commands() == [WANT, GET, DONE]
        assert store.asked == [AGENT]
        bench.say(GET, "m4")
        await until(lambda: len(component.commands()) == 4)
        assert store.asked == [AGENT]


async def test_who_is_nobody_is_refused_told_so_counted_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, component = MemoryStore(), Scripted()
    made = cache(store)
    async with running(component, accounts=made) as bench:
        bench.say(GET, "m1")
        bench.say(GET, "m2")
        await until(lambda: bench.endpoint.counts.refused["not-allowed"] == 2)
        await until(lambda: bool(bench.heard))
        (error,) = bench.heard
        assert (getattr(error, "code", ""), getattr(error, "in_reply_to", "")) == ("not-allowed", "m1")
        assert component.commands() == []
        assert bench.acks == []
        bench.say(GET, "m3", features=())  # one of 2011
        await until(lambda: bench.endpoint.counts.refused["not-allowed"] == 3)
        await rest()
        assert bench.acks == []
        # Somebody lets it in: the copy is heard.
        await store.put_account(Account(jid=AGENT, standing=Standing.AGENT))
        await made.refresh()
        bench.say(GET, "m3", features=())
        await component.got(Received)
    told = [line for line in caplog.messages if "not-allowed: " in line]
    assert len(told) == 1
    assert f"{PEER} may not say getJob here" in told[0]


async def test_who_cannot_be_looked_up_is_not_heard_and_heard_when_he_says_it_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    store, component = Slow(), Scripted()
    store.may_answer.set()
    store.trouble = StoreUnavailable("it is away")
    async with running(component, accounts=cache(store, "x")) as bench:
        bench.say(GET, "m1")
        await until(lambda: "cannot be looked up" in caplog.text)
        assert bench.acks == []
        store.trouble = None
        bench.say(GET, "m1")
        await component.got(Received)


async def test_no_more_wait_at_the_door_than_there_is_room_for(caplog: pytest.LogCaptureFixture) -> None:
    doorstep = Doorstep(cache(Slow()))
    first = Envelope(to="jm@x", sender="a0@x/r", id="m1", element=codec.encode(GET))
    lookups = []
    for _ in range(MOST_MESSAGES + 5):
        assert not doorstep.lets_in(first)
        lookups.append(doorstep.ask(first))
    assert [one is not None for one in lookups].count(True) == 1
    others = [Envelope(to="jm@x", sender=f"a{number}@x/r", id="m") for number in range(1, MOST_WAITING + 5)]
    lookups.extend(doorstep.ask(one) for one in others)
    assert [one is not None for one in lookups].count(True) == MOST_WAITING
    assert len(doorstep.come_in(first)) == MOST_MESSAGES
    assert doorstep.come_in(first) == []
    assert [one.levelno for one in caplog.records] == [logging.WARNING]
    for one in lookups:
        if one is not None:
            one.close()  # type: ignore[attr-defined]
