"""What one job costs: messages over the wire and round trips to the store, counted from the start of the project.

The figures are the difference between a run of 15 jobs and one of 5, for each ten jobs: what a session costs
(log-in, the first and the last request) is left out, and so is what happens by the clock.
"""

from __future__ import annotations

import asyncio
import base64
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

from copilot.client.submission import Submission, submit
from copilot.files.area import FileArea
from copilot.files.staging import DiskStaging
from copilot.job import State
from copilot.local.in_process import MANAGER, in_process
from copilot.local.prosody import Prosody
from copilot.protocol.codec import PREFIX
from copilot.protocol.envelope import Envelope
from copilot.protocol.security import Security
from copilot.protocol.session import V2
from copilot.store.memory import MemoryStore
from copilot.store.redis import RedisStore
from copilot.transport.base import Transport, TransportEvent
from copilot.transport.memory import MemoryNetwork, MemoryTransport
from copilot.transport.settings import XmppSettings
from copilot.transport.stanza import encode
from copilot.transport.xmpp import XmppTransport
from tests import sealing
from tests.patience import PATIENCE_S

BY_THE_CLOCK = ("reap", "unpublished", "dispatch", "cancelling", "draining", "wanted")
MESSAGES_OF_THE_AGENT = {
    "jobDone": 1
}  # with the acknowledgement of runJob, the output, and a request for the next
MESSAGES_OF_THE_MANAGER = {"runJob": 1}  # with the acknowledgement of jobDone
CALLS = {"finish": 1, "publish": 1}
MOST_ACKS = 0.3  # that go alone: a report or two that came while the request of another was out
# In ten jobs: who looks for work on a busy machine may ask again before the answer is there, and is told to wait.
ONCE_MORE = 0.1
MOST_ROUND_TRIPS = 3.0  # to Redis; what happens by the clock is among them
MOST_CALLS = {
    "claim": 1.0,
    "confirm": 1.5,
}  # none for a report that cannot ask, or that came with the acknowledgement


def check(agent: dict[str, float], manager: dict[str, float], calls: dict[str, float]) -> None:
    """The figures for one job."""
    assert all(one.pop("ack", 0.0) <= MOST_ACKS for one in (agent, manager))
    asked, told, looked = agent.pop("getJob", 0.0), manager.pop("sleep", 0.0), calls.pop("quarantine", 0.0)
    assert all(abs(more) <= ONCE_MORE for more in (asked, told, looked))
    assert all(calls.pop(name, 0.0) <= most for name, most in MOST_CALLS.items())
    assert (agent, manager, calls) == (MESSAGES_OF_THE_AGENT, MESSAGES_OF_THE_MANAGER, CALLS)


class InOrder(XmppTransport):
    """The manager first: an agent that asks nobody asks once more."""

    manager_is_there = asyncio.Event()

    async def next_event(self) -> TransportEvent:
        manager = self._settings.jid == MANAGER
        if not manager:
            await self.manager_is_there.wait()
        event = await super().next_event()
        if manager:
            self.manager_is_there.set()
        return event


class Counting:
    """A store that counts the calls made through it."""

    def __init__(self, store: MemoryStore | RedisStore) -> None:
        self.store = store
        self.calls: Counter[str] = Counter()

    def __getattr__(self, name: str) -> Any:
        self.calls[name] += 1
        return getattr(self.store, name)


async def run(
    directory: Path,
    store: MemoryStore | RedisStore,
    watching: MemoryStore | RedisStore,
    jobs: int,
    connect: Callable[[str], Transport] | None,
    security: Callable[[str], Security | None],
) -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
    """Messages of the agent, messages of the manager, calls of its store, and their round trips, for so many jobs.

    `watching` is the same queue, for what is not the manager's doing.
    """
    directory.mkdir()
    before = (await watching.counts())[State.DONE]
    trips = store.round_trips
    counted: Any = Counting(store)
    script = directory / "true.sh"
    script.write_text("#!/bin/sh\n")
    (directory / "files").mkdir()
    for number in range(jobs):
        submission = Submission(id=f"{directory.name}-{number}", command=script)
        await submit(submission, watching, DiskStaging(FileArea(directory / "files"), agents=()))
    async with (
        in_process(directory, counted, connect=connect, security=security) as system,
        asyncio.timeout(PATIENCE_S),
    ):
        (agent,) = system.agents
        while (await watching.counts())[State.DONE] < before + jobs or await watching.unpublished():
            await asyncio.sleep(0.01)
    made = Counter({"round trips": store.round_trips - trips})
    return Counter(agent.counts.sent), Counter(system.manager.counts.sent), counted.calls, made


