"""Where inputs of jobs are put before the job goes on the queue: the port, and the disk of this machine."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from copilot.errors import BadName, TransferError
from copilot.files.area import CHIRP_PREFIX, FileArea, input_directory, input_name
from copilot.files.base import FileFacts
from copilot.files.chirp.rights import READ
from copilot.files.disk import directory, disk_errors, open_file_below
from copilot.files.gathered import Gathered
from copilot.files.many import Small, write_all
from copilot.files.newfile import NewFile
from copilot.records import dataclass

ACCESS_LIST = f"{CHIRP_PREFIX}acl"  # as chirp_server names it: lines of a subject and its rights
SMALL = 64 * 1024  # bytes of a file that is stored together with others
_MAX_ACCESS_LIST = 1024 * 1024  # bytes
T = TypeVar("T")


class Staging(Protocol):
    """Where inputs go. Methods raise `BadName` and `TransferError`, and may be repeated."""

    async def store(self, job: str, name: str, source: Path) -> FileFacts:
        """Copy `source`, on this machine, to its place as input `name` of `job`; the facts are those of the copy.

        When it is cancelled nothing goes on behind the caller's back: `drop` finds all there is.
        """
        ...

    async def adopt(self, job: str) -> bool:
        """Make the directory `<job>`, where tools of 2011 put inputs, that of the inputs of `job`, which agents may
        read and no more; whether there is one now."""
        ...

    async def drop(self, job: str) -> None:
        """Remove all inputs of `job`."""
        ...


@dataclass(frozen=True, slots=True)
class _Wanted:
    """An input that somebody wants to have stored."""

    job: str
    name: str
    source: Path

    @property
    def small(self) -> bool:
        """Whether it goes with others."""
        try:
            return "/" not in self.name and self.source.stat().st_size <= SMALL
        except OSError:  # which is told where it is read
            return False

    def read(self) -> Small:
        """With its contents. Raises `BadName`, `TransferError`."""
        directory, _, name = input_name(self.job, self.name).partition("/")
        with disk_errors(f"reading {self.source}"):
            path = self.source.resolve()
            with open_file_below(path.parent, path.name) as file:
                return Small(directory, name, file.readall() or b"")


class DiskStaging:
    """Into a file area on this machine's disk; implements `Staging`.

    If a Chirp server exports the area, each directory gets an access list: that of the area, and the right to read for
    `agents`. Without a list of its own a directory is closed to everybody (unless the server inherits default lists).
    """

    def __init__(self, area: FileArea, agents: Sequence[str]) -> None:
        """`agents` are the subjects of agents; a ticket among them gets nothing here, for its rights are the server's."""
        self._area = area
        self._agents = agents
        self._small = Gathered(self._store_small)

    async def store(self, job: str, name: str, source: Path) -> FileFacts:
        """See the port. Small files of the same moment are stored in one go. A thread cannot be cancelled: its end is
        waited for."""
        one = _Wanted(job, name, source)
        work = asyncio.ensure_future(
            self._small.do(one) if one.small else asyncio.to_thread(self._store, job, name, source)
        )
        try:
            return await asyncio.shield(work)
        except asyncio.CancelledError:
            await asyncio.gather(work, return_exceptions=True)
            raise

    async def adopt(self, job: str) -> bool:
        """See the port."""
        return await asyncio.to_thread(self._adopt, job)

    async def admit(self, job: str) -> None:
        """Let agents read all inputs of `job`, however they got there."""
        await asyncio.to_thread(self._admit, job)

    async def drop(self, job: str) -> None:
        """See the port."""
        await asyncio.to_thread(self._area.drop_inputs, job)

    def _adopt(self, job: str) -> bool:
        if not self._area.adopt_inputs(job):
            return False
        self._admit(job)
        return True

    def _admit(self, job: str) -> None:
        access = self._access_list()
        if access is not None:
            top = self._area.root / input_directory(job)
            for place, _, _ in os.walk(top):  # follows no symlinks
                self._write(f"{Path(place).relative_to(self._area.root)}/{ACCESS_LIST}", access)

    def _store_small(self, wanted: Sequence[_Wanted]) -> list[FileFacts | Exception]:
        if self._access_list() is not None:
            return [_attempted(partial(self._store, one.job, one.name, one.source)) for one in wanted]
        read = [_attempted(one.read) for one in wanted]
        files = [one for one in read if isinstance(one, Small)]
        failures = iter(write_all(self._area.root, files, owner=self._owner()))
        return [one if isinstance(one, Exception) else next(failures) or _facts(one.data) for one in read]

    def _owner(self) -> tuple[int, int] | None:
        """Who root gives files to, so that the services can read them."""
        if os.geteuid() != 0:
            return None
        found = self._area.root.stat()
        return found.st_uid, found.st_gid

    def _store(self, job: str, name: str, source: Path) -> FileFacts:
        relative = input_name(job, name)
        *parents, _ = relative.split("/")
        written = [f"{'/'.join(parents[: depth + 1])}/{ACCESS_LIST}" for depth in range(len(parents))]
        access = self._access_list()
        if access is None:
            written.clear()
        else:
            for path in written:
                self._write(path, access)
        facts = self._area.store_input(job, source, name)
        if os.geteuid() == 0:
            self._give_to_owner(parents, [*written, relative])
        return facts

    def _access_list(self) -> bytes | None:
        """What is in the access list of a new directory; None if no Chirp server exports the area."""
        what = f"reading the access list of {self._area.root}"
        with disk_errors(what):
            try:
                with open_file_below(self._area.root, ACCESS_LIST) as file:
                    lines = file.read(_MAX_ACCESS_LIST).decode("ascii", "surrogateescape").splitlines()
            except FileNotFoundError:
                return None
        ours = [line for line in lines if line.partition(" ")[0] not in self._agents]
        theirs = [f"{subject} {READ}" for subject in self._agents]
        text = "".join(f"{line}\n" for line in (*ours, *theirs) if line.strip())
        return text.encode("ascii", "surrogateescape")

    def _write(self, relative: str, data: bytes) -> None:
        with NewFile.below(self._area.root, relative, create=True) as new:
            new.write(data)
            new.commit()

    def _give_to_owner(self, parents: Sequence[str], files: Sequence[str]) -> None:
        """What root submits must be readable for the user as whom the services run.

        That user may write here: a symlink of theirs on the way must not have root give them somebody else's file.
        """
        owner = self._area.root.stat()
        with disk_errors(f"giving {self._area.root / files[-1]} to the owner of the file area"):
            for depth in range(1, len(parents) + 1):
                with directory(self._area.root, parents[:depth]) as opened:
                    os.fchown(opened, owner.st_uid, owner.st_gid)
            for relative in files:
                with open_file_below(self._area.root, relative) as file:
                    os.fchown(file.fileno(), owner.st_uid, owner.st_gid)


def _facts(data: bytes) -> FileFacts:
    return FileFacts(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def _attempted(work: Callable[[], T]) -> T | Exception:
    """What comes of it, or why nothing does."""
    try:
        return work()
    except (BadName, TransferError) as error:
        return error
