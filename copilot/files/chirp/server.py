"""One Chirp server as we use it: operations on paths, over one connection that is made when it is needed.

What breaks off fails with `TransferUnavailable`, and the next call connects anew; nothing is sent twice by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

from copilot.errors import TransferCorrupt, TransferRefused
from copilot.files.chirp import protocol
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.connection import Connection
from copilot.files.chirp.incoming import Incoming
from copilot.files.chirp.protocol import NotChirp, ServerError, Stat, encode_path, request
from copilot.files.chirp.ticket import Ticket

STALL = 60.0  # seconds without a byte in either direction, after which the server counts as away
MAX_IDLE = 45.0  # seconds; chirp_server closes idle connections after 60 (its --idle-clients)
FILE_MODE = 0o600
DIRECTORY_MODE = 0o755
MAX_SUBJECT = 256  # bytes

T = TypeVar("T")
Write = Callable[[bytes], Awaitable[None]]
Work = Callable[[Connection], Awaitable[T]]


class ChirpServer:
    """Belongs to one event loop. Paths are absolute or relative to the server's root, not percent-encoded.

    All errors are `TransferError`s; those that the server answered have a ServerError with its number as cause.
    """

    def __init__(
        self,
        host: str,
        port: int = protocol.DEFAULT_PORT,
        *,
        credentials: Credentials | None = None,
        stall: float = STALL,
    ) -> None:
        """`stall` in seconds limits each wait for the server, not a whole transfer."""
        self._host = host
        self._port = port
        self._credentials = credentials or Credentials()
        self._stall = stall
        self._connecting = asyncio.Lock()
        self._connection: Connection | None = None

    async def get(self, path: str, write: Write, *, size: int | None = None) -> int:
        """Hand the contents of `path` to `write`, in blocks; returns their size in bytes.

        If the server announces another `size`, nothing is fetched and TransferCorrupt raised.
        """

        async def read(incoming: Incoming) -> int:
            found = await incoming.number()
            if found > protocol.MAX_SIZE:
                raise NotChirp(f"a size of {found} bytes")
            if size is not None and found != size:
                raise TransferCorrupt(
                    f"{self._url(path)}: holds {found} bytes, {size} were announced; have it announced anew"
                )
            left = found
            while left:
                block = await incoming.some(left)
                left -= len(block)
                await write(block)
            return found

        return await self._ask(path, read, "getfile", encode_path(path))

    async def read(self, path: str, start: int, length: int) -> bytes:
        """At most `length` bytes of `path` from offset `start`: fewer at its end. The caller bounds `length`."""
        line = request("open", encode_path(path), "r", 0)

        async def work(connection: Connection) -> bytes:
            descriptor = await connection.ask(line, _opened)
            try:
                return await connection.ask(request("pread", descriptor, length, start), _data(length))
            finally:
                await connection.ask(request("close", descriptor), _nothing)

        return await self._work(path, work)

    async def put(self, path: str, size: int, contents: AsyncIterator[bytes]) -> None:
        """Store `contents`, which are `size` bytes, at `path`. If this fails, part of them may lie there."""
        line = request("putfile", encode_path(path), FILE_MODE, size)
        stored = await self._work(path, lambda connection: connection.give(line, contents))
        if stored != size:
            raise TransferCorrupt(
                f"{self._url(path)}: the server says that it stored {stored} of {size} bytes; put it again"
            )

    async def stat(self, path: str) -> Stat:
        """Facts about a file or directory; symlinks are followed."""
        return await self._ask(path, _stat, "stat", encode_path(path))

    async def lstat(self, path: str) -> Stat:
        """Facts about a file, directory or symlink, which is not followed."""
        return await self._ask(path, _stat, "lstat", encode_path(path))

    async def list(self, path: str) -> dict[str, Stat]:
        """What is in a directory, by name, without `.` and `..`."""
        return await self._ask(path, _entries, "getlongdir", encode_path(path))

    async def mkdir(self, path: str, *, exist_ok: bool = False) -> None:
        """Make a directory, whose access list is a copy of its parent's."""
        try:
            await self._ask(path, _nothing, "mkdir", encode_path(path), DIRECTORY_MODE)
        except TransferRefused as error:
            if not (exist_ok and code_of(error) == protocol.EXISTS):
                raise

    async def rmdir(self, path: str) -> None:
        """Remove an empty directory."""
        await self._ask(path, _nothing, "rmdir", encode_path(path))

    async def remove_tree(self, path: str) -> None:
        """Remove a file, or a directory with all that is in it."""
        await self._ask(path, _nothing, "rmall", encode_path(path))

    async def unlink(self, path: str) -> None:
        """Remove a file."""
        await self._ask(path, _nothing, "unlink", encode_path(path))

    async def rename(self, old: str, new: str) -> None:
        """Give `old` the name `new`, replacing what bears it."""
        await self._ask(old, _nothing, "rename", encode_path(old), encode_path(new))

    async def may_rename(self, missing: str, new: str) -> bool:
        """Whether we may give files beside `missing`, a name that does not exist, the name `new`.

        The server looks at rights before it looks for the file.
        """
        try:
            await self.rename(missing, new)
        except TransferRefused as error:
            if code_of(error) == protocol.DOES_NOT_EXIST:
                return True
            if code_of(error) == protocol.NOT_AUTHORIZED:
                return False
            raise
        return True

    async def getacl(self, path: str) -> dict[str, str]:
        """Who has which rights on a directory."""
        return await self._ask(path, _access_list, "getacl", encode_path(path))

    async def setacl(self, path: str, subject: str, rights: str) -> None:
        """Give `subject` just these rights (letters of `rwldpaxv`) on a directory; the empty text takes all away.

        It counts for the next request, also on connections that are open; a transfer under way goes on.
        """
        words = encode_path(path), protocol.check_subject(subject), protocol.check_rights(rights)
        await self._ask(path, _nothing, "setacl", *words)

    async def whoami(self) -> str:
        """Our subject, as the server's access lists know us."""
        return await self._ask("", _text, "whoami", MAX_SUBJECT)

    async def register_ticket(self, ticket: Ticket, lifetime: int) -> None:
        """Make `ticket` valid for `lifetime` seconds. It has our rights, within those that `grant_ticket` names."""
        line = request("ticket_register", "self", lifetime, len(ticket.public_pem)) + ticket.public_pem
        await self._work("", lambda connection: connection.ask(line, _nothing))

    async def grant_ticket(self, subject: str, path: str, rights: str) -> None:
        """Let bearers of the ticket `subject` (`Ticket.subject`) use these of our rights in the directory `path`; the
        empty text takes all away. The ticket remembers each directory for good, those without rights included."""
        words = protocol.check_subject(subject), encode_path(path), protocol.check_rights(rights)
        await self._ask(path, _nothing, "ticket_modify", *words)

    async def delete_ticket(self, ticket: Ticket) -> None:
        """Make `ticket` invalid, also for those who have logged in with it."""
        await self._ask("", _nothing, "ticket_delete", ticket.subject)

    async def close(self) -> None:
        """Give the connection back. Idempotent; a later call connects anew."""
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.close()

    async def _ask(self, path: str, read: Callable[[Incoming], Awaitable[T]], *words: str | int) -> T:
        line = request(*words)
        return await self._work(path, lambda connection: connection.ask(line, read))

    async def _work(self, path: str, work: Work[T]) -> T:
        try:
            return await work(await self._connected())
        except ServerError as error:
            raise protocol.meaning(error, self._url(path)) from error

    async def _connected(self) -> Connection:
        async with self._connecting:
            connection = self._connection
            if connection is not None and connection.usable and connection.idle < MAX_IDLE:
                return connection
            await self.close()
            self._connection = await Connection.open(
                self._host, self._port, self._credentials, stall=self._stall
            )
            return self._connection

    def _url(self, path: str) -> str:
        shown = path if path.isprintable() else ascii(path)
        return f"chirp://{self._host}:{self._port}/{shown.lstrip('/')}"


