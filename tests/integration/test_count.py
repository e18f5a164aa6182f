"""What one job costs: messages over the wire and round trips to the store, counted from the start of the project.

The figures are the difference between a run of 12 jobs and one of 2, for each ten jobs: what a session costs
(log-in, the first and the last request) is left out, and so is what happens by the clock.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from copilot.client.submission import Submission, submit
from copilot.files.area import FileArea
from copilot.files.staging import DiskStaging
from copilot.local.in_process import MANAGER, in_process
from copilot.local.prosody import Prosody
from copilot.store.memory import MemoryStore
from copilot.store.redis import RedisStore
from copilot.transport.base import Transport, TransportEvent
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport

BY_THE_CLOCK = ("reap", "unpublished")
MESSAGES_OF_THE_AGENT = {
    "want_getJob": 1,
    "getJob": 1,
    "want_getJobOutputDir": 1,
    "getJobOutputDir": 1,
    "jobDone": 1,
    "ack": 2,  # of runJob and storeJobOutputDir; those of the two offers ride on the next request
}
MESSAGES_OF_THE_MANAGER = {
    "have_getJob": 1,
    "runJob": 1,
    "have_getJobOutputDir": 1,
    "storeJobOutputDir": 1,
    "ack": 1,  # of jobDone; the others ride on the answers
}
ROUND_TRIPS = {"waiting": 1, "claim": 1, "confirm": 1, "get": 1, "finish": 1, "publish": 1}


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
    directory: Path, store: MemoryStore | RedisStore, jobs: int, connect: Callable[[str], Transport] | None
) -> tuple[Counter[str], Counter[str], Counter[str]]:
    """Messages of the agent, messages of the manager, calls of the store for so many jobs."""
    directory.mkdir()
    counted: Any = Counting(store)
    script = directory / "true.sh"
    script.write_text("#!/bin/sh\n")
    (directory / "files").mkdir()
    for number in range(jobs):
        submission = Submission(id=f"{directory.name}-{number}", command=script)
        await submit(submission, store, DiskStaging(FileArea(directory / "files"), agents=()))
    async with in_process(directory, counted, connect=connect) as system, asyncio.timeout(30):
        (agent,) = system.agents
        while agent.counts.received["sleep"] == 0:  # said when there is no job any more
            await asyncio.sleep(0.01)
    return Counter(agent.counts.sent), Counter(system.manager.counts.sent), counted.calls


async def for_one_job(
    directory: Path, store: MemoryStore | RedisStore, connect: Callable[[str], Transport] | None = None
) -> tuple[dict[str, float], ...]:
    few = await run(directory / "few", store, 2, connect)
    many = await run(directory / "many", store, 12, connect)
    return tuple(
        {
            name: (more[name] - less[name]) / 10
            for name in more
            if more[name] != less[name] and name not in BY_THE_CLOCK
        }
        for less, more in zip(few, many, strict=True)
    )


async def test_a_job_costs_twelve_messages_and_six_round_trips(tmp_path: Path) -> None:
    agent, manager, calls = await for_one_job(tmp_path, MemoryStore())
    assert (agent, manager, calls) == (MESSAGES_OF_THE_AGENT, MESSAGES_OF_THE_MANAGER, ROUND_TRIPS)
    assert sum(agent.values()) + sum(manager.values()) == 12


@pytest.mark.timeout(90)
async def test_it_costs_the_same_over_prosody_and_redis(
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

    store = RedisStore.from_url(redis_url)
    try:
        agent, manager, calls = await for_one_job(tmp_path, store, connect)
        assert (agent, manager, calls) == (MESSAGES_OF_THE_AGENT, MESSAGES_OF_THE_MANAGER, ROUND_TRIPS)
        before = store.round_trips
        for call in (
            store.waiting(),
            store.get("few-0"),
            store.publish("few-0"),
            store.claim(agent="a@x", request="r", dispatch_limit=1.0),
        ):
            await call
        assert store.round_trips - before == 4  # one a call
    finally:
        await store.close()
