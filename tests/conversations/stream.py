"""A raw XMPP client: text goes out byte for byte as it was made, what comes in is parsed by the standard library.

Log-in: TLS, SASL PLAIN (RFC 4616), a resource, priority 0 (RFC 6120 and 6121).
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import cast
from xml.etree.ElementTree import Element, XMLPullParser, tostring

from tests.conftest import Account

HOST = "127.0.0.1"
TLS = "urn:ietf:params:xml:ns:xmpp-tls"
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
BIND = "urn:ietf:params:xml:ns:xmpp-bind"
BLOCK = 65536


class Stream:
    """One session. Make it by `open`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, domain: str) -> None:
        self._reader, self._writer, self._domain = reader, writer, domain
        self._elements = self._parse()

    @classmethod
    async def open(cls, account: Account, resource: str, *, port: int, ca_file: Path) -> Stream:
        """Log in and become available."""
        localpart, _, domain = account.jid.partition("@")
        stream = cls(*await asyncio.open_connection(HOST, port), domain)
        await stream._begin()
        await stream._ask(f"<starttls xmlns='{TLS}'/>", f"{{{TLS}}}proceed")
        context = ssl.create_default_context(cafile=ca_file)
        await stream._writer.start_tls(context, server_hostname=domain)
        await stream._begin()
        secret = base64.b64encode(f"\0{localpart}\0{account.password}".encode()).decode()
        await stream._ask(f"<auth xmlns='{SASL}' mechanism='PLAIN'>{secret}</auth>", f"{{{SASL}}}success")
        await stream._begin()
        await stream._ask(
            f"<iq type='set' id='bind'><bind xmlns='{BIND}'><resource>{resource}</resource></bind></iq>",
            "{jabber:client}iq",
        )
        stream.send("<presence><priority>0</priority></presence>")
        return stream

    def send(self, text: str) -> None:
        """Write `text` as it is."""
        self._writer.write(text.encode())

    async def messages(self) -> AsyncIterator[tuple[Element, str]]:
        """Messages as they come, with their text."""
        async for element in self._elements:
            if element.tag == "{jabber:client}message":
                yield element, tostring(element, encoding="unicode")

    def close(self) -> None:
        """Leave at once: to wait for the end of TLS is more than asyncio of Python 3.11 can do without complaint."""
        self.send("</stream:stream>")
        self._writer.transport.abort()

    async def _begin(self) -> None:
        self._elements = self._parse()
        self.send(
            f"<?xml version='1.0'?><stream:stream to='{self._domain}' version='1.0' xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams'>"
        )
        features = await anext(self._elements)
        assert features.tag.endswith("}features"), features.tag

    async def _ask(self, text: str, expected: str) -> None:
        self.send(text)
        answer = await anext(self._elements)
        assert (answer.tag, answer.get("type")) in ((expected, None), (expected, "result")), tostring(answer)

    async def _parse(self) -> AsyncIterator[Element]:
        """The elements directly below <stream>."""
        parser: XMLPullParser[Element] = XMLPullParser(["start", "end"])
        depth = 0
        while block := await self._reader.read(BLOCK):
            parser.feed(block)
            for kind, element in cast("Iterator[tuple[str, Element]]", parser.read_events()):
                depth += 1 if kind == "start" else -1
                if kind == "end" and depth == 1:
                    yield element
