"""The Chirp server of a conversation: what an operator does there, and what a program of 2011 does."""

from __future__ import annotations

import gzip
import io
import socket
import tarfile
from collections.abc import AsyncIterator, Mapping

from copilot.errors import TransferRefused
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.server import ChirpServer
from copilot.local.chirp import Chirp

AGENTS = ("hostname:*", "address:*")  # as whom programs of 2011 come


class ChirpFiles:
    """Its files, seen by an operator (all rights) and by agents (those that they were given)."""

    def __init__(self, chirp: Chirp) -> None:
        self._operator = ChirpServer(
            "127.0.0.1", chirp.port, credentials=Credentials(methods=("unix",), challenges=chirp.challenges)
        )
        self._agent = ChirpServer("127.0.0.1", chirp.port, credentials=Credentials(methods=("address",)))

    async def trust_managers(self) -> None:
        """Give our managers, who come by `hostname`, the rights that they need."""
        host = socket.gethostbyaddr("127.0.0.1")[0]
        await self._operator.setacl("/", f"hostname:{host}", "rwlda")

    async def directory(self, path: str, rights: str) -> None:
        """Make a directory where agents have these rights, as managers of 2011 did."""
        await self._operator.mkdir(path)
        for subject in AGENTS:
            await self._operator.setacl(path, subject, rights)

    async def write(self, path: str, text: str) -> None:
        """The operator puts a file there."""
        await _put(self._operator, path, text.encode())

    async def members(self, path: str) -> dict[str, str]:
        """The files in a packed output, read by the operator."""
        return unpacked(await _get(self._operator, path))

    async def fetch(self, path: str) -> str:
        """An agent of 2011 fetches a file."""
        return (await _get(self._agent, path)).decode()

    async def upload(self, path: str, members: Mapping[str, str]) -> None:
        """An agent of 2011 packs and uploads."""
        await _put(self._agent, path, packed(members))

    async def may_upload(self, path: str) -> bool:
        """Whether an agent of 2011 could."""
        try:
            await self.upload(path, {"./late": "late"})
        except TransferRefused:
            return False
        return True

    async def close(self) -> None:
        """Give the connections back."""
        await self._operator.close()
        await self._agent.close()


def packed(members: Mapping[str, str]) -> bytes:
    """A gzipped tar file of text files."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as package:
        for name, text in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(text.encode())
            package.addfile(member, io.BytesIO(text.encode()))
    return file.getvalue()


def unpacked(content: bytes) -> dict[str, str]:
    """The files in a gzipped tar file."""
    with tarfile.open(fileobj=io.BytesIO(gzip.decompress(content))) as package:
        files = {member.name: package.extractfile(member) for member in package if member.isfile()}
        return {name: file.read().decode() for name, file in files.items() if file}


async def _put(server: ChirpServer, path: str, content: bytes) -> None:
    async def blocks() -> AsyncIterator[bytes]:
        yield content

    await server.put(path, len(content), blocks())


async def _get(server: ChirpServer, path: str) -> bytes:
    found = bytearray()

    async def write(block: bytes) -> None:
        found.extend(block)

    await server.get(path, write)
    return bytes(found)
