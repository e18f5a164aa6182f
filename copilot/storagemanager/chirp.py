"""Outputs on a Chirp server: who may write there, and the contents where they are on another machine's disk."""

from __future__ import annotations

import asyncio
import hashlib
import secrets
import stat
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from fnmatch import fnmatchcase
from pathlib import Path

from copilot.errors import ConfigError, TransferRefused, TransferUnavailable
from copilot.files.area import SEALED, output_directory, output_name, sealed_name
from copilot.files.base import FileFacts
from copilot.files.chirp.client import ChirpClient
from copilot.files.chirp.protocol import DOES_NOT_EXIST, NOT_AUTHORIZED, NOT_DIRECTORY
from copilot.files.chirp.rights import WRITE, set_rights
from copilot.files.chirp.server import ChirpServer, code_of
from copilot.job import Output

OURS = "rwlda"  # what the manager needs on the server's root
_MISSING = (DOES_NOT_EXIST, NOT_DIRECTORY)  # the server says the latter of a directory that is not there
_PROBE = b"probe"


class AgentRights:
    """The right of agents to write into the directory of an attempt. Methods raise `TransferError`.

    A right that is withdrawn counts from the next request; what was opened before can be written until it is closed.
    """

    def __init__(self, server: ChirpServer, agents: Sequence[str]) -> None:
        """`agents` are the subjects that get the right, as `*_CHIRP_AGENTS` has them."""
        self._server = server
        self._agents = agents

    async def check(self) -> str:
        """Do all that outputs will need, once, in a place of our own; returns as whom the server knows us.

        Raises `TransferUnavailable` (trying again helps) and `ConfigError`.
        """
        who = await self._server.whoami()
        try:
            await self._server.mkdir(SEALED, exist_ok=True)
            await set_rights(self._server, SEALED, self._agents, "")
            await self._probe(f"{SEALED}/{secrets.token_hex(16)}")
        except TransferRefused as error:
            if await self._ought_to(who):
                with suppress(TransferRefused):  # one that was made on a full disk has an empty access list
                    await self._server.rmdir(SEALED)
                raise TransferUnavailable(
                    f"{error}; but {who} has all rights that it needs there, so the server's disk is probably full: make "
                    "room"
                ) from error
            raise ConfigError(
                f"the Chirp server knows us as {who}, and that lacks rights ({error}): put a line '{who} {OURS}' into the "
                f"file .__acl of the directory that it exports, remove '{SEALED}' there if it is empty, and start anew; "
                "the subjects of *_CHIRP_AGENTS are for agents and must not be what the manager is known by"
            ) from error
        return who

    async def _ought_to(self, who: str) -> bool:
        """Whether the root's access list gives us what we need: a server without space says otherwise. What it gives to
        a subject of the agents does not count, for where agents get no rights we take it from ourselves."""
        granted = await self._server.getacl("/")
        subjects = [one for one in granted if one not in self._agents and fnmatchcase(who, one)]
        return set(OURS) <= set("".join(granted[subject] for subject in subjects))

    async def allow(self, name: str) -> None:
        """Make the directory `name`, with the access list of the root, and let agents write there.

        A server whose disk was full, or that was killed, may have made it with an empty access list. Nobody can have
        written there, so it is made afresh.
        """
        await self._server.mkdir(name, exist_ok=True)
        try:
            await set_rights(self._server, name, self._agents, WRITE)
        except TransferRefused as error:
            if code_of(error) != NOT_AUTHORIZED:
                raise
            await self._server.remove_tree(name)
            await self._server.mkdir(name, exist_ok=True)
            await set_rights(self._server, name, self._agents, WRITE)

    async def withdraw(self, name: str) -> None:
        """Let agents write there no more. Where no directory is there are no rights."""
        try:
            await set_rights(self._server, name, self._agents, "")
        except TransferRefused as error:
            if code_of(error) not in _MISSING:
                raise

    async def remove(self, name: str) -> None:
        """Withdraw, and remove the directory with all that is in it. Idempotent.

        Its agent may have made directories in it, where it still may write: a name that nobody can guess ends that.
        """
        try:
            await self.withdraw(name)
        except TransferRefused as error:
            if code_of(error) != NOT_AUTHORIZED:  # its access list is empty, see `allow`
                raise
        gone = f"{SEALED}/{secrets.token_hex(16)}"
        try:
            await self._server.rename(name, gone)
        except TransferRefused as error:
            if code_of(error) in _MISSING:
                return
            if code_of(error) != NOT_AUTHORIZED:
                raise
            gone = name  # made on the disk, without an access list: nobody can write there
        await self._server.remove_tree(gone)

    async def _probe(self, name: str) -> None:
        await self.allow(name)
        await self._server.put(f"{name}/probe", len(_PROBE), _probe())
        await self._server.rename(f"{name}/probe", f"{name}/renamed")
        await self._server.read(f"{name}/renamed", 0, 1)
        await self.remove(name)


class ChirpStorage:
    """Contents by the protocol alone; implements `copilot.storagemanager.directories.Storage`."""

    def __init__(self, client: ChirpClient, host: str, port: int, rights: AgentRights, private: Path) -> None:
        """`private` is a directory of the manager's own. `client` is for contents: its connection is busy for long."""
        self._client = client
        self._server = client.server(host, port)
        self._base = f"chirp://{f'[{host}]' if ':' in host else host}:{port}"
        self._rights = rights
        self._private = private

    async def prepare(self, job: str, attempt: int) -> None:
        """See the port."""
        await self._rights.allow(output_directory(job, attempt))

    async def seal(self, job: str, attempt: int) -> FileFacts | None:
        """See the port. Who has the file open still may write: then `fetch` finds another hash."""
        uploaded, sealed = output_name(job, attempt), sealed_name(job, attempt)
        await self._rights.withdraw(output_directory(job, attempt))
        if await self._is_file(uploaded):
            await self._server.rename(uploaded, sealed)
        return await self._facts(sealed) if await self._is_file(sealed) else None

    async def fetch(self, job: str, attempt: int, output: Output) -> Path:
        """See the port. Raises `TransferCorrupt` if it is not what was sealed."""
        path = self._private_path(job, attempt)
        source = f"{self._base}/{sealed_name(job, attempt)}"
        try:
            await self._client.get(source, path, size=output.size, sha256=output.sha256)
        except TransferRefused as error:
            if code_of(error) not in _MISSING:
                raise
        return path

    async def keep(self, job: str, attempt: int, package: bytes) -> Path:
        """See the port."""
        path = self._private_path(job, attempt)
        await asyncio.to_thread(path.write_bytes, package)
        return path

    async def drop(self, job: str, attempt: int) -> None:
        """See the port."""
        await self._rights.remove(output_directory(job, attempt))
        if await self._is_file(sealed_name(job, attempt)):
            await self._server.unlink(sealed_name(job, attempt))
        self._private_path(job, attempt).unlink(missing_ok=True)

    def _private_path(self, job: str, attempt: int) -> Path:
        return self._private / f"{output_directory(job, attempt)}.tgz"

    async def _is_file(self, path: str) -> bool:
        """Whether a plain file is there: a link that an agent left could lead to what it may not read."""
        try:
            return stat.S_ISREG((await self._server.lstat(path)).mode)
        except TransferRefused as error:
            if code_of(error) in _MISSING:
                return False
            raise

    async def _facts(self, path: str) -> FileFacts:
        digest = hashlib.sha256()

        async def update(block: bytes) -> None:
            digest.update(block)

        return FileFacts(size=await self._server.get(path, update), sha256=digest.hexdigest())


async def _probe() -> AsyncIterator[bytes]:
    yield _PROBE
