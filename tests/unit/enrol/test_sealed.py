"""Who runs the XMPP server sees all that goes through it, says what he likes as anybody, and can neither come in nor let in."""

from __future__ import annotations

import itertools
from dataclasses import replace

import pytest

from copilot.enrol.errands import Errands
from copilot.enrol.logic import Enrolment
from copilot.enrol.names import agent_jid, secret_hash
from copilot.protocol import codec
from copilot.protocol.commands import Enrol, Enrolled, Error, GetJob, SecurityError
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import Envelope
from copilot.protocol.events import Received
from copilot.protocol.people import People
from copilot.protocol.rules import Role
from copilot.protocol.security import Security
from copilot.protocol.session import ANY_KEY, V2
from copilot.roles import Standing
from copilot.runtime.accounts import AccountCache
from copilot.runtime.component import Refuse, Send
from copilot.store.accounts import Bundle
from copilot.store.memory import MemoryStore
from tests.sealing import Ring, agent, public, service
from tests.unit.enrol.test_logic import Server

TEMPORARY, MANAGER, SECRET = "bundle-1@x", "jm@x/one", "the-secret"
FEATURES = ("storage",)


class Service:
    """A manager that knows one bundle for two agents."""

    def __init__(self) -> None:
        self.store = MemoryStore()
        self.errands = Errands(self.store, Server(), "jm@x")
        self.enrolment = Enrolment(self.store, self.errands, domain="x")
        self.cache = AccountCache(self.store, agents=People.of())
        numbers = itertools.count()
        sessions = V2("jm@x", Ring(service()), signers=self._signers, wall=lambda: 1e9)
        self.endpoint = Endpoint(
            Role.JOB_MANAGER,
            new_id=lambda: f"jm-{next(numbers)}",
            random=lambda: 0.0,
            features=FEATURES,
            permits=self.cache.permits,
            security=Security([sessions], strict=False),
        )
        self.endpoint.online(MANAGER)
        self.endpoint.outgoing(0.0)

    async def begin(self) -> None:
        bundle = Bundle(id="bundle01", jid=TEMPORARY, secret_hash=secret_hash(SECRET), agents=2)
        await self.store.add_bundle(bundle, password="tmp")
        await self.cache.refresh()

    def _signers(self, jid: str) -> tuple[str, ...]:
        account = self.cache.account(jid)
        if account is None:
            return ()
        return ANY_KEY if account.standing is Standing.BUNDLE else (account.key,)

    async def hear(self, envelope: Envelope, now: float = 1.0) -> list[Envelope]:
        """What it says to that."""
        for event in self.endpoint.receive(replace(envelope, sender=f"{TEMPORARY}/r"), now):
            if not isinstance(event, Received):
                continue
            for action in await self.enrolment.handle(event, now):  # type: ignore[misc]
                if isinstance(action, Send):
                    self.endpoint.send(action.to, action.command, now)
                elif isinstance(action, Refuse):
                    self.endpoint.refuse(event, now, code=action.code, text=action.text)
        return self.endpoint.outgoing(now)

    async def agents(self) -> list[str]:
        accounts = (await self.store.accounts()).accounts
        return [one.jid for one in accounts if one.standing is Standing.AGENT]


def newcomer(number: int = 0) -> Endpoint:
    """An agent with a bundle."""
    ring = Ring(agent(number), {"jm@x": service().public})
    suite = V2(TEMPORARY, ring, wall=lambda: 1e9, shows_key=True)
    numbers = itertools.count()
    made = Endpoint(
        Role.AGENT,
        new_id=lambda: f"a{number}-{next(numbers)}",
        random=lambda: 0.0,
        features=FEATURES,
        security=Security([suite], strict=True),
    )
    made.online(f"{TEMPORARY}/r")
    made.outgoing(0.0)
    return made


def said(endpoint: Endpoint, command: object) -> Envelope:
    endpoint.send("jm@x", command, 1.0)  # type: ignore[arg-type]
    (envelope,) = endpoint.outgoing(1.0)
    return envelope


def enrol(number: int = 0, *, secret: str = SECRET, key: int | None = None) -> Enrol:
    shown = public(agent(number if key is None else key))
    return Enrol(bundle="bundle01", secret=secret, key=shown, password="pw")


@pytest.fixture
async def manager() -> Service:
    made = Service()
    await made.begin()
    return made


async def test_an_agent_comes_in_sealed_and_nobody_reads_the_secret(manager: Service) -> None:
    one = newcomer()
    question = said(one, enrol())
    assert question.element is None
    assert SECRET not in str(question)
    (answer,) = await manager.hear(question)
    (event,) = [
        item for item in one.receive(replace(answer, sender=MANAGER), 1.0) if isinstance(item, Received)
    ]
    assert event.command == Enrolled(jid=agent_jid(public(agent()), "x"))
    assert event.sealed
    assert await manager.agents() == [agent_jid(public(agent()), "x")]


async def test_in_clear_nobody_comes_in_even_with_the_secret(manager: Service) -> None:
    clear = Envelope(to="jm@x", id="c1", element=codec.encode(enrol(), FEATURES))
    (answer,) = await manager.hear(clear)
    error, _ = codec.decode(answer.element)  # type: ignore[arg-type]
    assert isinstance(error, Error)
    assert error.code == "not-sealed"
    assert await manager.agents() == []


async def test_a_session_of_one_key_lets_no_other_key_in(manager: Service) -> None:
    await manager.hear(said(newcomer(1), enrol(1, key=0)))
    assert await manager.agents() == []


async def test_without_the_secret_a_session_of_ones_own_is_worth_nothing(manager: Service) -> None:
    await manager.hear(said(newcomer(1), enrol(1, secret="guessed")))
    assert await manager.agents() == []


async def test_what_was_said_by_one_cannot_be_made_to_mean_another(manager: Service) -> None:
    question = said(newcomer(), enrol())
    assert question.sealed is not None
    other = said(newcomer(1), enrol(1, secret="guessed")).sealed
    assert other is not None
    for name in ("signer", "key", "sig", "session", "sealed"):
        changed = replace(question, sealed={**question.sealed, name: other[name]})
        answers = await manager.hear(changed, now=20.0)
        told = [codec.decode(one.element)[0] for one in answers if one.element is not None]
        assert all(isinstance(one, SecurityError) for one in told), name
        assert await manager.agents() == [], name


async def test_what_was_kept_and_is_said_again_lets_nobody_else_in(manager: Service) -> None:
    question = said(newcomer(), enrol())
    await manager.hear(question)
    await manager.hear(question)
    assert len(await manager.agents()) == 1
    assert (await manager.store.bundles())[0].used == 1


async def test_in_such_a_session_nothing_but_enrol_is_heard(manager: Service) -> None:
    await manager.hear(said(newcomer(), GetJob(agent_host="h", jdl="[]")))
    assert manager.endpoint.counts.refused["not-allowed"] == 1
