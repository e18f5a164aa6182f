"""Redirects: which are followed, and that what goes to the referral is what came, as an agent of 2011 sends it on."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from copilot.agent.logic import Agent, AgentSettings
from copilot.agent.referral import REFERRALS_REMEMBERED, Named, NotFollowed, Referral, Request, forward
from copilot.protocol import codec
from copilot.protocol.commands import Command, GetJob, JobDone, Redirect, WantGetJob, WantGetJobOutputDir
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.events import Received
from copilot.protocol.rules import Role
from copilot.runtime.component import Ignore, Online, Send, Tick, Withdraw
from copilot.transport import stanza
from tests.unit.protocol.wire import endpoint

WIRE = Path(__file__).parents[2] / "wire" / "2011"
MANAGER, STORAGE = "jm@x", "sm@x"
WANT = WantGetJobOutputDir(job_id="j1", agent_host="h", jm_job_data="startedAt=1\n")
DOMAINS = ("x", "example.org")


def read(command: Command = WANT, to: str = STORAGE) -> Referral:
    return Referral.read(Redirect(referral=to, info=codec.encode(command)), DOMAINS)


@pytest.mark.parametrize("to", ["sm@x", "SM@X", "sm@example.org", "sm@x/one", "sm@x/with a blank/and more"])
def test_a_referral_is_a_jabber_id_of_an_allowed_domain_with_or_without_a_resource(to: str) -> None:
    assert read(to=to) == Referral(to=to, info=codec.encode(WANT), command=WANT)


@pytest.mark.parametrize(
    "to",
    ["", "x", "@x", "sm@", "sm@x/", "sm@sm@x", "s m@x", "sm@x\n", "sm@x/a\x00", "<sm>@x", "sm@" + 300 * "x"],
)
def test_what_is_no_jabber_id_is_not_followed(to: str) -> None:
    with pytest.raises(NotFollowed, match="no Jabber ID"):
        read(to=to)


@pytest.mark.parametrize("to", ["sm@elsewhere.example", "sm@sub.x", "sm@xx", "x@elsewhere.example/sm@x"])
def test_a_redirect_to_another_domain_is_not_followed(to: str) -> None:
    with pytest.raises(NotFollowed, match=r"none of AGENT_REFERRAL_DOMAINS: x example\.org"):
        read(to=to)


@pytest.mark.parametrize(
    "info", [Element("info"), Element("info", {"command": "makeCoffee"}), Element("job")]
)
def test_what_to_say_must_be_a_command(info: Element) -> None:
    with pytest.raises(NotFollowed, match="cannot be read"):
        Referral.read(Redirect(referral=STORAGE, info=info), DOMAINS)


def test_the_request_goes_to_the_referral_in_place_of_the_one_before() -> None:
    old = Request(to=MANAGER, command=WANT)
    referral = read()
    new = old.redirected("JM@x/one", referral)
    assert new == Request(to=STORAGE, command=WANT, by=MANAGER)
    assert forward(old, new, referral, 3.0) == [
        Withdraw(to=MANAGER, command=WANT),
        Send(to=STORAGE, command=WANT, info=referral.info, void_at=3.0),
    ]


@pytest.mark.parametrize(
    "command",
    [
        WantGetJob(agent_host="h", jdl="[]"),
        WantGetJobOutputDir(job_id="j2", jm_job_data="startedAt=1\n"),
        WantGetJobOutputDir(job_id="j1", jm_job_data="startedAt=1"),
        WantGetJobOutputDir(job_id="j1"),
    ],
    ids=["other-command", "other-job", "other-attempt", "no-claim"],
)
def test_only_what_was_asked_is_asked_of_somebody_else(command: Command) -> None:
    with pytest.raises(NotFollowed, match="not what we are waiting"):
        Request(to=MANAGER, command=WANT).redirected("jm@x/one", read(command))


def test_only_who_was_asked_can_redirect() -> None:
    with pytest.raises(NotFollowed, match="was said to jm@x"):
        Request(to=MANAGER, command=WANT).redirected("other@x/one", read())


def test_a_redirect_is_followed_once_and_other_instances_may_say_the_same() -> None:
    new = Request(to=STORAGE, command=WANT, by=MANAGER)
    assert new.redirected("jm@x/two", read()) is None
    with pytest.raises(NotFollowed, match="goes no further"):
        new.redirected("sm@x/one", read(to="third@x"))


def test_the_referrals_that_were_followed_last_are_remembered() -> None:
    named = Named()
    for number in range(REFERRALS_REMEMBERED):
        named.add(f"S{number}@x/one")
    named.add("s0@x")
    named.add("another@x")
    assert "s0@x" in named
    assert "s1@x" not in named
    assert "another@x" in named


# -- as captured in 2011


def captured(name: str, **about: str) -> Envelope:
    """The stanza in a file of `tests/wire/2011`, with other addresses."""
    message = ElementTree.fromstring((WIRE / name).read_bytes())
    for attribute, value in about.items():
        message.set(attribute, value)
    xml = f"<stream xmlns='jabber:client'>{ElementTree.tostring(message, encoding='unicode')}</stream>"
    return stanza.decode(ElementTree.fromstring(xml)[0], own="", now=0.0)


def plain(info: Element | None) -> dict[str, str]:
    assert info is not None
    return {name: codec.decode_value(value) for name, value in info.attributes.items()}


def test_the_captured_redirect_makes_our_agent_say_what_the_agent_of_2011_said() -> None:
    settings = AgentSettings(
        manager="jmother@localhost", host="vm", request_interval=60.0, referral_domains=("localhost",)
    )
    agent = Agent(
        settings,
        jdl=lambda: "[]",
        has_file=bool,
        random=lambda: 0.0,
        wall=lambda: 0.0,
        phase=lambda _: "run",
        package=lambda _: b"",
    )
    redirect = captured("redirect.as-delivered-to-agent.xml")
    end = endpoint(Role.AGENT, redirect.to, trusts=agent.trusts)
    agent.handle(Online(jid=redirect.to), 0.0)
    for action in agent.handle(Tick(), 0.0):
        assert isinstance(action, Send)
        end.send(action.to, action.command, 0.0)
    (want,) = end.outgoing(0.0)
    assert want.to == "jmother@localhost"

    (received,) = end.receive(redirect, 0.0)
    assert isinstance(received, Received)
    withdraw, send = agent.handle(received, 0.0)
    assert withdraw == Withdraw(to=want.to, command=WantGetJob(agent_host="vm", jdl="[]"))
    assert isinstance(send, Send)
    end.send(send.to, send.command, 0.0, info=send.info)
    end.done(received, 0.0)
    said, ack = end.outgoing(0.0)

    bounced = captured("redirect-bounce.want_getJob.sent-by-agent.xml")
    assert (said.to, plain(said.body)) == (bounced.to, plain(bounced.body))
    assert said.id not in (None, want.id, redirect.id)
    assert ack.acks == (redirect.id,)
    assert agent.trusts("sm@localhost")


@pytest.mark.parametrize("sender", ["stranger@localhost/r0", "sm@localhost/r0"])
def test_a_redirect_of_anybody_else_does_not_even_reach_the_agent(sender: str) -> None:
    settings = AgentSettings(manager="jmother@localhost", host="vm", referral_domains=("localhost",))
    agent = Agent(
        settings,
        jdl=lambda: "[]",
        has_file=bool,
        random=lambda: 0.0,
        wall=lambda: 0.0,
        phase=lambda _: "run",
        package=lambda _: b"",
    )
    redirect = captured("redirect.as-delivered-to-agent.xml", **{"from": sender})
    (dropped,) = endpoint(Role.AGENT, redirect.to, trusts=agent.trusts).receive(redirect, 0.0)
    assert not isinstance(dropped, Received)


@pytest.mark.parametrize(
    "command", [GetJob(agent_host="vm", jdl="[]"), WANT, JobDone(job_id="j1", exit_code=0, state="done")]
)
def test_what_the_agent_has_not_said_is_not_said_to_anybody(command: Command) -> None:
    settings = AgentSettings(manager=MANAGER, host="vm", referral_domains=("x",))
    agent = Agent(
        settings,
        jdl=lambda: "[]",
        has_file=bool,
        random=lambda: 0.0,
        wall=lambda: 0.0,
        phase=lambda _: "run",
        package=lambda _: b"",
    )
    received = Received(
        command=Redirect(referral=STORAGE, info=codec.encode(command)),
        sender="jm@x/one",
        id="r1",
        features=None,
        element=False,
        wants_ack=True,
    )
    for moment in ([], [Online(jid="a@x/a"), Tick()]):
        for event in moment:
            agent.handle(event, 0.0)
        (ignored,) = agent.handle(received, 0.0)
        assert isinstance(ignored, Ignore)
        assert ignored.reason == "not-followed"
    assert not agent.trusts(STORAGE)
