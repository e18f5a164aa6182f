"""A manager lets agents in, and brings the XMPP server to agree; over the store and the network in memory."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

import pytest

from copilot.enrol import errands as errands_module
from copilot.enrol.errands import Errands
from copilot.enrol.logic import Enrolment
from copilot.enrol.names import agent_jid, checked_key, secret_hash
from copilot.errors import AccountRefused
from copilot.protocol.commands import Enrol, Enrolled
from copilot.protocol.events import Received
from copilot.roles import Account, Standing
from copilot.runtime.component import Action, Actions, Refuse, Send, Tick, Withhold
from copilot.store.accounts import Bundle
from copilot.store.memory import MemoryStore
from tests.contract.store_fixtures import spec
from tests.unit.runtime.bench import until

KEY = "11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
OTHER_KEY = "PUAXw+hDiVqStwqnTRt+vJyYLM8uxJaMwM1V8Sr0Zgw="
TEMPORARY, OWN = "bundle-1@x", "jm@x"
AGENT = agent_jid(KEY, "x")
SECRET = "the-secret-of-the-bundle"


@dataclass
class Server:
    """An XMPP server that does what it is told, or refuses."""

    accounts: dict[str, str] = field(default_factory=dict)
    refusal: AccountRefused | None = None
    asked: int = 0

    async def put(self, jid: str, password: str) -> None:
        self._check()
        self.accounts[jid] = password

    async def remove(self, jid: str) -> None:
        self._check()
        self.accounts.pop(jid, None)

    def _check(self) -> None:
        self.asked += 1
        if self.refusal is not None:
            raise self.refusal


class Door:
    """A bundle for two agents, and who answers at the door."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.server = Server()
        self.errands = Errands(self.store, self.server, OWN)
        self.enrolment = Enrolment(self.store, self.errands, domain="x")

    async def knock(
        self,
        *,
        key: str = KEY,
        secret: str = SECRET,
        bundle: str = "bundle01",
        shown: str | None = None,
        sealed: bool = True,
    ) -> list[Action]:
        command = Enrol(bundle=bundle, secret=secret, key=key, password="pw")
        received = Received(
            command=command,
            sender=f"{TEMPORARY}/r",
            id="m1",
            features=frozenset(),
            element=True,
            wants_ack=True,
            sealed=sealed,
            key=key if shown is None else shown,
        )
        decided = self.enrolment.handle(received, 0.0)
        actions: Actions = await decided if asyncio.iscoroutine(decided) else decided  # type: ignore[assignment]
        return list(actions)


@pytest.fixture
async def door() -> Door:
    made = Door()
    bundle = Bundle(id="bundle01", jid=TEMPORARY, secret_hash=secret_hash(SECRET), agents=2)
    await made.store.add_bundle(bundle, password="tmp")
    await made.errands.round()
    return made


async def test_an_agent_has_its_account_before_it_hears_of_it(door: Door) -> None:
    assert await door.knock() == [Send(to=f"{TEMPORARY}/r", command=Enrolled(jid=AGENT))]
    assert door.server.accounts == {TEMPORARY: "tmp", AGENT: "pw"}
    assert (await door.store.account(AGENT)) is not None
    assert await door.store.errand(AGENT) is None


async def test_the_same_once_more_gets_the_same_answer(door: Door) -> None:
    assert await door.knock() == await door.knock()
    assert (await door.store.bundles())[0].used == 1


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"secret": "wr0ng"}, "bundle-unknown"),
        ({"bundle": "bundle99"}, "bundle-unknown"),
        ({"bundle": "../x"}, "bad-value"),
        ({"key": "no key"}, "bad-value"),
        ({"key": "AAAA"}, "bad-value"),
    ],
)
async def test_who_has_not_what_it_takes_is_told_so_and_leaves_nothing(
    door: Door, wrong: dict[str, str], code: str
) -> None:
    (refusal,) = await door.knock(**wrong)  # type: ignore[arg-type]
    assert isinstance(refusal, Refuse)
    assert refusal.code == code
    assert "wr0ng" not in refusal.text
    assert door.server.accounts == {TEMPORARY: "tmp"}
    assert len((await door.store.accounts()).accounts) == 1


async def test_a_manager_that_is_no_admin_says_so_with_the_cure(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    door.server.refusal = AccountRefused("forbidden", "no", no_admin=True)
    (refusal,) = await door.knock()
    assert isinstance(refusal, Refuse)
    assert refusal.code == "no-accounts"
    await door.errands.round()
    assert 'admins = { "jm@x" } and the module "admin_adhoc"' in caplog.text
    errand = await door.store.errand(AGENT)
    assert errand is not None
    assert "Make jm@x an admin there" in errand.tried
    assert "pw" not in caplog.text


async def test_without_a_session_it_is_said_again_later(door: Door) -> None:
    door.server.refusal = AccountRefused("timeout", "there is no session")
    assert await door.knock() == [Withhold()]
    door.server.refusal = None
    assert isinstance((await door.knock())[0], Send)


async def test_an_agent_that_was_revoked_meanwhile_gets_no_account(door: Door) -> None:
    assert await door.store.errand(AGENT) is None
    await door.knock()
    await door.store.revoke(AGENT)
    assert not await door.errands.settle(AGENT)
    await door.errands.round()
    assert AGENT not in door.server.accounts


async def test_errands_are_carried_out_in_the_background_and_jobs_of_ended_accounts_go_back(
    door: Door, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errands_module, "LOOK_EVERY", 0.001)
    wrote: list[str] = []
    errands = Errands(
        door.store, door.server, OWN, wrote=lambda events: wrote.extend(one.job for one in events)
    )
    await door.store.submit([spec(1)])
    async with errands.at_work():
        await door.store.put_account(Account(jid=AGENT, standing=Standing.AGENT), password="pw")
        await until(lambda: AGENT in door.server.accounts)
        await door.store.claim(agent=AGENT, request="r", dispatch_limit=60.0)
        await door.store.expire(AGENT, 1.0)
        await until(lambda: AGENT not in door.server.accounts)
    assert wrote == ["job-1"]


async def test_a_server_that_is_away_is_not_asked_for_each_errand(door: Door) -> None:
    for number in range(5):
        await door.store.put_account(Account(jid=f"a{number}@x", standing=Standing.AGENT), password="pw")
    door.server.refusal, door.server.asked = AccountRefused("timeout", "there is no session"), 0
    assert not await door.errands.round()
    assert door.server.asked == 1


def test_other_events_are_none_of_its_business(door: Door) -> None:
    assert door.enrolment.handle(Tick(), 0.0) == []
    assert door.enrolment.wakeup() is None


def test_the_account_of_an_agent_follows_from_its_key() -> None:
    assert agent_jid(KEY, "Example.ORG") == "agent-21fe31dfa154a261626b@example.org"
    assert agent_jid(OTHER_KEY, "x") != AGENT
    assert checked_key(KEY) == KEY
    for wrong in ("", "AA==", KEY[:-1], KEY + "\n", "é" * 44):
        with pytest.raises(ValueError, match="the key"):
            checked_key(wrong)
