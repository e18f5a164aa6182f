"""Packing a job's output as `<id>.tgz`: members `<id>/stdout`, `<id>/stderr`, `<id>/<name>`.

Whatever a payload may have left is taken; it may even still be changing.
"""

from __future__ import annotations

import io
import os
import posixpath
import stat
import tarfile
import zlib
from collections.abc import Collection, Mapping
from itertools import islice
from pathlib import Path
from typing import Protocol

from copilot.errors import TransferRefused
from copilot.files.base import BLOCK
from copilot.files.disk import open_file

MAX_DEPTH = 32  # parts of a member's name
MAX_MEMBERS = 200_000
MAX_RATIO = 100  # how much larger than the package its contents may be; holes of sparse files count
MAX_NOTES = 100
_LEVEL = 1  # of compression: output is packed once and unpacked once
_GZIP = 31  # zlib's word for the largest window in gzip's format (RFC 1952), without a name or a time


class Target(Protocol):
    """What a package is written to."""

    @property
    def size(self) -> int:
        """Bytes written so far."""
        ...

    def write(self, data: bytes) -> None:
        """Add `data` at the end."""
        ...


def pack(
    new: Target,
    prefix: str,
    directory: Path,
    *,
    streams: Mapping[str, Path],
    leave_out: Collection[str] = (),
    limit: int,
) -> tuple[str, ...]:
    """Pack `streams` (name: file) and the contents of `directory` into `new`, which the caller commits.

    The same contents make the same bytes. `leave_out` holds names below `directory`. What has the name of a
    stream there is packed as `<name>.payload`. Owners are not told. Sockets, pipes, devices, what cannot be
    read and symlinks that lead outside are skipped; a file that shrinks meanwhile is filled up with zeros.
    Returns notes about all that the package does not hold as the disk does. Raises `NoSpace`, and
    `TransferRefused` if the package grows over `limit` bytes or its contents over MAX_MEMBERS or MAX_RATIO.
    """
    zipped = _Zipped(new, limit)
    packer = _Packer(zipped, prefix, directory, limit * MAX_RATIO)
    for name, path in streams.items():
        packer.add_file(name, path)
    taken = set(streams)
    for source in _names(directory):
        name = source
        while name in taken:
            name += ".payload"
        taken.add(name)
        packer.add_tree(source, name, leave_out)
    zipped.write(bytes(2 * tarfile.BLOCKSIZE))  # the end of a tar archive
    zipped.end()
    return packer.notes()


class _Zipped:
    """Compresses on the way to the new file, which has a largest size."""

    def __init__(self, new: Target, limit: int) -> None:
        self._new, self._limit = new, limit
        self._compress = zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)

    def write(self, data: bytes) -> None:
        self._put(self._compress.compress(data))

    def end(self) -> None:
        self._put(self._compress.flush())

    def _put(self, data: bytes) -> None:
        if self._new.size + len(data) > self._limit:
            raise TransferRefused(
                f"the packed output is larger than {self._limit} bytes; let the job leave less"
            )
        if data:
            self._new.write(data)


