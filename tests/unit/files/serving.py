"""A running file server over TLS, and a client that trusts it, for the tests."""

from __future__ import annotations

import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from copilot.clock import SystemClock
from copilot.files.area import FileArea
from copilot.files.base import FileFacts
from copilot.files.server import FileServer
from copilot.files.signing import UrlSigner, Verifier
from copilot.local.certificates import ensure

SECRET = b"a secret of the tests, 32 bytes."
HOST = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class Served:
    """What a test needs of a running file server."""

    area: FileArea
    server: FileServer
    port: int
    signer: UrlSigner
    ca_file: Path | None

    def signer_at(self, port: int) -> UrlSigner:
        """Signs URLs of the same server behind another port."""
        return UrlSigner(f"{'https' if self.ca_file else 'http'}://{HOST}:{port}", SECRET, SystemClock())


@asynccontextmanager
async def serving(directory: Path, *, tls: bool = True, stall: float = 20.0) -> AsyncIterator[Served]:
    root = directory / "area"
    root.mkdir()
    area = FileArea(root)
    (directory / "done").mkdir()
    server = FileServer(area, Verifier([SECRET]), clock=SystemClock(), done=directory / "done", stall=stall)
    context = ca_file = None
    if tls:
        certificates = ensure(directory / "tls", [HOST])
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificates.cert_file, certificates.key_file)
        ca_file = certificates.ca_file
    port = await server.start(HOST, 0, context)
    signer = UrlSigner(f"{'https' if tls else 'http'}://{HOST}:{port}", SECRET, SystemClock())
    try:
        yield Served(area=area, server=server, port=port, signer=signer, ca_file=ca_file)
    finally:
        await server.stop()


def facts_of(data: bytes) -> FileFacts:
    return FileFacts(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def make_file(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def names_below(directory: Path) -> set[str]:
    """All files below `directory`, hidden ones too, so that a forgotten temporary file shows."""
    return {str(path.relative_to(directory)) for path in directory.rglob("*") if not path.is_dir()}
