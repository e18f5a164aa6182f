"""Chirp as an fsspec filesystem: `fsspec.open("chirp://host[:port]/path")`, for pandas, dask and the like.

For programs of users, with the extra `remote`; no component imports this module.
"""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import fsspec
from fsspec.asyn import AsyncFileSystem, sync
from fsspec.spec import AbstractBufferedFile

from copilot.errors import TransferRefused
from copilot.files.base import BLOCK, FileFacts
from copilot.files.chirp.authentication import Credentials
from copilot.files.chirp.client import ChirpClient
from copilot.files.chirp.protocol import (
    DEFAULT_PORT,
    DOES_NOT_EXIST,
    EXISTS,
    IS_DIRECTORY,
    NOT_AUTHORIZED,
    NOT_DIRECTORY,
    Stat,
)
from copilot.files.chirp.server import code_of

_OS_ERRORS: dict[int | None, type[OSError]] = {
    NOT_AUTHORIZED: PermissionError,
    DOES_NOT_EXIST: FileNotFoundError,
    EXISTS: FileExistsError,
    IS_DIRECTORY: IsADirectoryError,
    NOT_DIRECTORY: NotADirectoryError,
}


class ChirpFileSystem(AsyncFileSystem):  # type: ignore[misc]  # fsspec has no types
    """One Chirp server. Paths have no scheme and no host; errors are `OSError`s where Python has one, else ours.

    `credentials`: see `copilot.files.chirp.authentication`.
    """

    protocol = "chirp"
    root_marker = "/"

    def __init__(
        self,
        host: str,
        port: int = DEFAULT_PORT,
        credentials: Credentials | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._base = f"chirp://{host}:{port}"
        self._client = ChirpClient(credentials=credentials)
        self._server = self._client.server(host, port)

    @classmethod
    def _strip_protocol(cls, path: Any) -> Any:
        if isinstance(path, list):
            return [cls._strip_protocol(one) for one in path]
        text = str(path)
        if text.startswith("chirp://"):
            text = text.removeprefix("chirp://").partition("/")[2]
        return "/" + text.strip("/")

    @staticmethod
    def _get_kwargs_from_urls(path: str) -> dict[str, Any]:
        parts = urlsplit(path)
        return {"host": parts.hostname, "port": parts.port or DEFAULT_PORT}

    def close(self) -> None:
        """Give the connection back; the next call connects anew."""
        sync(self.loop, self._server.close)

    async def _info(self, path: str, **_: Any) -> dict[str, Any]:
        path = self._strip_protocol(path)
        with _os_errors():
            return _entry(path, await self._server.stat(path))

    async def _ls(self, path: str, detail: bool = True, **_: Any) -> list[Any]:
        path = self._strip_protocol(path)
        with _os_errors():
            found = await self._server.list(path)
        entries = [_entry(f"{path.rstrip('/')}/{name}", stat) for name, stat in sorted(found.items())]
        return entries if detail else [entry["name"] for entry in entries]

    async def _cat_file(self, path: str, start: int | None = None, end: int | None = None, **_: Any) -> bytes:
        path = self._strip_protocol(path)
        with _os_errors():
            size = (await self._server.stat(path)).size
            first, last, _step = slice(start, end).indices(size)
            data = bytearray()
            while first + len(data) < last:
                block = await self._server.read(path, first + len(data), min(BLOCK, last - first - len(data)))
                if not block:
                    break  # it became shorter
                data += block
        return bytes(data)

    async def _get_file(self, rpath: str, lpath: str, **_: Any) -> None:
        with _os_errors():
            await self._client.get(self._url(rpath), Path(lpath))

    async def _put_file(self, lpath: str, rpath: str, mode: str = "overwrite", **_: Any) -> None:
        if mode == "create" and await self._exists(rpath):
            raise FileExistsError(rpath)
        facts = await asyncio.to_thread(_facts, Path(lpath))
        with _os_errors():
            await self._client.put(Path(lpath), self._url(rpath), facts=facts)

    async def _pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **_: Any) -> None:
        with tempfile.NamedTemporaryFile() as file:
            file.write(value)
            file.flush()
            await self._put_file(file.name, path, mode=mode)

    async def _mkdir(self, path: str, create_parents: bool = True, **_: Any) -> None:
        path = self._strip_protocol(path)
        if create_parents and (parent := self._parent(path)) != self.root_marker:
            await self._makedirs(parent, exist_ok=True)
        with _os_errors():
            await self._server.mkdir(path)

    async def _makedirs(self, path: str, exist_ok: bool = False) -> None:
        parts = self._strip_protocol(path).strip("/").split("/")
        with _os_errors():
            for count in range(1, len(parts)):
                await self._server.mkdir("/".join(parts[:count]), exist_ok=True)
            await self._server.mkdir("/".join(parts), exist_ok=exist_ok)

    async def _rm_file(self, path: str, **_: Any) -> None:
        path = self._strip_protocol(path)
        directory = (await self._info(path))[
            "type"
        ] == "directory"  # `rm(recursive=True)` comes here for both
        with _os_errors():
            await (self._server.rmdir(path) if directory else self._server.unlink(path))

    async def _rmdir(self, path: str) -> None:
        with _os_errors():
            await self._server.rmdir(self._strip_protocol(path))

    async def _mv(self, path1: str, path2: str) -> None:
        with _os_errors():
            await self._server.rename(self._strip_protocol(path1), self._strip_protocol(path2))

    def mv(self, path1: str, path2: str, **_: Any) -> None:
        """Rename on the server; fsspec's own copies and removes, through us."""
        sync(self.loop, self._mv, path1, path2)

    async def _cp_file(self, path1: str, path2: str, **_: Any) -> None:
        with tempfile.TemporaryDirectory() as directory:
            copy = str(Path(directory) / "copy")
            await self._get_file(path1, copy)
            await self._put_file(copy, path2)

    def _open(self, path: str, mode: str = "rb", **options: Any) -> Any:
        if mode not in ("rb", "wb"):
            raise ValueError(f"{path}: mode {mode!r}; expected rb or wb, for Chirp files are stored whole")
        size = self.info(path)["size"] if mode == "rb" else None
        return _File(self, path, mode, size=size, **options)

    def _url(self, path: str) -> str:
        return f"{self._base}{quote(self._strip_protocol(path))}"