class _Packer:
    """Writes members, and remembers what is not as on the disk. Keeps nothing about a member that is written."""

    def __init__(self, zipped: _Zipped, prefix: str, root: Path, room: int) -> None:
        self._zipped, self._prefix, self._root, self._room = zipped, prefix, root, room
        self._members = 0
        self._notes: list[str] = []

    def notes(self) -> tuple[str, ...]:
        """At most MAX_NOTES of them, and how many more there were."""
        more = len(self._notes) - MAX_NOTES
        return (*self._notes[:MAX_NOTES], *([f"and {more} more"] if more > 0 else []))

    def add_tree(self, source: str, name: str, leave_out: Collection[str]) -> None:
        """Add what is called `source` below the root, and all below it, as `name`."""
        if name != source:
            self._note(source, f"packed as {name!r}, since its name is that of a stream")
        pending = [(source, name)]
        while pending:
            source, name = pending.pop()
            if source in leave_out:
                continue
            try:
                below = self._add(name, self._root / source)
            except OSError as error:
                self._note(source, f"skipped: {error.strerror}")
                continue
            pending += [(f"{source}/{entry}", f"{name}/{entry}") for entry in reversed(below)]

    def _add(self, name: str, path: Path) -> list[str]:
        """Add one thing; returns the names in it if it is a directory. Raises OSError if it cannot be read."""
        found = path.lstat()
        if stat.S_ISLNK(found.st_mode):
            self._add_link(name, path, found)
        elif stat.S_ISREG(found.st_mode):
            path.chmod(found.st_mode | stat.S_IRUSR)
            self.add_file(name, path, mode=found.st_mode)
        elif not stat.S_ISDIR(found.st_mode):
            self._note(name, "skipped: a socket, pipe or device")
        elif name.count("/") + 2 >= MAX_DEPTH:
            self._note(name, f"skipped: deeper than {MAX_DEPTH} directories")
        else:
            path.chmod(found.st_mode | stat.S_IRWXU)
            names = _names(path)
            self._begin(self._member(name, tarfile.DIRTYPE, found))
            return names
        return []

    def add_file(self, name: str, path: Path, *, mode: int | None = None) -> None:
        """Add a regular file with the size that it has now, whatever happens to it meanwhile."""
        try:
            file = open_file(str(path))
        except (OSError, TransferRefused) as error:
            self._note(name, f"skipped: {error}")
            return
        with file:
            found = os.fstat(file.fileno())
            member = self._member(name, tarfile.REGTYPE, found, mode=mode)
            self._begin(member)
            left = member.size
            while left and (data := _read(file, min(left, BLOCK))):
                self._zipped.write(data)
                left -= len(data)
        if left:
            self._note(name, f"its last {left} bytes could not be read; they are zeros in the package")
        self._fill(left)
        self._fill(-member.size % tarfile.BLOCKSIZE)

    def _add_link(self, name: str, path: Path, found: os.stat_result) -> None:
        """Add a symlink that stays inside, both by its text and by what the links on its way make of it."""
        member = self._member(name, tarfile.SYMTYPE, found)
        member.linkname = os.readlink(path)  # noqa: PTH115 - a Path would change the text
        real = Path(os.path.realpath(path))  # Path.resolve raises on loops
        if _leads_outside(member, self._prefix) or not real.is_relative_to(os.path.realpath(self._root)):
            self._note(name, "skipped: a symbolic link that leads outside")
        else:
            self._begin(member)

    def _member(
        self, name: str, kind: bytes, found: os.stat_result, *, mode: int | None = None
    ) -> tarfile.TarInfo:
        member = tarfile.TarInfo(f"{self._prefix}/{name}")
        member.type = kind
        member.size = found.st_size if kind == tarfile.REGTYPE else 0
        member.mode = (found.st_mode if mode is None else mode) & 0o777
        member.mtime = max(0, int(found.st_mtime))
        return member

    def _begin(self, member: tarfile.TarInfo) -> None:
        """Write the header of `member`, if there is room for it."""
        self._members += 1
        self._room -= member.size
        if self._members > MAX_MEMBERS or self._room < 0:
            raise TransferRefused(_TOO_MUCH)
        self._zipped.write(member.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape"))

    def _fill(self, count: int) -> None:
        while count > 0:
            self._zipped.write(bytes(min(count, BLOCK)))
            count -= BLOCK

    def _note(self, name: str, text: str) -> None:
        self._notes.append(f"{name!r}: {text}")


_TOO_MUCH = (
    f"the job left more than {MAX_MEMBERS} files, or files that are more than {MAX_RATIO} times as large as the "
    "largest package; let it remove what nobody needs, or pack it itself"
)


def _names(directory: Path) -> list[str]:
    """What is in it, in the order in which it is packed."""
    with os.scandir(directory) as entries:
        names = sorted(entry.name for entry in islice(entries, MAX_MEMBERS + 1))
    if len(names) > MAX_MEMBERS:
        raise TransferRefused(_TOO_MUCH)
    return names


def _read(file: io.FileIO, size: int) -> bytes:
    """The next part; nothing at the end of the file or where the disk is damaged."""
    try:
        return file.read(size) or b""
    except OSError:
        return b""


def _leads_outside(link: tarfile.TarInfo, root: str) -> bool:
    """Whether the text of a symlink leads out of the archive's directory `root`."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(link.name), link.linkname))
    return posixpath.isabs(target) or target.split("/")[0] != root
