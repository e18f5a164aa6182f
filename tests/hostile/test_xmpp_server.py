"""An XMPP server, or somebody on the way to it, that says what no server may: our program goes on.

What a decent server filters is put on the line behind it, into the session of a real component.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator
from pathlib import Path

import psutil
import pytest

from copilot.protocol import codec
from copilot.protocol.commands import GetJob, Sleep
from copilot.protocol.endpoint import Endpoint
from copilot.protocol.envelope import Envelope
from copilot.protocol.events import Received
from copilot.protocol.rules import Role
from copilot.runtime.component import Send
from copilot.runtime.loop import Loop
from copilot.transport.base import Disconnected
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport
from tests.contract.test_transport_prosody import PlainProsody
from tests.contract.transport_fixtures import Line, arrived, connected, event, until
from tests.patience import PATIENCE_S
from tests.unit.runtime.bench import Scripted
from tests.unit.transport.test_connection import HEADER, Script

GET = GetJob(agent_host="h", jdl="[]")
MEGABYTE = 1_000_000
LAUGHS = "".join(f"<!ENTITY l{n} '{f'&l{n - 1};' * 10}'>" for n in range(1, 10))
DEEP, END_OF_DEEP = "<a>" * 200_000, "</a>" * 200_000
ATTRIBUTES = " ".join(f"a{number}=''" for number in range(100_000))
MOST_MEMORY = 300 * MEGABYTE  # that one hostile server may cost


class Tap(Line):
    """A line on which somebody else speaks, too."""

    def say(self, data: bytes) -> None:
        """To our side."""
        (to_us,) = (writer for writer in self._writers if writer.get_extra_info("sockname")[1] == self.port)
        to_us.write(data)


class Bench:
    """A component whose line to the server is tapped, and a decent peer of it."""

    def __init__(self, tap: Tap, peer: XmppTransport, component: Scripted, jid: str) -> None:
        self.tap = tap
        self._peer = peer
        self._component = component
        self._jid = jid
        self._ids = (f"good-{number}" for number in itertools.count())

    async def sessions(self, number: int) -> None:
        """Wait for the component's `number`-th session."""
        await until(lambda: [type(one).__name__ for one in self._component.events].count("Online") == number)

    async def is_served(self) -> None:
        """A good message is acknowledged and answered."""
        ident = next(self._ids)
        assert self._peer.send(Envelope(to=self._jid, id=ident, element=codec.encode(GET, ("storage",))))
        answer = await arrived(self._peer)
        assert answer.acks == (ident,)
        assert answer.element is not None
        assert codec.decode(answer.element)[0] == Sleep(retry_after=0.0)


@pytest.fixture
async def bench(open_directory: Path) -> AsyncIterator[Bench]:
    prosody, tap = PlainProsody(open_directory / "plain"), None
    await prosody.start()
    component = Scripted(
        lambda event: (
            [Send(to=event.sender, command=Sleep(retry_after=0.0))] if isinstance(event, Received) else None
        )
    )
    numbers = itertools.count()
    endpoint = Endpoint(
        Role.JOB_MANAGER, new_id=lambda: f"own-{next(numbers)}", random=lambda: 0.0, features=("storage",)
    )
    tap = Tap(prosody.port)
    await tap.up()
    jid = await prosody.register("jm", "secret")
    loop = Loop(component, endpoint, transport(jid, tap.port))
    running = asyncio.create_task(loop.run())
    peer = transport(await prosody.register("agent", "secret"), prosody.port)
    try:
        await connected(peer)
        made = Bench(tap, peer, component, f"{jid}/r")
        await made.sessions(1)
        yield made
        loop.stop()
        assert await asyncio.wait_for(running, PATIENCE_S) == 0
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await peer.close()
        await tap.down()
        await prosody.stop()