class _File(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """An open file: read in the ranges that fsspec's caches ask for; written to a local one, stored when complete."""

    def _fetch_range(self, start: int, end: int) -> Any:
        return self.fs.cat_file(self.path, start, end)

    def _initiate_upload(self) -> None:
        self._local = tempfile.NamedTemporaryFile()  # noqa: SIM115 - closed by commit or discard

    def _upload_chunk(self, final: bool = False) -> bool:
        self._local.write(self.buffer.getvalue())
        if final and self.autocommit:
            self.commit()
        return True

    def commit(self) -> None:
        """Store what was written."""
        with self._local:
            self._local.flush()
            self.fs.put_file(self._local.name, self.path)

    def discard(self) -> None:
        """Forget what was written."""
        self._local.close()


@contextmanager
def _os_errors() -> Iterator[None]:
    """Let callers of fsspec see the errors that they know."""
    try:
        yield
    except TransferRefused as error:
        kind = _OS_ERRORS.get(code_of(error))
        if kind is None:
            raise
        raise kind(str(error)) from error


def _entry(path: str, stat: Stat) -> dict[str, Any]:
    return {
        "name": path,
        "size": stat.size,
        "type": "directory" if stat.is_directory else "file",
        "mtime": stat.modified,
    }


def _facts(path: Path) -> FileFacts:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return FileFacts(size=file.tell(), sha256=digest)


fsspec.register_implementation("chirp", ChirpFileSystem, clobber=True)
