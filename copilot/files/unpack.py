"""Unpacking a job's output: takes whatever an agent may have sent.

Nothing in an archive can write outside the directory, through a symlink, or over a file. (What tarfile's
extraction does by itself differs between versions of Python, so only its reading of headers is used.)
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import stat
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from copilot.errors import TransferCorrupt, TransferRefused
from copilot.files.archive import MAX_DEPTH, MAX_MEMBERS
from copilot.files.base import BLOCK
from copilot.files.disk import disk_errors, open_directory, open_file
from copilot.records import dataclass

_LARGEST_READ = 1024 * 1024  # bytes at once; the longest honest header has a few kB
_LARGEST_TAIL = 1024 * 1024  # bytes; an honest archive is filled up to a multiple of 10 kB
_HEADERS_PER_MEMBER = 16 * 1024  # bytes; two blocks are usual
# What tarfile raises on headers that are cut off or hold numbers which are none, besides its own errors.
_MISREAD = (IndexError, KeyError, ValueError, OverflowError)
_CONTROL = re.compile("[\x00-\x1f\x7f]")  # they would move the cursor of whoever lists the files


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an archive may hold: so many `members`, files of `size` bytes together."""

    size: int
    members: int = MAX_MEMBERS


def extract(archive: Path, directory: Path, limits: Limits, *, only: str | None = None) -> None:
    """Unpack `archive` into `directory`, which exists. `only`: the file or symlink of this name, and of the rest nothing is written or judged.

    Only files, directories and symlinks that stay inside; nothing that exists is replaced, no symlink
    followed. Of permissions only "executable" is taken over. Raises `TransferRefused` for anything else (what
    was unpacked before it stays), `TransferCorrupt` for what is no archive, `NoSpace`.
    """
    with disk_errors(f"unpacking {archive} into {directory}"), open_file(str(archive)) as packed:
        try:
            with gzip.GzipFile(fileobj=packed) as zipped:
                _Unpacker(directory, limits, only).unpack(zipped)
        except (tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError, *_MISREAD) as error:
            raise TransferCorrupt(
                f"{archive} is no complete tar archive ({error}); fetch it again"
            ) from error
        except FileExistsError as error:
            raise TransferRefused(
                f"{archive}: {error.filename} is there already; unpack elsewhere"
            ) from error


class _Unpacker:
    """Writes members below a directory, each part of a path opened without following symlinks."""

    def __init__(self, root: Path, limits: Limits, only: str | None = None) -> None:
        self._root, self._limits, self._only = root, limits, only
        self._left = limits.size

    def unpack(self, zipped: gzip.GzipFile) -> None:
        """Files first, symlinks when nothing is written any more."""
        links: list[tuple[list[str], str]] = []
        most = self._limits.size + self._limits.members * _HEADERS_PER_MEMBER
        careful = _Careful(zipped, most)
        with tarfile.TarFile(fileobj=careful) as archive:
            count = 0
            while (member := archive.next()) is not None:
                archive.members = []  # type: ignore[attr-defined]  # it would remember each of them
                count += 1
                if count > self._limits.members:
                    raise TransferRefused(f"more than {self._limits.members} members in the archive")
                if self._only is not None and "/".join(_parts(member)) != self._only:
                    continue
                if member.issym():
                    links.append((_parts(member) or ["."], member.linkname))
                else:
                    self._unpack(archive, member)
        end = zipped.tell()
        while careful.read(BLOCK):  # to the end, where gzip's checksum is
            if zipped.tell() - end > _LARGEST_TAIL:
                raise TransferRefused(f"more than {_LARGEST_TAIL} bytes behind the end of the archive")
        self._link(links)

    def _unpack(self, archive: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        """Write one member that is no symlink."""
        parts = _parts(member)
        if member.isdir():
            os.close(open_directory(self._root, parts, create=True))
            return
        self._left -= member.size
        if self._left < 0:
            raise TransferRefused(f"the archive holds more than {self._limits.size} bytes of files")
        source = archive.extractfile(member) if member.isreg() and parts else None
        if source is None:
            raise TransferRefused(f"{member.name!r} in the archive is no file, directory or symbolic link")
        mode = 0o777 if member.mode & stat.S_IXUSR else 0o666
        with source, self._parent(parts) as parent:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
            with os.fdopen(os.open(parts[-1], flags, mode, dir_fd=parent), "wb") as target:
                shutil.copyfileobj(source, target, BLOCK)

    def _link(self, links: list[tuple[list[str], str]]) -> None:
        """Make the symlinks; none stays if one of them leads outside, since others may lead through it."""
        root = self._root.resolve()
        made: list[Path] = []
        try:
            for parts, target in links:
                with self._parent(parts) as parent:
                    os.symlink(target, parts[-1], dir_fd=parent)
                made.append(root.joinpath(*parts))
            for path in made:
                _check_inside(path, root)
        except BaseException:
            for path in made:
                path.unlink()
            raise

    @contextmanager
    def _parent(self, parts: list[str]) -> Iterator[int]:
        descriptor = open_directory(self._root, parts[:-1], create=True)
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class _Careful:
    """The unzipped archive as tarfile wants it, without headers that fill the memory or never end."""

    def __init__(self, zipped: gzip.GzipFile, most: int) -> None:
        self._zipped, self._most = zipped, most

    def read(self, size: int) -> bytes:
        if size > _LARGEST_READ or self._zipped.tell() > self._most:
            raise TransferRefused("the archive has headers that are too large")
        return self._zipped.read(size)

    def tell(self) -> int:
        return self._zipped.tell()

    def seek(self, position: int) -> int:
        return self._zipped.seek(position)

    def write(self, data: bytes) -> int:
        raise AssertionError(f"{len(data)} bytes written to an archive that is read")

    def close(self) -> None:
        """Belongs to somebody else."""


def _parts(member: tarfile.TarInfo) -> list[str]:
    """The parts of a member's name; old agents write `./name`."""
    parts = [part for part in member.name.split("/") if part not in ("", ".")]
    if member.name.startswith("/") or ".." in parts or len(parts) > MAX_DEPTH:
        raise TransferRefused(f"{member.name[:140]!r} in the archive does not stay inside, or is too deep")
    if _CONTROL.search(member.name):
        raise TransferRefused(f"{member.name[:140]!r} in the archive: control characters in a name")
    return parts


def _check_inside(link: Path, root: Path) -> None:
    target = os.readlink(link)  # noqa: PTH115 - a Path would change the text
    if target.startswith("/") or not Path(os.path.realpath(link)).is_relative_to(root):
        raise TransferRefused(f"{link}: a symbolic link that leads outside")