def transport(jid: str, port: int, **changes: object) -> XmppTransport:
    settings = {"password": "secret", "resource": "r", "host": "127.0.0.1", "tls": "off"}
    return XmppTransport(
        XmppSettings(jid=jid, port=port, **(settings | changes)),  # type: ignore[arg-type]
        random=lambda: 0.0,
    )


HARMLESS = {
    "a deep message": f"<message from='x@y' id='i'><body><info>{DEEP}{END_OF_DEEP}</info></body></message>",
    "a deep iq": f"<iq type='get' id='i'>{DEEP}{END_OF_DEEP}</iq>",
    "a message with 100,000 attributes": f"<message from='x@y' {ATTRIBUTES}/>",
    "a message with 200,000 children": f"<message from='x@y'><body><info>{'<a/>' * 200_000}</info></body></message>",
    "comments and blanks": f"<!-- {'x' * MEGABYTE} -->{' ' * 500_000}",
    "text between stanzas": "HTTP/1.1 400 Bad Request\r\n\r\n",
    "stanzas nobody knows": "<query xmlns='x'/><a xmlns='y'><b/></a>",
}
DEADLY = {
    "a bad character": b"<message><body>\x00</body></message>",
    "no UTF-8": b"<message><body>\xff\xfe</body></message>",
    "an unknown entity": b"<message><body>&xxe;</body></message>",
    "a declaration in the middle": b"<!DOCTYPE a [<!ENTITY b 'c'>]>",
    "tags that do not match": b"<message><body></message>",
    "an end before its time": b"</stream:stream>",
    "a stanza without end": b"<message><body>" + b"x" * (4 * MEGABYTE),
    "an attribute without end": b"<message id='" + b"x" * (4 * MEGABYTE),
    "children without end": b"<message>" + b"<a/>" * MEGABYTE,
    "depth without end": b"<a>" * MEGABYTE,
}


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_is_xml_but_nonsense_does_no_harm_to_the_session(bench: Bench, name: str) -> None:
    bench.tap.say(HARMLESS[name].encode())
    await bench.is_served()
    await bench.sessions(1)


@pytest.mark.parametrize("name", DEADLY)
async def test_what_is_not_xmpp_ends_the_session_and_the_next_one_serves(bench: Bench, name: str) -> None:
    bench.tap.say(DEADLY[name])
    await bench.sessions(2)
    await bench.is_served()


async def test_a_truncated_message_has_no_effect_and_its_copy_is_served(bench: Bench) -> None:
    bench.tap.say(
        b"<message from='agent@copilot.internal/r' id='cut'><copilot xmlns='urn:copilot:1'><info comm"
    )
    bench.tap.cut()
    await bench.sessions(2)
    await bench.is_served()


BEFORE_LOG_IN = {
    "entities that grow": f"<?xml version='1.0'?><!DOCTYPE l [<!ENTITY l0 'lol'>{LAUGHS}]>{HEADER[21:]}&l9;",
    "an entity that is a file": f"<!DOCTYPE l [<!ENTITY f SYSTEM 'file:///etc/passwd'>]>{HEADER[21:]}&f;",
    "another encoding": HEADER.replace("?>", " encoding='utf-7'?>"),
    "features without end": HEADER + "<stream:features>" + "<a/>" * MEGABYTE,
    "a header without end": HEADER[:-1] + " a='" + "x" * (4 * MEGABYTE),
}


@pytest.mark.parametrize("name", BEFORE_LOG_IN)
async def test_a_server_that_begins_so_is_told_to_the_operator_and_tried_again(name: str) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    async with Script(BEFORE_LOG_IN[name]) as server:
        own = transport("a@site.org", server.port)
        try:
            reason = (await event(own, Disconnected)).reason
            assert reason.startswith(f"the server at 127.0.0.1:{server.port} is not believed: it ")
            assert len(reason) < 300
            await until(lambda: server.connections > 1)
        finally:
            await own.close()
    assert process.memory_info().rss - before < MOST_MEMORY
