"""Inputs of jobs onto a Chirp server, from a machine that has not the directory which that server exports."""

from __future__ import annotations

import asyncio
import hashlib
import stat
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

from copilot.errors import TransferRefused
from copilot.files.area import input_directory, input_name
from copilot.files.base import FileFacts
from copilot.files.chirp.client import ChirpClient
from copilot.files.chirp.protocol import DEFAULT_PORT, DOES_NOT_EXIST
from copilot.files.chirp.rights import READ, is_ticket, set_rights
from copilot.files.chirp.server import code_of
from copilot.files.disk import disk_errors, open_file


class ChirpStaging:
    """Implements `copilot.files.staging.Staging`; `client` stays the caller's.

    The directory of a job has the access list of the server's root, and the right to read for `agents`.
    """

    def __init__(
        self, client: ChirpClient, host: str, port: int = DEFAULT_PORT, *, agents: Sequence[str]
    ) -> None:
        self._client = client
        self._server = client.server(host, port)
        self._base = f"chirp://{f'[{host}]' if ':' in host else host}:{port}"
        self._agents = agents

    async def store(self, job: str, name: str, source: Path) -> FileFacts:
        """See the port."""
        *parents, _ = input_name(job, name).split("/")
        path = await asyncio.to_thread(source.resolve)
        facts = await asyncio.to_thread(_facts, path)
        await self._server.mkdir(parents[0], exist_ok=True)
        await set_rights(self._server, parents[0], self._agents, READ)  # before what inherits them
        for depth in range(2, len(parents) + 1):
            await self._server.mkdir("/".join(parents[:depth]), exist_ok=True)
        await self._client.put(path, f"{self._base}/{quote(input_name(job, name))}", facts=facts)
        return facts

    async def adopt(self, job: str) -> bool:
        """See the port."""
        new = input_directory(job)
        if not await self._is_directory(new) and await self._is_directory(job):
            with suppress(
                TransferRefused
            ):  # another manager may be faster; what else it may be is seen below
                await self._server.rename(job, new)
        if not await self._is_directory(new):
            return False
        await self._let_read(new)
        return True

    async def _is_directory(self, path: str) -> bool:
        try:
            return stat.S_ISDIR((await self._server.lstat(path)).mode)
        except TransferRefused as error:
            if code_of(error) != DOES_NOT_EXIST:
                raise
            return False

    async def _let_read(self, path: str) -> None:
        await set_rights(self._server, path, self._agents, READ)
        for name, facts in (await self._server.list(path)).items():
            if stat.S_ISDIR(facts.mode):
                await self._let_read(f"{path}/{name}")

    async def drop(self, job: str) -> None:
        """See the port."""
        name = input_directory(job)
        await set_rights(self._server, name, [item for item in self._agents if is_ticket(item)], "")
        try:
            await self._server.remove_tree(name)
        except TransferRefused as error:
            if code_of(error) != DOES_NOT_EXIST:
                raise


def _facts(path: Path) -> FileFacts:
    with disk_errors(f"reading {path}"), open_file(str(path)) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileFacts(size=file.tell(), sha256=digest)
