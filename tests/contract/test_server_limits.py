"""What the sample configurations of the XMPP servers hold back before it reaches anybody of ours."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from copilot.local.ejabberd import Ejabberd
from copilot.local.prosody import Prosody
from copilot.local.server import LOOPBACK, SERVICES, XmppServer
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport
from tests.contract.transport_fixtures import LIMIT_S, connected

ANSWER = (
    f"<iq type='result' id='none'><x xmlns='y'>{'z' * 9_950}</x></iq>"  # to nothing that a server has asked
)
ANSWERS = 300  # 3 MB: more than an account has at once anywhere
ALLOWED_S = 0.8  # for those 3 MB, at 1 MB/s with 2 MB at once
TRIES = 5


@contextlib.asynccontextmanager
async def session(server: XmppServer, name: str) -> AsyncIterator[XmppTransport]:
    """A session of an account."""
    settings = XmppSettings(
        jid=await server.register(name, "secret"),  # type: ignore[attr-defined]  # both have it
        password="secret",
        host=LOOPBACK,
        port=server.port,
        ca_file=server.ca_file,
        ping_interval=600.0,
    )
    transport = XmppTransport(settings)
    await connected(transport)
    try:
        yield transport
    finally:
        await transport.close()


async def seconds_to_say_3_megabytes(transport: XmppTransport) -> float:
    """Until the server has read them all: it answers what was asked behind them."""
    connection = transport._connection
    assert connection is not None
    began = time.monotonic()
    for _ in range(ANSWERS):
        connection._client.send_raw(ANSWER)
    await connection._ping(30)
    return time.monotonic() - began


@pytest.fixture(params=["prosody", "ejabberd"])
def server(request: pytest.FixtureRequest) -> XmppServer:
    """Each of them as the tests run it."""
    found: Prosody | Ejabberd = request.getfixturevalue(request.param)
    return found


async def test_who_floods_is_read_slowly_and_a_service_is_not(server: XmppServer) -> None:
    async with session(server, "flooder") as flooder, session(server, SERVICES[1]) as service:
        slow = await seconds_to_say_3_megabytes(flooder)
        assert slow > ALLOWED_S
        for _ in range(TRIES):  # whatever else this machine does meanwhile: who is held is slow each time
            if (quick := await seconds_to_say_3_megabytes(service)) < slow / 2:
                break
    assert quick < slow / 2


class Hasty(Prosody):
    """It waits a second for who does not log in."""

    def _write_configuration(self) -> None:
        super()._write_configuration()
        file = self.directory / "prosody.cfg.lua"
        text = file.read_text()
        assert "c2s_timeout = 150" in text
        file.write_text(text.replace("c2s_timeout = 150", "c2s_timeout = 1"))


async def test_who_talks_slowly_instead_of_logging_in_is_cut_off(open_directory: Path) -> None:
    prosody = Hasty(open_directory / "hasty")
    await prosody.start()
    try:
        reader, writer = await asyncio.open_connection(LOOPBACK, prosody.port)
        began = time.monotonic()
        with contextlib.suppress(ConnectionError):
            async with asyncio.timeout(LIMIT_S):
                for letter in f"<stream:stream to='{prosody.domain}' xmlns='jabber:client' x='" + "y" * 1000:
                    writer.write(letter.encode())
                    await writer.drain()
                    with contextlib.suppress(TimeoutError):
                        if not await asyncio.wait_for(reader.read(1), 0.1):
                            break
        assert 0.5 < time.monotonic() - began < 50  # not the 150 s of the sample
        writer.close()
    finally:
        await prosody.stop()
