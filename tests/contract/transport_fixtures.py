"""What the transport's contract runs on: the pretend server, real Prosody and ejabberd behind lines that can be cut."""

from __future__ import annotations

import asyncio
import itertools
import os
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any, Protocol, TypeVar

import pytest

from copilot.local.ejabberd import Ejabberd
from copilot.local.prosody import Prosody
from copilot.protocol.envelope import Envelope
from copilot.transport.base import Arrived, Connected, Transport
from copilot.transport.memory import MemoryNetwork, MemoryTransport
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport
from tests.patience import PATIENCE_S

LIMIT_S = PATIENCE_S  # for whatever a test waits for
Event = TypeVar("Event")


class Line:
    """A TCP line on loopback from a port of its own to a server's, which can be cut, frozen and taken down."""

    def __init__(self, target: int) -> None:
        self.port = 0
        self.connections = 0
        self._target = target
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def up(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def down(self) -> None:
        if self._server is not None:
            self._server.close()
        self.cut()
        self._flowing.set()
        await asyncio.gather(*self._tasks)

    def cut(self) -> None:
        """As when a router forgets the connection: both ends get a reset."""
        for writer in self._writers:
            writer.transport.abort()

    def freeze(self) -> None:
        """As when a cable is pulled: nothing moves, and nobody is told."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        for source, sink in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink))
            self._tasks.add(task)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        self._writers.add(sink)
        try:
            while data := await source.read(65536):
                await self._flowing.wait()
                sink.write(data)
                await sink.drain()
        except ConnectionError:
            pass
        finally:
            sink.close()
            self._writers.discard(sink)


class Hub(Protocol):
    """A server under test. Transports are closed when the test ends."""

    readdresses: bool  # a message for a vanished instance arrives addressed to the one that gets it
    chat: str  # the domain of its chat rooms

    async def account(self) -> str:
        """A new account's bare JID."""
        ...

    async def admin(self) -> str:
        """The bare JID of an account that may change accounts."""
        ...

    async def transport(self, account: str, resource: str) -> Transport:
        """A transport that has not connected yet."""
        ...

    async def login(self, account: str, password: str) -> Transport:
        """A transport of an account that somebody else has made."""
        ...

    def cut(self, transport: Transport) -> None:
        """Break its connection."""
        ...

    def delivered(self, envelope: Envelope) -> Envelope:
        """What this server makes of a message on its way."""
        ...


class MemoryHub:
    readdresses = False
    chat = "conference.memory"

    def __init__(self) -> None:
        self.network = MemoryNetwork()
        self.transports: list[MemoryTransport] = []
        self._numbers = itertools.count()

    async def account(self) -> str:
        return f"user{next(self._numbers)}@memory"

    async def admin(self) -> str:
        jid = await self.account()
        self.network.admins.add(jid)
        return jid

    async def login(self, account: str, password: str) -> MemoryTransport:
        if self.network.passwords.get(account) != password:
            self.network.removed.add(account)
        return await self.transport(account, "one")

    async def transport(self, account: str, resource: str) -> MemoryTransport:
        self.transports.append(MemoryTransport(self.network, f"{account}/{resource}"))
        return self.transports[-1]

    def cut(self, transport: Transport) -> None:
        assert isinstance(transport, MemoryTransport)
        self.network.cut(transport.jid)

    def delivered(self, envelope: Envelope) -> Envelope:
        return envelope

    async def close(self) -> None:
        for transport in self.transports:
            await transport.close()


class ServerHub:
    """A real server. Every transport has a line of its own; it waits no time before it comes back."""

    def __init__(self, server: Prosody | Ejabberd) -> None:
        self.server = server
        self.readdresses = isinstance(server, Ejabberd)
        self.chat = f"conference.{server.domain}"
        self.lines: dict[Transport, Line] = {}
        self._passwords: dict[str, str] = {}

    async def account(self) -> str:
        password = uuid.uuid4().hex
        jid = await self.server.register(f"user-{uuid.uuid4().hex}", password)
        self._passwords[jid] = password
        return jid

    async def admin(self) -> str:
        worker = os.environ.get("PYTEST_XDIST_WORKER", "alone")
        password = uuid.uuid4().hex
        jid = await self.server.register(f"boss-{worker}", password)
        self._passwords[jid] = password
        return jid

    async def login(self, account: str, password: str) -> XmppTransport:
        self._passwords[account] = password
        return await self.transport(account, "one")

    async def transport(self, account: str, resource: str, **changes: Any) -> XmppTransport:
        line = Line(self.server.port)
        await line.up()
        settings = {
            "jid": account,
            "password": self._passwords[account],
            "resource": resource,
            "host": "127.0.0.1",
            "port": line.port,
            "ca_file": self.server.ca_file,
        }
        transport = XmppTransport(XmppSettings(**(settings | changes)), random=lambda: 0.0)
        self.lines[transport] = line
        return transport

    async def connected(self, **changes: Any) -> tuple[XmppTransport, str]:
        """A transport of a new account that is logged in, and its full JID."""
        transport = await self.transport(await self.account(), "one", **changes)
        return transport, await connected(transport)

    def cut(self, transport: Transport) -> None:
        self.lines[transport].cut()

    def delivered(self, envelope: Envelope) -> Envelope:
        return _stripped(envelope) if isinstance(self.server, Ejabberd) else envelope

    async def close(self) -> None:
        for transport, line in self.lines.items():
            line.thaw()
            await transport.close()
            await line.down()
        assert asyncio.all_tasks() == {asyncio.current_task()}


def _stripped(envelope: Envelope) -> Envelope:
    """What ejabberd leaves of a message: all that stands in `<copilot>`, and nothing of the report's form."""
    if envelope.element is not None:
        return replace(envelope, body=None)
    if envelope.body is None and envelope.ack_carriage == "element":
        return envelope
    return replace(envelope, body=None, acks=(), ack_carriage="element", noack=False)


@pytest.fixture(name="prosody_hub")
async def prosody_hub_fixture(prosody: Prosody) -> AsyncIterator[ServerHub]:
    hub = ServerHub(prosody)
    yield hub
    await hub.close()


@pytest.fixture(name="ejabberd_hub")
async def ejabberd_hub_fixture(ejabberd: Ejabberd) -> AsyncIterator[ServerHub]:
    hub = ServerHub(ejabberd)
    yield hub
    await hub.close()


@pytest.fixture(name="memory_hub")
async def memory_hub_fixture() -> AsyncIterator[MemoryHub]:
    hub = MemoryHub()
    yield hub
    await hub.close()


@pytest.fixture(name="hub", params=["memory_hub", "prosody_hub", "ejabberd_hub"])
def hub_fixture(request: pytest.FixtureRequest) -> Hub:
    """Each server in turn."""
    chosen: Hub = request.getfixturevalue(request.param)
    return chosen


async def event(transport: Transport, kind: type[Event]) -> Event:
    """The next event, which must be of this kind."""
    async with asyncio.timeout(LIMIT_S):
        got = await transport.next_event()
    assert isinstance(got, kind), got
    return got


async def connected(transport: Transport) -> str:
    """Its full JID, once it is logged in."""
    return (await event(transport, Connected)).jid


async def arrived(transport: Transport) -> Envelope:
    """The message that the next event must be."""
    return (await event(transport, Arrived)).envelope


async def until(condition: Callable[[], object]) -> None:
    """Wait until it is true."""
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.005)
