"""Files by `chirp://host[:port]/path` URLs, as the agents and managers of 2011 exchange them."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from pathlib import Path
from urllib.parse import unquote, urlsplit

from copilot.errors import TransferError, TransferRefused
from copilot.files.base import FileFacts, public_url
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.protocol import DEFAULT_PORT, encode_path
from copilot.files.chirp.server import STALL, ChirpServer
from copilot.files.newfile import TEMPORARY_PREFIX, TEMPORARY_SUFFIX, NewFile
from copilot.files.spool import Spool
from copilot.files.upload import Upload

CLEANING = 5.0  # seconds for removing what a failed upload left


class ChirpClient:
    """A `FileClient` for `chirp:` URLs: one connection for each server. Belongs to one event loop.

    What breaks is not tried again here; the caller decides. `stall` in seconds: see `ChirpServer`.
    """

    def __init__(self, *, credentials: Credentials | None = None, stall: float = STALL) -> None:
        self._credentials = credentials
        self._stall = stall
        self._servers: dict[tuple[str, int], ChirpServer] = {}
        self._renaming: dict[
            ChirpServer, tuple[str | None, bool]
        ] = {}  # the last directory, and whether we may there

    async def get(
        self, url: str, path: Path, *, size: int | None = None, sha256: str | None = None
    ) -> FileFacts:
        server, source = self._locate(url)
        with NewFile.at(path) as new:
            async with Spool(new.write_parts) as spool:
                await server.get(source, spool.add, size=size)
            new.check(public_url(url), size=size, sha256=sha256)
            new.commit(durable=False)
        return new.facts

    async def put(self, path: Path, url: str, *, facts: FileFacts) -> None:
        server, target = self._locate(url)
        with Upload(path, facts) as upload:
            if await self._may_rename(server, target):
                await _put_and_rename(server, upload, facts, target)
            else:
                # Managers of 2011 give agents the right to write and no other. Then the name appears before the
                # file is complete, and the manager must look at size and hash (ours does).
                await server.put(target, facts.size, upload.blocks(_nothing))

    async def _may_rename(self, server: ChirpServer, target: str) -> bool:
        """Ask once for many files in one directory. Should the right go meanwhile, the rename is refused."""
        directory = _beside(target, "")
        known, allowed = self._renaming.get(server, (None, False))
        if known != directory:
            allowed = await server.may_rename(_beside(target, _temporary_name()), target)
            self._renaming[server] = directory, allowed
        return allowed

    async def close(self) -> None:
        self._renaming.clear()
        while self._servers:
            _, server = self._servers.popitem()
            await server.close()

    def server(self, host: str, port: int = DEFAULT_PORT) -> ChirpServer:
        """For what a `FileClient` cannot do: directories and rights. Closed with this client."""
        if (host, port) not in self._servers:
            self._servers[host, port] = ChirpServer(
                host, port, credentials=self._credentials, stall=self._stall
            )
        return self._servers[host, port]

    def _locate(self, url: str) -> tuple[ChirpServer, str]:
        """The server of `url`, and its path there."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port or DEFAULT_PORT
            path = unquote(parts.path, errors="strict").removeprefix("/")
            if (
                parts.scheme != "chirp"
                or not host
                or "@" in parts.netloc
                or parts.query
                or parts.fragment
                or not path
            ):
                raise ValueError("expected chirp://host[:port]/path, without user, query or fragment")
        except ValueError as error:
            raise TransferRefused(f"{public_url(url)}: {error}") from error
        encode_path(path)
        return self.server(host, port), path


async def _put_and_rename(server: ChirpServer, upload: Upload, facts: FileFacts, target: str) -> None:
    temporary = _beside(target, _temporary_name())
    try:
        await server.put(temporary, facts.size, upload.blocks(_nothing))
        await server.rename(temporary, target)
    except BaseException:
        with suppress(TransferError, TimeoutError):
            async with asyncio.timeout(CLEANING):
                await server.unlink(temporary)
        raise


def _beside(target: str, name: str) -> str:
    directory, slash, _ = target.rpartition("/")
    return f"{directory}{slash}{name}"


def _temporary_name() -> str:
    return f"{TEMPORARY_PREFIX}{secrets.token_hex(8)}{TEMPORARY_SUFFIX}"


def _nothing() -> None:
    """`Upload` tells of its progress; here each wait is limited instead."""
