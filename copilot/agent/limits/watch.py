"""Looking at what an attempt uses while it runs, and ending one that uses too much.

What a control group counts is asked of it, at any length of run exact. Without one, the processes are looked at a few times a
second: then a limit may be passed for so long, and what lives shorter is not seen. To look costs at most a fiftieth of a
processor: who has very many processes or files is looked at more rarely.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import TypeVar

from copilot.agent import strays
from copilot.agent.limits.base import Excess, Group, Usage
from copilot.agent.threads import in_thread
from copilot.job import Cause, Limits, sized
from copilot.records import dataclass

T = TypeVar("T", int, float)

FIRST_LOOK = 0.1  # s after the start; most jobs that are shorter never cost a look
BETWEEN = 0.25  # s between two looks at processes
BETWEEN_DISK = 1.0  # s between two looks at files
SHARE = 50  # a look takes at most this part of the time until the next
_PAGE = os.sysconf("SC_PAGE_SIZE")
_TICKS = os.sysconf("SC_CLK_TCK")
_BLOCK = 512  # bytes; st_blocks counts in them
_CPU_CODE = 128 + signal.SIGXCPU


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """What lies in a directory: bytes on the disk, number of things, size of the largest file."""

    size: int = 0
    files: int = 0
    largest: int = 0


@dataclass(slots=True, kw_only=True)
class Watch:
    """Watches one attempt. `members` finds its processes; `group` counts them if there is one; `directory` is its own, in which
    at most `files` things may lie."""

    limits: Limits
    directory: Path
    files: int | None = None
    group: Group | None = None
    members: Callable[[], Iterable[strays.Process]] = tuple
    usage: Usage = field(default_factory=Usage)
    _disk_due: float = 0.0
    _disk: DiskUse = field(default_factory=DiskUse)

    async def over(self) -> Excess:
        """Returns when a limit was passed; else never: cancel it."""
        await asyncio.sleep(FIRST_LOOK)  # most jobs are over by then and cost no look
        while True:
            excess, cost = await in_thread(self._look)
            if excess is not None:
                return excess
            await asyncio.sleep(max(BETWEEN, cost * SHARE))  # so looking takes a bounded share of a core

    def _look(self) -> tuple[Excess | None, float]:
        begun = time.thread_time()
        with suppress(OSError):  # it has just ended
            excess = self._of_group() if self.group is not None else self._of_processes()
            if excess is not None:
                return excess, 0.0
        cost = time.thread_time() - begun
        if time.monotonic() >= self._disk_due:
            begun = time.thread_time()
            excess = self.look_at_disk()
            spent = time.thread_time() - begun
            self._disk_due = time.monotonic() + max(BETWEEN_DISK, spent * SHARE)
            return excess, cost
        return None, cost

    def _of_group(self) -> Excess | None:
        assert self.group is not None
        self._seen(self.group.cpu_time(), self.group.memory_peak())
        return self._of_kernel() or self._of_cpu()

    def _of_kernel(self) -> Excess | None:
        """What the kernel has had to refuse."""
        assert self.group is not None
        if self.limits.memory is not None and self.group.out_of_memory():
            return memory_excess(self.limits.memory)
        if self.limits.processes is not None and self.group.forks_refused():
            return processes_excess(self.limits.processes)
        return None

    def _of_cpu(self) -> Excess | None:
        limit, used = self.limits.cpu_time, self.usage.cpu_time
        return cpu_excess(limit, used) if limit is not None and used is not None and used > limit else None

    def _of_processes(self) -> Excess | None:
        found = list(self.members())
        threads, memory, cpu = 0, 0, 0.0
        for process in found:
            with suppress(OSError, ValueError, IndexError):
                one = _numbers(process.pid)
                threads, memory, cpu = threads + one[0], memory + one[1], cpu + one[2]
        limits = self.limits
        if limits.memory is not None and memory > limits.memory:  # pages that several share count once
            memory = sum(_proportional(process.pid) for process in found)
        self._seen(cpu, memory)
        if limits.memory is not None and memory > limits.memory:
            return memory_excess(limits.memory, memory)
        if limits.processes is not None and threads > limits.processes:
            return processes_excess(limits.processes, threads)
        return self._of_cpu()

    def look_at_disk(self) -> Excess | None:
        """Also what is open and has no name any more counts, where the processes can be looked at."""
        limits = self.limits
        if (limits.disk, limits.file_size, self.files) == (None, None, None):
            return None
        try:
            found = disk_use(self.directory, size=limits.disk, files=self.files)
        except OSError as error:
            return Excess(cause=Cause.USER_DISK, text=f"its directory cannot be looked at: {error.strerror}")
        unnamed = sum(_unnamed(process.pid) for process in self.members()) if limits.disk is not None else 0
        self._disk = DiskUse(size=found.size + unnamed, files=found.files, largest=found.largest)
        self._seen(None, None, self._disk.size)
        if limits.disk is not None and self._disk.size > limits.disk:
            return Excess(
                cause=Cause.USER_DISK,
                text=f"its directory holds {sized(self._disk.size)} or more; {sized(limits.disk)} are allowed",
            )
        if self.files is not None and self._disk.files > self.files:
            return Excess(
                cause=Cause.USER_DISK,
                text=f"its directory holds more than {self.files} files and directories, which are allowed",
            )
        return None

    def at_end(
        self, code: int | None, number: int | None, cpu: float | None, memory: int | None
    ) -> Excess | None:
        """What the end of the attempt by `code` or by signal `number` has to do with a limit: nothing if it ended well. `cpu` and
        `memory` are what the kernel says of those that were waited for."""
        with suppress(OSError):
            if self.group is not None:
                self._seen(self.group.cpu_time(), self.group.memory_peak())
        self._seen(cpu, memory)
        if code == 0:
            return None
        limits = self.limits
        with suppress(OSError):
            if self.group is not None and (excess := self._of_kernel()) is not None:
                return excess
        used = self.usage.cpu_time or 0.0
        stopped = number == signal.SIGXCPU or code == _CPU_CODE
        if limits.cpu_time is not None and (
            used > limits.cpu_time or (stopped and used > limits.cpu_time / 2)
        ):
            return cpu_excess(limits.cpu_time, used)
        excess = self.look_at_disk()
        if excess is not None:
            return excess
        if limits.file_size is not None and self._disk.largest >= limits.file_size:
            text = f"one of its files has reached {sized(limits.file_size)}, the most that a file may have"
            return Excess(cause=Cause.USER_FILE_SIZE, text=text)
        return None

    def _seen(self, cpu: float | None, memory: int | None, disk: int | None = None) -> None:
        before = self.usage
        self.usage = Usage(
            cpu_time=_larger(before.cpu_time, cpu),
            memory=_larger(before.memory, memory or None),
            disk=_larger(before.disk, disk),
        )


def memory_excess(limit: int, used: int | None = None) -> Excess:
    """All its processes together."""
    found = "" if used is None else f" {sized(used)},"
    return Excess(
        cause=Cause.USER_MEMORY, text=f"it used{found} more memory than the {sized(limit)} that it may"
    )


def processes_excess(limit: int, found: int | None = None) -> Excess:
    """Threads count."""
    text = f"it had {found} processes" if found is not None else "it wanted more processes"
    return Excess(cause=Cause.USER_PROCESSES, text=f"{text}; {limit} are allowed")


def cpu_excess(limit: float, used: float) -> Excess:
    """Of all its processes together."""
    return Excess(
        cause=Cause.USER_CPU_TIME, text=f"it used {used:.1f} s of processors; {limit:g} s are allowed"
    )


def disk_use(root: Path, *, size: int | None = None, files: int | None = None) -> DiskUse:
    """What lies below `root`; not looked at any further once there is more than `size` bytes or `files` things.

    Directories that the payload has locked are opened. A name that is gone meanwhile does not count. Raises OSError where nothing
    can be said, for a tree so deep that its paths are too long for instance.
    """
    total, count, largest, linked = 0, 0, 0, set[int]()
    pending = [str(root)]
    while pending:
        for entry in _entries(pending.pop()):
            try:
                found = entry.stat(follow_symlinks=False)
            except FileNotFoundError:
                continue
            except PermissionError:  # it may be listed only
                _unlock(os.path.dirname(entry.path))  # noqa: PTH120
                found = entry.stat(follow_symlinks=False)
            count += 1
            if found.st_nlink > 1 and not stat.S_ISDIR(found.st_mode):
                if found.st_ino in linked:
                    continue
                linked.add(found.st_ino)
            total += found.st_blocks * _BLOCK
            if stat.S_ISDIR(found.st_mode):
                pending.append(entry.path)
            elif stat.S_ISREG(found.st_mode):
                largest = max(largest, found.st_size)
            if (size is not None and total > size) or (files is not None and count > files):
                return DiskUse(size=total, files=count, largest=largest)
    return DiskUse(size=total, files=count, largest=largest)


def _entries(directory: str) -> Iterator[os.DirEntry[str]]:
    try:
        entries = os.scandir(directory)
    except FileNotFoundError:
        return
    except NotADirectoryError:  # something else has taken its place
        return
    except PermissionError:
        _unlock(directory)
        entries = os.scandir(directory)
    with entries:
        yield from entries


def _unlock(directory: str) -> None:
    """Give ourselves the rights to a directory that is ours; a symlink in its place is not followed."""
    descriptor = os.open(directory, os.O_PATH | os.O_NOFOLLOW | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chmod(f"/proc/self/fd/{descriptor}", 0o700)  # noqa: PTH101
    finally:
        os.close(descriptor)


def _numbers(pid: int) -> tuple[int, int, float]:
    """Threads, bytes of memory in use, seconds of CPU with those of children that were waited for (proc(5))."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    cpu = sum(int(fields[n]) for n in (11, 12, 13, 14)) / _TICKS
    return int(fields[17]), int(fields[21]) * _PAGE, cpu


def _proportional(pid: int) -> int:
    """Bytes of memory, of pages that several processes share only its part; all of them where the kernel does not tell."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines():
            if line.startswith(b"Pss:"):
                return int(line.split()[1]) * 1024
    with suppress(OSError, ValueError, IndexError):
        return _numbers(pid)[1]
    return 0


def _unnamed(pid: int) -> int:
    """Bytes on disks in files that this process has open and that have no name any more."""
    total = 0
    with suppress(OSError), os.scandir(f"/proc/{pid}/fd") as entries:
        for entry in entries:
            with suppress(OSError):
                found = os.stat(entry.path)  # noqa: PTH116
                if stat.S_ISREG(found.st_mode) and found.st_nlink == 0:
                    total += found.st_blocks * _BLOCK
    return total


def _larger(before: T | None, now: T | None) -> T | None:
    if before is None or now is None:
        return before if now is None else now
    return max(before, now)
