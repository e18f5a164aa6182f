"""Log-ins that a real server does not show: hostile, silent and half-broken servers, played by a script."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from copilot.errors import LoginRefused, SessionReplaced, TransportError
from copilot.local import certificates
from copilot.retry import full_jitter
from copilot.transport import xmpp
from copilot.transport.base import Disconnected, PresenceChanged, TransportEvent
from copilot.transport.connection import Connection
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import MAX_WAIT_S, XmppTransport
from tests.patience import PATIENCE_S

LIMIT_S = PATIENCE_S
HEADER = (
    "<?xml version='1.0'?><stream:stream xmlns='jabber:client' version='1.0' id='1' from='site.org' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
FEATURES = (
    "<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><mechanism>PLAIN</mechanism>"
    "<mechanism>SCRAM-SHA-1</mechanism></mechanisms></stream:features>"
)
STARTTLS = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:features>"
PROCEED = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"


class Script:
    """A server on loopback that answers the first bytes of each read by the next line of its script."""

    def __init__(self, *answers: str, tls: ssl.SSLContext | None = None) -> None:
        self.heard = ""
        self.connections = 0
        self._answers = answers
        self._tls = tls

    async def __aenter__(self) -> Script:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            for answer in self._answers:
                self.heard += (await reader.read(65536)).decode(errors="replace")
                writer.write(answer.encode())
                if answer == PROCEED and self._tls is not None:
                    await writer.start_tls(self._tls)
            while data := await reader.read(65536):
                self.heard += data.decode(errors="replace")
        except (ConnectionError, ssl.SSLError):
            pass
        finally:
            writer.close()


Connect = Callable[..., XmppTransport]


@pytest.fixture(name="connect")
async def connect_fixture(tmp_path: Path) -> AsyncIterator[Connect]:
    """Makes transports to a port on loopback that wait for no jitter; closed at the end."""
    made: list[XmppTransport] = []

    def make(port: int, **changes: Any) -> XmppTransport:
        settings = {
            "jid": "a@site.org",
            "password": "secret",
            "host": "127.0.0.1",
            "port": port,
            "login_timeout": 5.0,
        }
        made.append(XmppTransport(XmppSettings(**(settings | changes)), random=lambda: 0.9))
        return made[-1]

    yield make
    for transport in made:
        await transport.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def within(awaitable: Awaitable[TransportEvent]) -> TransportEvent:
    return await asyncio.wait_for(awaitable, LIMIT_S)


async def test_a_server_that_says_nothing_is_given_up_after_a_while(connect: Connect) -> None:
    async with Script() as server:
        transport = connect(server.port, login_timeout=0.05)
        assert await within(transport.next_event()) == Disconnected("no session within 0.05 s")
        await transport.close()


async def test_no_password_goes_to_a_server_without_tls(connect: Connect) -> None:
    async with Script(HEADER + FEATURES) as server:
        transport = connect(server.port)
        with pytest.raises(LoginRefused, match="no SCRAM log-in, or no TLS"):
            await within(transport.next_event())
        await transport.close()
    assert "<stream:stream" in server.heard
    assert "<auth" not in server.heard


async def test_plain_passwords_are_not_sent_even_on_this_machine(connect: Connect) -> None:
    async with Script(HEADER + FEATURES.replace("SCRAM-SHA-1", "DIGEST-MD5")) as server:
        transport = connect(server.port, tls="off")
        with pytest.raises(LoginRefused, match="no SCRAM"):
            await within(transport.next_event())
        await transport.close()
    assert "<auth" not in server.heard


async def test_a_certificate_for_another_name_is_refused(connect: Connect, tmp_path: Path) -> None:
    files = certificates.ensure(tmp_path, ["other.org", "127.0.0.1"])
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(files.cert_file, files.key_file)
    async with Script(HEADER + STARTTLS, PROCEED, tls=tls) as server:
        transport = connect(server.port, ca_file=files.ca_file)
        with pytest.raises(LoginRefused, match=r"Hostname mismatch.*expected name: site.org"):
            await within(transport.next_event())
        await transport.close()


async def test_a_server_that_promises_tls_and_breaks_off_is_tried_again(connect: Connect) -> None:
    async with Script(HEADER + STARTTLS, PROCEED, "not TLS at all") as server:
        transport = connect(server.port)
        event = await within(transport.next_event())
        assert isinstance(event, Disconnected)
        assert event.reason.startswith(f"no TLS with 127.0.0.1:{server.port}: ")
        await transport.close()


async def test_a_redirection_of_the_stream_is_not_followed(connect: Connect) -> None:
    async with Script() as elsewhere:
        error = (
            "<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>"
            f"127.0.0.1:{elsewhere.port}</see-other-host></stream:error></stream:stream>"
        )
        async with Script(HEADER + error) as server:
            transport = connect(server.port)
            event = await within(transport.next_event())
            assert isinstance(event, Disconnected)
            assert event.reason.startswith("the server ended the stream: see-other-host")
            await transport.close()
    assert elsewhere.connections == 0


@pytest.mark.parametrize("condition", ["temporary-auth-failure", "aborted"])
async def test_a_log_in_that_fails_for_now_is_tried_again(connect: Connect, condition: str) -> None:
    failure = f"<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'><{condition}/></failure>"
    async with Script(HEADER + FEATURES, failure) as server:
        transport = connect(server.port, tls="off")
        event = await within(transport.next_event())
        assert isinstance(event, Disconnected)
        assert condition in event.reason
        await transport.close()
    assert "mechanism=" in server.heard


async def test_garbage_ends_the_connection_and_nothing_else(connect: Connect) -> None:
    async with Script("HTTP/1.1 400 Bad Request\r\n\r\n") as server:
        transport = connect(server.port)
        assert isinstance(await within(transport.next_event()), Disconnected)
        await transport.close()


async def test_the_password_is_in_no_log(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with Script(HEADER + FEATURES, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>") as server:
        transport = connect(server.port, tls="off")
        with pytest.raises(LoginRefused):
            await within(transport.next_event())
        await transport.close()
    assert "a@site.org" in caplog.text
    assert "secret" not in caplog.text


async def test_a_mistake_of_ours_reaches_the_component(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(*_: object) -> None:
        raise KeyError("oops")

    monkeypatch.setattr(xmpp.Connection, "run", broken)
    transport = connect(1)
    with pytest.raises(TransportError, match=r"mistake in the program: KeyError\('oops'\)"):
        await within(transport.next_event())


def test_waits_double_up_to_a_minute_and_are_drawn_from_zero() -> None:
    assert [full_jitter(failures, MAX_WAIT_S, lambda: 1.0) for failures in range(8)] == [
        1,
        2,
        4,
        8,
        16,
        32,
        60,
        60,
    ]
    assert full_jitter(10_000, MAX_WAIT_S, lambda: 1.0) == MAX_WAIT_S
    assert full_jitter(3, MAX_WAIT_S, lambda: 0.0) == 0.0


# Stanzas that no orderly server sends


class Logged:
    """A connection that believes to be up, and what it delivers."""

    def __init__(self) -> None:
        self.events: list[TransportEvent] = []
        self.connection = Connection(XmppSettings(jid="jm@site.org", password="x"), self.events.append)
        self.connection._jid = "jm@site.org/one"
        self.connection.was_up = True

    def take(self, stanza: str) -> bool:
        stream = f"<s xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams'>{stanza}</s>"
        return self.connection._take(ElementTree.fromstring(stream)[0])


@pytest.mark.parametrize("kind", ["error", "subscribe", "subscribed", "unsubscribe", "probe", "odd"])
async def test_other_kinds_of_presence_say_nothing(kind: str) -> None:
    logged = Logged()
    assert logged.take(f"<presence from='a@x/1' type='{kind}'/>")
    assert logged.events == []


@pytest.mark.parametrize("sender", ["", "a@x", "x", "jm@site.org/two", "JM@Site.org/one"])
async def test_presence_of_no_full_jid_or_of_our_own_account_says_nothing(sender: str) -> None:
    logged = Logged()
    for kind in ("", " type='unavailable'"):
        assert logged.take(f"<presence from='{sender}'{kind}/>")
    assert logged.events == []


async def test_presence_of_a_full_jid_is_told() -> None:
    logged = Logged()
    logged.take("<presence from='a@x/1'><priority>5</priority></presence>")
    logged.take("<presence from='a@x/1' type='unavailable'/>")
    assert logged.events == [PresenceChanged("a@x/1", True), PresenceChanged("a@x/1", False)]


async def test_before_the_session_is_up_nothing_is_told() -> None:
    logged = Logged()
    logged.connection.was_up = False
    for stanza in ("<message from='a@x/1' id='i'/>", "<presence from='a@x/1'/>"):
        assert logged.take(stanza)
    assert logged.events == []


@pytest.mark.parametrize(("depth", "taken"), [(32, False), (33, True), (100_000, True)])
async def test_an_iq_is_left_to_slixmpp_unless_it_is_nested_too_deep(depth: int, taken: bool) -> None:
    inner = depth - 1
    assert Logged().take(f"<iq>{'<a>' * inner}{'</a>' * inner}</iq>") is taken


async def test_a_conflict_is_final_and_says_what_to_do() -> None:
    logged = Logged()
    logged.take("<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>")
    ended = await logged.connection._ended
    assert isinstance(ended.fatal, SessionReplaced)
    assert "jm@site.org/one" in str(ended.fatal)


@pytest.mark.parametrize("inner", ["", "<odd xmlns='x'>long  \n text</odd>"])
async def test_any_stream_error_ends_the_connection(inner: str) -> None:
    logged = Logged()
    logged.take(f"<stream:error>{inner}</stream:error>")
    ended = await logged.connection._ended
    assert ended.fatal is None
    assert ended.set_aside == ()
    assert ended.reason.startswith(
        "the server ended the stream: " + ("odd (long text)" if inner else "undefined")
    )
