"""What an XMPP server says before anybody has logged in: its features, and its certificate (RFC 6120, 4.3 and 5)."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import Any, cast
from xml.etree.ElementTree import Element as Xml
from xml.etree.ElementTree import ParseError, XMLPullParser
from xml.sax.saxutils import quoteattr

from copilot.config.groups import ComponentSettings
from copilot.config.kinds import Tls
from copilot.doctor.patient import Patient
from copilot.doctor.xmpp.account import NoAccount, authority
from copilot.errors import TransportError
from copilot.records import dataclass
from copilot.transport.gate import Gate
from copilot.transport.settings import tls_context

LIMIT = 4.0  # s
MAX_BYTES = 64 * 1024  # of features
_STREAM = "http://etherx.jabber.org/streams"
_TLS = "urn:ietf:params:xml:ns:xmpp-tls"
_MECHANISM = "{urn:ietf:params:xml:ns:xmpp-sasl}mechanism"
_REGISTER = "{http://jabber.org/features/iq-register}register"


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """`refused`: why the certificate is not taken. `expires`: s since the epoch. `in_clear` are the ways to log in that are
    offered before TLS, `mechanisms` those that are offered to us."""

    starttls: bool
    in_clear: tuple[str, ...]
    refused: str = ""
    expires: float | None = None
    protocol: str = ""
    mechanisms: tuple[str, ...] = ()
    registration: bool = False


async def greeting(patient: Patient, account: ComponentSettings | None = None) -> Greeting:
    """That of the server of this account, or of the first one; asked for once. Raises `TransportError`, `NoAccount`."""
    config = account or patient.account
    if config is None:
        raise NoAccount("no settings here have an XMPP account")
    name = f"greeting of {config.jabber_server}:{config.jabber_port} {config.jabber_domain} {config.jabber_ca_file}"
    return await patient.once(name, lambda: greet(config, authority(patient, config)))


async def greet(config: ComponentSettings, ca_file: Path | None) -> Greeting:
    """Connect, and go as far as TLS. Raises `TransportError`."""
    where = f"{config.jabber_server}:{config.jabber_port}"
    try:
        async with asyncio.timeout(LIMIT):
            reader, writer = await asyncio.open_connection(config.jabber_server, config.jabber_port)
            try:
                return await _talk(_Stream(reader, writer, config.jabber_domain), config, ca_file)
            finally:
                writer.transport.abort()
    except TimeoutError as error:
        raise TransportError(f"{where} did not say what an XMPP server says within {LIMIT:g} s") from error
    except (OSError, EOFError, ParseError) as error:
        raise TransportError(f"{where}: {error}") from error


class _Stream:
    """One side of a stream, as far as features."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, domain: str) -> None:
        self.reader = reader
        self.writer = writer
        self._domain = domain
        self._parser: Any = None
        self._gate, self._read = Gate(), 0

    async def features(self) -> Xml:
        """Begin a stream, and hear what the server offers."""
        self.writer.write(
            f"<?xml version='1.0'?><stream:stream to={quoteattr(self._domain)} version='1.0' xmlns='jabber:client' "
            f"xmlns:stream='{_STREAM}'>".encode()
        )
        self._parser = XMLPullParser(["end"])
        self._gate, self._read = Gate(), 0
        return await self._until(f"{{{_STREAM}}}features")

    async def start_tls(self, context: ssl.SSLContext) -> None:
        """Ask for TLS, and begin it."""
        self.writer.write(f"<starttls xmlns='{_TLS}'/>".encode())
        await self._until(f"{{{_TLS}}}proceed")
        await self.writer.start_tls(context, server_hostname=self._domain)

    async def _until(self, tag: str) -> Xml:
        while True:
            for _, found in self._parser.read_events():
                element = cast("Xml", found)
                if element.tag == tag:
                    return element
                if element.tag == f"{{{_STREAM}}}error":
                    said = next((child.tag.rpartition("}")[2] for child in element), "error")
                    raise OSError(f"the server ended the stream: {said}; does it serve {self._domain}?")
            data = await self.reader.read(4096)
            self._read += len(data)
            if not data or self._read > MAX_BYTES:
                raise EOFError("the server ended the connection, or said too much, before its features")
            if (complaint := self._gate.complaint(data)) is not None:
                raise OSError(complaint)
            self._parser.feed(data)


async def _talk(stream: _Stream, config: ComponentSettings, ca_file: Path | None) -> Greeting:
    first = await stream.features()
    starttls = first.find(f"{{{_TLS}}}starttls") is not None
    in_clear = _mechanisms(first)
    if config.jabber_tls is Tls.OFF or not starttls:
        return Greeting(
            starttls=starttls,
            in_clear=in_clear,
            mechanisms=in_clear,
            registration=first.find(_REGISTER) is not None,
        )
    try:
        await stream.start_tls(tls_context(ca_file))
    except ssl.SSLCertVerificationError as error:
        return Greeting(starttls=True, in_clear=in_clear, refused=error.verify_message)
    except ssl.SSLError as error:
        return Greeting(starttls=True, in_clear=in_clear, refused=str(error.reason or error))
    secured: ssl.SSLObject = stream.writer.get_extra_info("ssl_object")
    expiry = (secured.getpeercert() or {}).get("notAfter")
    second = await stream.features()
    return Greeting(
        starttls=True,
        in_clear=in_clear,
        expires=ssl.cert_time_to_seconds(expiry) if isinstance(expiry, str) else None,
        protocol=secured.version() or "",
        mechanisms=_mechanisms(second),
        registration=second.find(_REGISTER) is not None,
    )


def _mechanisms(features: Xml) -> tuple[str, ...]:
    return tuple(sorted(one.text or "" for one in features.iter(_MECHANISM)))