def code_of(error: BaseException) -> int | None:
    """The server's error number, if `error` is what the server answered."""
    return error.__cause__.code if isinstance(error.__cause__, ServerError) else None


async def _nothing(incoming: Incoming) -> None:
    await incoming.number()


async def _stat(incoming: Incoming) -> Stat:
    await incoming.number()
    return Stat.parse(await incoming.line())


async def _opened(incoming: Incoming) -> int:
    descriptor = await incoming.number()
    await incoming.line()  # the file's facts
    return descriptor


def _data(at_most: int) -> Callable[[Incoming], Awaitable[bytes]]:
    async def read(incoming: Incoming) -> bytes:
        size = await incoming.number()
        if size > at_most:
            raise NotChirp(f"{size} bytes where at most {at_most} were asked for")
        return await incoming.exactly(size)

    return read


async def _text(incoming: Incoming) -> str:
    return (await _data(MAX_SUBJECT)(incoming)).decode("ascii", errors="replace")


async def _lines(incoming: Incoming) -> AsyncIterator[bytes]:
    """The lines of a list, which an empty one ends."""
    await incoming.number()
    for _ in range(protocol.MAX_ENTRIES):
        if not (line := await incoming.line()):
            return
        yield line
    raise NotChirp(f"a list of more than {protocol.MAX_ENTRIES} lines")


async def _entries(incoming: Incoming) -> dict[str, Stat]:
    found = {}
    async for name in _lines(incoming):
        found[name.decode(errors="surrogateescape")] = Stat.parse(await incoming.line())
    return {name: stat for name, stat in found.items() if name not in (".", "..")}


async def _access_list(incoming: Incoming) -> dict[str, str]:
    found = {}
    async for line in _lines(incoming):
        subject, _, rights = line.decode("ascii", errors="replace").rpartition(" ")
        found[subject] = rights
    return found
