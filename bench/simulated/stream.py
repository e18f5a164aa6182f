"""The XMPP session of one simulated agent: connect, TLS, SCRAM-SHA-1, resource, presence; then bytes in and bytes out.

The socket never blocks. Whoever owns the stream calls `readable` and `writable` when the kernel says so; the log-in is a
generator that goes on each time that something has come.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import re
import secrets
import socket
import ssl
from base64 import b64decode, b64encode
from collections.abc import Generator
from dataclasses import dataclass
from typing import TypeVar

READ_BYTES = 64 * 1024
PASSING = (ssl.SSLWantReadError, ssl.SSLWantWriteError, BlockingIOError)

_CHALLENGE = re.compile(rb"<challenge[^>]*>([^<]*)</challenge>")
_SUCCESS = re.compile(rb"<success[^>]*>([^<]*)</success>")


_T = TypeVar("_T")
Steps = Generator[None, None, _T]  # of a log-in; each yield waits for the server


class Closed(Exception):
    """The server is not there, has gone, or has refused us."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """Where to log in. `manager` is the bare JID that is told of us by directed presence."""

    host: str
    port: int
    domain: str
    manager: str
    tls: ssl.SSLContext


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who logs in."""

    name: str
    password: str


class Stream:
    """One connection and the session that comes of it. `up` as soon as stanzas may be said."""

    def __init__(self, server: Server, account: Account, resource: str) -> None:
        self._server = server
        self._account = account
        self._resource = resource
        self._out = bytearray()
        self._in = b""
        self._keys: dict[tuple[bytes, int], bytes] = {}
        self.up = False
        self.attempt = 0
        self.socket: socket.socket | None = None
        self._login: Steps[None] | None = None

    def connect(self) -> int:
        """Begin anew; returns the file descriptor to watch."""
        self.close()
        self.attempt += 1
        raw = socket.socket()
        raw.setblocking(False)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(BlockingIOError):
            raw.connect((self._server.host, self._server.port))
        self.socket = raw
        self._login = self._log_in()
        return raw.fileno()

    def close(self) -> None:
        """Let go of the connection without a word, as a cut does."""
        if self.socket is not None:
            self.socket.close()
        self.socket, self.up = None, False
        self._out.clear()
        self._in = b""

    @property
    def unsent(self) -> bool:
        """Whether something waits until the socket can take it."""
        return bool(self._out)

    @property
    def logging_in(self) -> bool:
        """Whether there is a connection whose log-in has not come to its end."""
        return self.socket is not None and not self.up

    def send(self, data: bytes) -> None:
        """Say something now, or as soon as it goes. Raises `Closed`."""
        if self._out:
            self._out += data
            return
        sent = self._write(data)
        if sent < len(data):
            self._out += data[sent:]

    def writable(self) -> None:
        """The socket takes something. Raises `Closed`."""
        if self._out:
            del self._out[: self._write(bytes(self._out))]
        elif not self.up:
            self._go_on()

    def readable(self) -> bytes:
        """What has come of the session; nothing as long as it is not up. Raises `Closed`."""
        assert self.socket is not None
        if not self.up and isinstance(self.socket, ssl.SSLSocket) and self.socket.version() is None:
            return self._go_on()  # the handshake reads by itself
        try:
            data = self.socket.recv(READ_BYTES)
        except PASSING:
            return b""
        except OSError as error:
            raise Closed(str(error)) from error
        if not data:
            raise Closed("the server has closed the connection")
        return data if self.up else self._go_on(data)

    def _write(self, data: bytes) -> int:
        assert self.socket is not None
        try:
            return self.socket.send(data)
        except PASSING:
            return 0
        except OSError as error:
            raise Closed(str(error)) from error

    def _go_on(self, data: bytes = b"") -> bytes:
        """With the log-in; returns what has come after its end."""
        assert self._login is not None
        self._in += data
        try:
            next(self._login)
        except StopIteration:
            self.up = True
            rest, self._in = self._in, b""
            return rest
        except OSError as error:
            raise Closed(str(error)) from error
        return b""

    def _log_in(self) -> Steps[None]:
        """Yields whenever it has to wait for the server."""
        assert self.socket is not None
        yield from self._open()
        self.send(b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")
        yield from self._until(b"/>")
        self.socket = self._server.tls.wrap_socket(
            self.socket, server_hostname=self._server.domain, do_handshake_on_connect=False
        )
        yield from self._shake_hands(self.socket)
        yield from self._open()
        yield from self._authenticate()
        yield from self._open()
        self.send(
            b"<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            b"<resource>%s</resource></bind></iq>" % self._resource.encode()
        )
        yield from self._until(b"</iq>")
        self.send(b"<presence><priority>0</priority></presence>")
        yield from self._until(b"</presence>")  # the echo (RFC 6121, 4.2.2)
        self.send(b"<presence to='%s'/>" % self._server.manager.encode())

    def _open(self) -> Steps[None]:
        self.send(
            b"<stream:stream to='%s' version='1.0' xmlns='jabber:client' "
            b"xmlns:stream='http://etherx.jabber.org/streams'>" % self._server.domain.encode()
        )
        yield from self._until(b"</stream:features>")

    @staticmethod
    def _shake_hands(wrapped: ssl.SSLSocket) -> Steps[None]:
        while True:
            try:
                return wrapped.do_handshake()
            except PASSING:
                yield

    def _authenticate(self) -> Steps[None]:
        """SCRAM-SHA-1 (RFC 5802)."""
        first = f"n={self._account.name},r={secrets.token_hex(12)}".encode()
        self.send(
            b"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-1'>%s</auth>"
            % b64encode(b"n,," + first)
        )
        challenge = b64decode((yield from self._answer(_CHALLENGE)))
        fields = dict(part.split(b"=", 1) for part in challenge.split(b","))
        salted = self._salted(b64decode(fields[b"s"]), int(fields[b"i"]))
        client_key = hmac.digest(salted, b"Client Key", "sha1")
        last = b"c=biws,r=" + fields[b"r"]
        signed = b",".join((first, challenge, last))
        signature = hmac.digest(hashlib.sha1(client_key, usedforsecurity=False).digest(), signed, "sha1")
        proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
        self.send(
            b"<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>%s</response>"
            % b64encode(last + b",p=" + b64encode(proof))
        )
        said = b64decode((yield from self._answer(_SUCCESS)))
        expected = hmac.digest(hmac.digest(salted, b"Server Key", "sha1"), signed, "sha1")
        if said != b"v=" + b64encode(expected):
            raise Closed("the server does not know our password")

    def _salted(self, salt: bytes, rounds: int) -> bytes:
        """Kept for the next log-in, as good clients do."""
        if (salt, rounds) not in self._keys:
            self._keys = {
                (salt, rounds): hashlib.pbkdf2_hmac("sha1", self._account.password.encode(), salt, rounds)
            }
        return self._keys[salt, rounds]

    def _answer(self, pattern: re.Pattern[bytes]) -> Steps[bytes]:
        while (found := pattern.search(self._in)) is None:
            self._check()
            yield
        self._in = self._in[found.end() :]
        return found[1]

    def _until(self, end: bytes) -> Steps[None]:
        while end not in self._in:
            self._check()
            yield
        self._in = self._in.partition(end)[2]

    def _check(self) -> None:
        for sign in (b"<failure", b"<stream:error"):
            if sign in self._in:
                raise Closed(f"the server refuses the log-in: {self._in[:300]!r}")
