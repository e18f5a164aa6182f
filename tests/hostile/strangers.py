"""Accounts that write what they like to the XMPP server of a system: raw stanzas out, envelopes in."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator
from xml.sax.saxutils import quoteattr

from copilot.errors import ProtocolError
from copilot.local.configuration import DOMAIN
from copilot.local.prosody import Prosody
from copilot.protocol import codec
from copilot.protocol.commands import Command, Error
from copilot.protocol.envelope import Element, Envelope
from copilot.transport.base import Arrived
from copilot.transport.settings import XmppSettings
from copilot.transport.xmpp import XmppTransport
from tests.acceptance.running import Up
from tests.contract.transport_fixtures import LIMIT_S, connected

MANAGER = f"jm@{DOMAIN}"
FEATURES = ("storage",)
PASSWORD = "of a stranger"
_resources = itertools.count()


class Stranger:
    """One session of an account of its own."""

    def __init__(self, transport: XmppTransport, jid: str) -> None:
        self.jid = jid
        self.heard: list[Envelope] = []
        self._transport = transport
        self._ids = (f"{jid.rpartition('/')[2]}-{number}" for number in itertools.count())

    def write(self, raw: str) -> None:
        """Raw bytes into the stream."""
        assert self._transport._connection is not None
        self._transport._connection._client.send_raw(raw)

    def say(self, to: str, info: str, *, old: bool = False) -> str:
        """An `<info>` as text, in the element or, as a peer of 2011, in the body; returns the message's id."""
        ident = next(self._ids)
        inner = f"<body>{info}</body>" if old else f"<copilot xmlns='urn:copilot:1'>{info}</copilot>"
        self.write(f"<message to='{to}' id='{ident}'>{inner}</message>")
        return ident

    def tell(self, to: str, command: Command, *, old: bool = False, ident: str | None = None) -> str:
        """A command in order."""
        ident = ident or next(self._ids)
        info = codec.encode(command, () if old else FEATURES)
        assert self._transport.send(
            Envelope(to=to, id=ident, **{"body" if old else "element": info})  # type: ignore[arg-type]
        )
        return ident

    async def hear(self) -> Envelope:
        """The next message."""
        async with asyncio.timeout(LIMIT_S):
            while not isinstance(event := await self._transport.next_event(), Arrived):
                pass
        self.heard.append(event.envelope)
        return event.envelope

    async def acked(self, ident: str) -> Envelope:
        """The message that acknowledges `ident`; no other may say that it was refused."""
        while ident not in (envelope := await self.hear()).acks:
            error = command_of(envelope)
            assert not (isinstance(error, Error) and error.in_reply_to == ident), error
        return envelope

    async def refused(self, ident: str) -> str:
        """The code of the `error` that answers `ident`, which may not be acknowledged."""
        while True:
            envelope = await self.hear()
            assert ident not in envelope.acks
            error = command_of(envelope)
            if isinstance(error, Error) and error.in_reply_to == ident:
                assert error.error_string
                return error.code or ""

    async def answer(self, kind: type[Command]) -> tuple[str, Command]:
        """The next command of this kind: who says it, and what."""
        while not isinstance(command := command_of(envelope := await self.hear()), kind):
            pass
        return envelope.sender, command


def command_of(envelope: Envelope) -> Command | None:
    """What a message says, if it says anything."""
    info = envelope.element or envelope.body
    with contextlib.suppress(ProtocolError):
        return None if info is None else codec.decode(info)[0]
    return None


@contextlib.asynccontextmanager
async def stranger(system: Up, account: str) -> AsyncIterator[Stranger]:
    """A new session of an account, which is made if there is none."""
    prosody = Prosody(system.directory / "prosody", domain=DOMAIN)
    settings = XmppSettings(
        jid=await prosody.register(account, PASSWORD),
        password=PASSWORD,
        resource=f"r{next(_resources)}",
        host="127.0.0.1",
        port=prosody.port,
        ca_file=prosody.ca_file,
        max_stanza_bytes=900_000,
    )
    transport = XmppTransport(settings)
    try:
        yield Stranger(transport, await connected(transport))
    finally:
        await transport.close()


def info_of(command: Command, features: tuple[str, ...] = FEATURES, **changes: str | None) -> str:
    """A command's `<info>` as text, with some attributes changed, or left out (None)."""
    element = codec.encode(command, features)
    attributes = {**element.attributes, **changes}
    kept = {name: value for name, value in attributes.items() if value is not None}
    return text_of(Element(element.tag, kept, element.children))


def text_of(element: Element) -> str:
    attributes = "".join(f" {name}={quoteattr(value)}" for name, value in element.attributes.items())
    return f"<{element.tag}{attributes}>{''.join(map(text_of, element.children))}</{element.tag}>"