async def for_one_job(
    directory: Path,
    store: MemoryStore | RedisStore,
    watching: MemoryStore | RedisStore,
    connect: Callable[[str], Transport] | None = None,
    security: Callable[[str], Security | None] = lambda _: None,
) -> tuple[dict[str, float], ...]:
    few = await run(directory / "few", store, watching, 5, connect, security)
    many = await run(directory / "many", store, watching, 15, connect, security)
    return tuple(
        {
            name: (more[name] - less[name]) / 10
            for name in more
            if more[name] != less[name] and name not in BY_THE_CLOCK
        }
        for less, more in zip(few, many, strict=True)
    )


async def test_a_job_costs_two_messages_and_a_few_calls(tmp_path: Path) -> None:
    store = MemoryStore()
    *figures, _ = await for_one_job(tmp_path, store, store)
    check(*figures)


class Recorded(MemoryTransport):
    """Keeps what the server sees."""

    stanzas: ClassVar[list[str]] = []

    def send(self, envelope: Envelope) -> bool:
        self.stanzas.append(encode(envelope))
        return super().send(envelope)


async def test_in_secure_mode_it_costs_the_same_and_nothing_of_it_is_seen_on_the_way(tmp_path: Path) -> None:
    """Ids of messages stand outside; what they say, acknowledge and carry does not, in clear or as base64."""
    store, network = MemoryStore(), MemoryNetwork()
    known = {MANAGER: sealing.service().public}
    signers = (sealing.public(sealing.agent()),)

    def security(jid: str) -> Security:
        ring = sealing.Ring(sealing.service()) if jid == MANAGER else sealing.Ring(sealing.agent(), known)
        return sealing.strict(V2(jid, ring, signers=lambda _: signers, wall=time.time))

    Recorded.stanzas.clear()
    *figures, _ = await for_one_job(tmp_path, store, store, lambda jid: Recorded(network, jid), security)
    check(*figures)
    seen = "\n".join(Recorded.stanzas)
    assert len(Recorded.stanzas) > 40
    assert all("sealed='" in one for one in Recorded.stanzas)
    words = ("info", "command", "ack=", "noack", "features", "body", PREFIX)
    assert not [word for word in words if word in seen]
    told = ("runJob", "jobDone", "true.sh", "few-0", "many-14", "exitCode", "jobID", "claim")
    as_base64 = [base64.b64encode(word.encode()).decode().rstrip("=")[:-1] for word in told]
    assert not [word for word in (*told, *as_base64) if word in seen]


async def test_it_costs_the_same_over_prosody_and_redis_and_at_most_three_round_trips(
    tmp_path: Path, prosody: Prosody, redis_url: str
) -> None:
    for name in (MANAGER, "agent-1@copilot.internal"):
        await prosody.register(name.partition("@")[0], "secret")

    def connect(jid: str) -> Transport:
        bare, _, resource = jid.partition("/")
        if bare == MANAGER:
            InOrder.manager_is_there = asyncio.Event()
        return InOrder(
            XmppSettings(
                jid=bare,
                password="secret",
                resource=resource,
                host="127.0.0.1",
                port=prosody.port,
                ca_file=prosody.ca_file,
            )
        )

    store, watching = RedisStore.from_url(redis_url), RedisStore.from_url(redis_url)
    try:
        *figures, made = await for_one_job(tmp_path, store, watching, connect)
        check(*figures)
        assert (
            made.get("round trips", 0.0) <= MOST_ROUND_TRIPS
        )  # as many for many jobs as for few is fine, too
        await store.waiting()  # its script is new to the server
        before = store.round_trips
        await asyncio.gather(
            store.waiting(),
            store.get("few-0"),
            store.publish("few-0"),
            store.claim(agent="a@x", request="r", dispatch_limit=1.0),
        )
        assert store.round_trips - before == 1
    finally:
        await store.close()
        await watching.close()
