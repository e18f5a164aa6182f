"""A loop with a component that a test scripts, and a peer that a test plays by hand, on a network in memory."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from copilot.protocol import codec
from copilot.protocol.commands import Command
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import Element, Envelope
from copilot.protocol.events import Received
from copilot.protocol.rules import FEATURE_STORAGE, Role
from copilot.runtime.accounts import AccountCache
from copilot.runtime.component import Actions, Event, Leave, Perform, Stopping
from copilot.runtime.loop import Loop
from copilot.transport.base import Arrived, Transport
from copilot.transport.memory import MemoryNetwork, MemoryTransport
from tests.patience import PATIENCE_S

OWN, PEER = "jm@x/one", "agent@x/a"
LIMIT = PATIENCE_S  # s that anything here may take

Decision = Actions | Awaitable[Actions]


class Scripted:
    """A component that does what it is told, and keeps what it hears."""

    def __init__(self, decide: Callable[[Event], Decision | None] = lambda _: None) -> None:
        self.events: list[Event] = []
        self.wake: float | None = None
        self._decide = decide

    def handle(self, event: Event, now: float) -> Decision:
        self.events.append(event)
        decision = self._decide(event)
        if decision is not None:
            return decision
        return [Leave()] if isinstance(event, Stopping) else []

    def wakeup(self) -> float | None:
        return self.wake

    def commands(self) -> list[Command]:
        return [event.command for event in self.events if isinstance(event, Received)]

    async def got(self, *kinds: type) -> Event:
        """The first event of one of these kinds, as soon as there is one."""
        await until(lambda: any(isinstance(event, kinds) for event in self.events))
        return next(event for event in self.events if isinstance(event, kinds))


class Performer:
    """Carries effects out that are functions: they return a value, an awaitable, or raise."""

    def perform(self, effect: Any) -> Awaitable[Any] | None:
        result = effect()
        return result if isinstance(result, Awaitable) else None


class Bench:
    """What a test has in its hands while the loop runs."""

    def __init__(
        self, network: MemoryNetwork, loop: Loop, endpoint: Endpoint, run: asyncio.Task[int]
    ) -> None:
        self.network = network
        self.loop = loop
        self.endpoint = endpoint
        self.run = run
        self.peer = MemoryTransport(network, PEER)
        self._arrived: list[Envelope] = []
        self._listening = asyncio.create_task(self._listen())

    def say(self, command: Command, ident: str, *, features: tuple[str, ...] = (FEATURE_STORAGE,)) -> None:
        """As a peer with features, in the element; without, as one of 2011 in the body."""
        info = codec.encode(command, features)
        self.say_raw(Envelope(to=OWN, id=ident, **{"element" if features else "body": info}))  # type: ignore[arg-type]

    def say_raw(self, envelope: Envelope) -> None:
        assert self.peer.send(envelope)

    @property
    def acks(self) -> list[str]:
        """Ids that were acknowledged to the peer, in order."""
        return [ident for envelope in self._arrived for ident in envelope.acks]

    @property
    def heard(self) -> list[Command]:
        """Commands that the peer was sent, in order."""
        return [codec.decode(info)[0] for info in self.infos]

    @property
    def infos(self) -> list[Element]:
        """The same as they stood on the wire."""
        infos = [envelope.element or envelope.body for envelope in self._arrived]
        return [info for info in infos if info is not None]

    async def _listen(self) -> None:
        while True:
            event = await self.peer.next_event()
            if isinstance(event, Arrived):
                self._arrived.append(event.envelope)

    async def leave(self) -> int:
        """Ask the loop to end; its exit code."""
        self.loop.stop()
        return await asyncio.wait_for(self.run, LIMIT)

    async def close(self) -> None:
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)
        await self.peer.close()


@contextlib.asynccontextmanager
async def running(
    component: Scripted,
    transport: Callable[[MemoryNetwork], Transport] | None = None,
    *,
    accounts: AccountCache | None = None,
) -> AsyncIterator[Bench]:
    """A running loop with both ends online; on the way out it leaves, and nothing of it may be left."""
    before = asyncio.all_tasks()
    network, numbers = MemoryNetwork(), itertools.count(1)
    endpoint = Endpoint(
        Role.JOB_MANAGER | Role.STORAGE_MANAGER,
        new_id=lambda: f"own-{next(numbers)}",
        random=lambda: 0.0,
        features=(FEATURE_STORAGE,),
        permits=(lambda _, __: True) if accounts is None else accounts.permits,
    )
    own = MemoryTransport(network, OWN) if transport is None else transport(network)
    loop = Loop(component, endpoint, own, performer=Performer(), doorman=accounts)
    bench = Bench(network, loop, endpoint, asyncio.create_task(loop.run()))
    try:
        await until(lambda: bool(component.events) and bench.peer.send(Envelope(to=PEER)))
        yield bench
        if not bench.run.done():
            assert await bench.leave() == 0
    finally:
        bench.run.cancel()
        await asyncio.gather(bench.run, return_exceptions=True)
        await bench.close()
    assert asyncio.all_tasks() == before


async def until(condition: Callable[[], bool]) -> None:
    """Wait for a condition, within the limit."""
    async with asyncio.timeout(LIMIT):
        while not condition():
            await asyncio.sleep(0.001)


async def rest() -> None:
    """Let everybody go on until nobody has anything more to do at this moment."""
    for _ in range(50):
        await asyncio.sleep(0)


def performing(*effects: Callable[[], object]) -> list[Perform]:
    return [Perform(effect=effect) for effect in effects]
