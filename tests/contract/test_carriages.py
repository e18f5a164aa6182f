"""A job's conversation between two endpoints over real servers: in both carriages, or in the one that passes."""

from __future__ import annotations

import asyncio
import uuid
from typing import TypeVar

import pytest

from copilot.protocol.commands import (
    Command,
    GetJob,
    GetJobOutputDir,
    HaveGetJob,
    HaveGetJobOutputDir,
    Job,
    JobDone,
    RunJob,
    StoreJobOutputDir,
    WantGetJob,
    WantGetJobOutputDir,
)
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import Envelope, bare
from copilot.protocol.events import Acked, BodyStripped, ProtocolEvent, Received
from copilot.protocol.rules import FEATURE_STORAGE, Role
from copilot.protocol.selftest import SELF_TEST_ID
from copilot.transport.base import Transport
from tests.contract.transport_fixtures import (  # noqa: F401 - pytest finds the fixtures here
    LIMIT_S,
    ServerHub,
    arrived,
    connected,
    ejabberd_hub_fixture,
    prosody_hub_fixture,
)

Said = TypeVar("Said", bound=Command)


class End:
    """An endpoint on a transport, stepped by hand."""

    def __init__(self, role: Role, transport: Transport) -> None:
        self.jid = ""
        self.sent: list[Envelope] = []
        self._events: list[ProtocolEvent] = []
        self._transport = transport
        self._endpoint = Endpoint(
            role, new_id=lambda: str(uuid.uuid4()), random=lambda: 0.0, features=(FEATURE_STORAGE,)
        )

    async def log_in(self) -> list[ProtocolEvent]:
        """What the self-test told."""
        self.jid = await connected(self._transport)
        self._endpoint.online(self.jid)
        self._flush()
        answer = await arrived(self._transport)
        assert (answer.id, answer.sender) == (SELF_TEST_ID, self.jid)
        return self._endpoint.receive(answer, 0.0)

    def say(self, to: str, command: Command) -> None:
        self._endpoint.send(to, command, 0.0)
        self._flush()

    async def hear(self, kind: type[Said]) -> tuple[str, Said]:
        """The next event, which must be such a command, and who said it; its work is done at once."""
        event = await self._next()
        assert isinstance(event, Received), event
        assert isinstance(event.command, kind), event
        self._endpoint.done(event, 0.0)
        self._flush()
        return event.sender, event.command

    async def acked(self, *kinds: type[Command]) -> None:
        """The next events, which must be the acknowledgements of such commands."""
        for kind in kinds:
            event = await self._next()
            assert isinstance(event, Acked), event
            assert isinstance(event.command, kind)

    async def _next(self) -> ProtocolEvent:
        async with asyncio.timeout(LIMIT_S):
            while not self._events:
                self._events += self._endpoint.receive(await arrived(self._transport), 0.0)
        return self._events.pop(0)

    def _flush(self) -> None:
        self._endpoint.hurry()  # the clock stands still: no acknowledgement would ever have waited for long enough
        for envelope in self._endpoint.outgoing(0.0):
            assert self._transport.send(envelope)
            self.sent.append(envelope)


async def ends(hub: ServerHub) -> tuple[End, End, list[list[ProtocolEvent]]]:
    """An agent, a manager, and what the self-tests told."""
    agent = End(Role.AGENT, await hub.transport(await hub.account(), "one"))
    manager = End(Role.JOB_MANAGER | Role.STORAGE_MANAGER, await hub.transport(await hub.account(), "one"))
    return agent, manager, [await agent.log_in(), await manager.log_in()]


async def talk(agent: End, manager: End) -> None:
    """A job's life, every step of it."""
    service, job = bare(manager.jid), Job(id="j1", command="run.sh")
    agent.say(service, WantGetJob(agent_host="h", jdl="[]"))
    to, _ = await manager.hear(WantGetJob)
    manager.say(to, HaveGetJob())
    instance, _ = await agent.hear(HaveGetJob)
    agent.say(instance, GetJob(agent_host="h", jdl="[]"))
    await manager.hear(GetJob)
    manager.say(to, RunJob(job=job, jm_job_data="claim"))
    await agent.acked(GetJob)
    assert (await agent.hear(RunJob))[1].job.command == "run.sh"
    await manager.acked(RunJob)
    agent.say(service, WantGetJobOutputDir(job_id="j1"))
    await manager.hear(WantGetJobOutputDir)
    manager.say(to, HaveGetJobOutputDir(job_id="j1"))
    await agent.hear(HaveGetJobOutputDir)
    agent.say(instance, GetJobOutputDir(job_id="j1"))
    await manager.hear(GetJobOutputDir)
    manager.say(to, StoreJobOutputDir(job_id="j1", output_dir="https://x/y"))
    await agent.acked(GetJobOutputDir)
    await agent.hear(StoreJobOutputDir)
    await manager.acked(StoreJobOutputDir)
    agent.say(instance, JobDone(job_id="j1", exit_code=0, state="done"))
    await manager.hear(JobDone)
    await agent.acked(JobDone)


async def test_over_ejabberd_a_job_lives_in_the_element_carriage_alone(ejabberd_hub: ServerHub) -> None:
    agent, manager, told = await ends(ejabberd_hub)
    assert told == [[BodyStripped(jid=agent.jid)], [BodyStripped(jid=manager.jid)]]
    await talk(agent, manager)
    for end in (agent, manager):
        assert [envelope.id for envelope in end.sent if envelope.body is not None] == [SELF_TEST_ID]


async def test_over_prosody_both_carriages_are_used_for_peers_that_are_not_known(
    prosody_hub: ServerHub,
) -> None:
    agent, manager, told = await ends(prosody_hub)
    assert told == [[], []]
    await talk(agent, manager)
    asked = [envelope for envelope in agent.sent if envelope.to == bare(manager.jid)]
    assert len(asked) == 2
    assert all(envelope.body == envelope.element is not None for envelope in asked)


@pytest.mark.parametrize("known", [False, True])
async def test_over_ejabberd_a_first_word_before_the_self_test_is_back_is_understood_too(
    ejabberd_hub: ServerHub, known: bool
) -> None:
    agent, manager, _ = await ends(ejabberd_hub)
    if not known:
        agent._endpoint._selftest.stripped = False
    agent.say(bare(manager.jid), WantGetJob(agent_host="h", jdl="[]"))
    assert (agent.sent[-1].body is None) is known
    assert (await manager.hear(WantGetJob))[0] == agent.jid
