"""Who may say what to a manager: every standing, nobody, and who is nobody any more, with every command."""

from __future__ import annotations

from dataclasses import fields

import pytest

from copilot.protocol import codec, commands, rules
from copilot.protocol.commands import COMMANDS, Command, Error
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.events import Dropped, Received
from copilot.protocol.people import People
from copilot.protocol.rules import MANAGER, RULES, Role
from copilot.roles import MAY_SAY, Account, Standing, may_say
from copilot.runtime.accounts import AccountCache
from copilot.store.memory import MemoryStore
from tests.hand_clock import HandClock

NOW = 1_800_000_000.0
NOBODY = ("nobody", "revoked", "expired", "strange")
WHO = {
    **{standing.value: standing for standing in Standing if standing is not Standing.SERVICE},
    "hand-made": Standing.AGENT,  # of a domain that *_AGENTS names
    "monitor": Standing.SERVICE,
    "asker": Standing.SERVICE,
    **dict.fromkeys(NOBODY),
}
KINDS = {
    id(commands.TEXT): "text",
    id(commands.FLAG): True,
    id(commands.WHOLE): 1,
    id(commands.SIZE): 1,
    id(commands.NUMBER): 1.0,
    id(commands.JOB_ID): "job-1",
    id(commands.NAME): "run.sh",
    id(commands.WORDS): ("word",),
}


def jid_of(who: str) -> str:
    domain = {"hand-made": "own", "revoked": "own", "expired": "own"}.get(who, "elsewhere")
    return f"{who}@{domain}"


async def cache_of_everybody() -> AccountCache:
    store = MemoryStore(HandClock(NOW))
    for standing in Standing:
        if standing is not Standing.SERVICE:
            await store.put_account(Account(jid=jid_of(standing.value), standing=standing))
    await store.put_account(Account(jid=jid_of("expired"), standing=Standing.ADMIN, expires=NOW))
    await store.put_account(Account(jid=jid_of("revoked"), standing=Standing.ADMIN))
    await store.revoke(jid_of("revoked"))
    cache = AccountCache(
        store,
        agents=People.of("own"),
        services=["monitor@elsewhere"],
        askers=People.of("asker@elsewhere"),
        clock=HandClock(NOW),
    )
    await cache.refresh()
    return cache


def example(kind: type[Command]) -> Element:
    """The command with something in each place that must not be empty."""
    values = {}
    for one in fields(kind):  # type: ignore[arg-type]  # all commands are data classes
        if "attribute" in one.metadata and one.default is one.default_factory:  # both missing
            values[one.name] = KINDS[id(one.metadata["kind"])]
        elif "raw" in one.metadata:
            values[one.name] = Element("info", {"command": "pong"})
        elif "child" in one.metadata and not one.metadata["many"]:
            values[one.name] = commands.Job(id="job-1", command="run.sh")
    return codec.encode(kind(**values), ("storage",))


def hears(manager: Endpoint, sender: str, kind: type[Command], now: float) -> list[object]:
    envelope = Envelope(to=manager.jid, sender=sender, id=f"{sender}-{kind.NAME}", element=example(kind))
    return list(manager.receive(envelope, now))


@pytest.mark.parametrize("who", WHO)
async def test_a_manager_hears_of_each_just_what_the_table_allows(who: str) -> None:
    cache = await cache_of_everybody()
    manager = Endpoint(MANAGER, new_id=lambda: "own", random=lambda: 0.0, permits=cache.permits)
    manager.online("jm@own/one")
    manager.outgoing(0.0)
    sender = f"{jid_of(who)}/r"
    assert cache.standing_of(jid_of(who)) is WHO[who]
    for number, (name, kind) in enumerate(sorted(COMMANDS.items())):
        now = 10.0 * number
        events = hears(manager, sender, kind, now)
        answers = [codec.decode(one.element or one.body)[0] for one in manager.outgoing(now) if not one.acks]  # type: ignore[arg-type]
        told = [one.code for one in answers if isinstance(one, Error)]
        if not RULES[name].receiver & MANAGER:
            assert [getattr(one, "reason", None) for one in events] == ["wrong-role"], name
        elif may_say(WHO[who], name):
            assert [type(one) for one in events] == [Received], name
        else:
            assert [one.reason for one in events if isinstance(one, Dropped)] == ["not-allowed"], name
            assert told == ([] if RULES[name].noack else ["not-allowed"]), name


def test_the_table_has_every_command_that_a_service_may_hear() -> None:
    services = MANAGER | Role.MONITOR | Role.KEY_MANAGER
    heard = {name for name, rule in rules.RULES.items() if rule.receiver & services}
    assert heard <= set(MAY_SAY)


def test_a_bundle_may_enrol_and_nothing_else_and_nobody_else_may() -> None:
    assert [name for name in MAY_SAY if may_say(Standing.BUNDLE, name)] == ["enrol"]
    assert MAY_SAY["enrol"] == {Standing.BUNDLE}


def test_an_agent_neither_submits_nor_enrols() -> None:
    for name in ("wantUpload", "submitJob", "wantJobState", "stopJob", "enrol"):
        assert not may_say(Standing.AGENT, name)
