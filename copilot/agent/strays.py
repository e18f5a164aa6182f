"""Finding and stopping every process of an attempt, wherever it went.

A payload's processes share its session. Those that left it (setsid, double fork) still bear the attempt's
random token in their environment, or have a parent that does. Processes of other users and set-uid programs
hide their environment; they are found only in the session or below a parent.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

from copilot.log import JobRef
from copilot.records import dataclass

TOKEN_VARIABLE = "COPILOT_SANDBOX_TOKEN"  # noqa: S105 - a name, no secret
KILL_PATIENCE = 10.0  # s; what survives SIGKILL longer hangs in the kernel
_LOOK_AGAIN = (0.001, 0.002, 0.004, 0.008)  # s between looks at a process that has no environment just now
_KERNEL = 2  # kthreadd, the parent of all threads of the kernel
_HIDDEN = b"?"
_SHORTEST_POLL, _LONGEST_POLL = 0.002, 0.05  # s
_TASKS = "/proc/self/task"
_TICKS = os.sysconf("SC_CLK_TCK")

_log = logging.getLogger("copilot.agent")


@dataclass(frozen=True, slots=True)
class Process:
    """A line of the process table (proc(5), /proc/pid/stat). `started` in clock ticks since boot."""

    pid: int
    parent: int
    session: int
    started: int
    zombie: bool


def ticks_now() -> int:
    """The time as `Process.started` counts it; no process that starts later has a smaller one."""
    return int(time.clock_gettime(time.CLOCK_BOOTTIME) * _TICKS) - 1


def process_table() -> list[Process]:
    """All processes that exist now."""
    table = []
    for name in os.listdir("/proc"):  # noqa: PTH208 - a Path for each of them costs more than the rest
        if name.isdigit():
            with suppress(OSError):  # it has ended meanwhile
                table.append(_parse(int(name), Path(f"/proc/{name}/stat").read_bytes()))
    return table


def children(but: Collection[int] = ()) -> list[Process]:
    """The children of this process, of whatever thread, but for the pids `but`."""
    try:
        found = {
            int(pid)
            for thread in os.listdir(_TASKS)  # noqa: PTH208 - as in `process_table`
            for pid in _read(f"{_TASKS}/{thread}/children").split()
        }
    except OSError:  # a kernel without these lists (CONFIG_PROC_CHILDREN), or a thread that has just ended
        own = os.getpid()
        return [process for process in process_table() if process.parent == own and process.pid not in but]
    table = []
    for pid in found.difference(but):
        with suppress(OSError):
            table.append(_parse(pid, Path(f"/proc/{pid}/stat").read_bytes()))
    return table


def children_of(pid: int) -> list[Process]:
    """The children of a process, of whatever thread."""
    try:
        pids = {
            int(child)
            for thread in os.listdir(f"/proc/{pid}/task")  # noqa: PTH208 - as in `process_table`
            for child in _read(f"/proc/{pid}/task/{thread}/children").split()
        }
    except OSError:
        return [process for process in process_table() if process.parent == pid]
    found = []
    for child in pids:
        with suppress(OSError):
            found.append(_parse(child, Path(f"/proc/{child}/stat").read_bytes()))
    return found


def first_inside(leader: int, token: str) -> int | None:
    """The first process of the namespace that was made for an attempt: a child of its leader, or of a helper of that which has
    become ours, as podman's does. It leads a session of its own. None while there is none."""
    for child in children_of(leader):
        if child.session == child.pid:
            return child.pid
    return next((one.pid for one in _below_orphans(leader, token) if one.session == one.pid), None)


def _below_orphans(leader: int, token: str) -> list[Process]:
    """Children with this token of our children, but of those of the `leader`."""
    mark = f"{TOKEN_VARIABLE}={token}".encode()
    return [
        process
        for orphan in children((leader,))
        for process in children_of(orphan.pid)
        if mark in _environment(process).split(b"\0")
    ]


def end_children_with(mark: bytes) -> None:
    """Kill our children that have this word (`NAME=value`) in their environment: what a tool has left with us, say."""
    for process in children():
        if mark in _environment(process).split(b"\0"):
            _signal({process.pid}, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(process.pid, 0)


def members_near(token: str, leader: int, since: int) -> list[Process]:
    """The living processes of an attempt that can be found without looking at all processes: those below its leader, and those
    that have become ours, or whose parent has, and that bear its token or are of its session, with all below them."""
    found: dict[int, Process] = {}
    pending = children_of(leader)
    with suppress(OSError):
        pending.append(_parse(leader, Path(f"/proc/{leader}/stat").read_bytes()))
    mark = f"{TOKEN_VARIABLE}={token}".encode()
    for orphan in children((leader,)):
        if orphan.started >= since and (
            orphan.session == leader or mark in _environment(orphan).split(b"\0")
        ):
            pending += [orphan, *children_of(orphan.pid)]
        elif orphan.started >= since:
            pending += [one for one in children_of(orphan.pid) if mark in _environment(one).split(b"\0")]
    while pending:
        process = pending.pop()
        if process.pid not in found:
            found[process.pid] = process
            if process.pid != leader:
                pending += children_of(process.pid)
    return [process for process in found.values() if not process.zombie]


def _read(path: str) -> bytes:
    """A file of procfs, which has no size."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        text = b""
        while part := os.read(descriptor, 64 * 1024):
            text += part
        return text
    finally:
        os.close(descriptor)


def _parse(pid: int, line: bytes) -> Process:
    fields = line.rpartition(b")")[2].split()  # the program's name before it may hold anything
    return Process(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        started=int(fields[19]),
        zombie=fields[0] in (b"Z", b"X"),
    )


def stop(
    token: str, *, of: JobRef | None = None, session: int | None = None, since: int = 0, grace: float = 0.0
) -> int:
    """Stop every process of the attempt with this `token` and return how many there were.

    First SIGTERM, after `grace` seconds SIGKILL.
    `of` names it in the log, `session` is the leader's pid, `since` the `ticks_now` before it started. Blocks, KILL_PATIENCE beyond the
    grace at most; needs no memory of the attempt, so it also serves after a restart of the agent.
    """
    counted: set[int] = set()
    deadline, pauses = time.monotonic() + grace, _pauses()
    while (strays := _members(token, session, since)) and time.monotonic() < deadline:
        _signal(strays - counted, signal.SIGTERM)
        counted |= strays
        time.sleep(next(pauses))
    counted |= strays
    deadline, pauses = time.monotonic() + KILL_PATIENCE, _pauses()
    while rest := _members(token, session, since):  # again and again: they may fork meanwhile
        if time.monotonic() >= deadline:
            text = "%s: processes %s survive SIGKILL; they hang in the kernel"
            _log.error(text, of or "a job", sorted(rest))
            break
        _signal(rest, signal.SIGKILL)
        time.sleep(next(pauses))
    return len(counted)


def _members(token: str, session: int | None, since: int) -> set[int]:
    """Pids of the attempt's living processes."""
    for pause in (*_LOOK_AGAIN, None):
        living = [process for process in process_table() if not process.zombie and process.started >= since]
        environments = {
            process.pid: _environment(process) for process in living if process.session != session
        }
        if b"" not in environments.values() or pause is None:
            break
        time.sleep(pause)
    mark = f"{TOKEN_VARIABLE}={token}".encode()
    found = {process.pid for process in living if process.session == session}
    found |= {pid for pid, environment in environments.items() if mark in environment.split(b"\0")}
    more = found
    while more:  # those below them that have cleared their environment
        more = {process.pid for process in living if process.parent in more} - found
        found |= more
    return found


def _environment(process: Process) -> bytes:
    """What /proc/pid/environ holds: nothing for a moment while the process becomes another program (execve(2))."""
    if _KERNEL in (process.pid, process.parent):
        return _HIDDEN
    try:
        return Path(f"/proc/{process.pid}/environ").read_bytes()
    except OSError:  # it has ended, or is none of our business
        return _HIDDEN


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError, PermissionError):  # ended meanwhile; a set-uid program
            os.kill(pid, number)


def _pauses() -> Iterator[float]:
    """Short waits that grow: most processes end at once, and nothing tells when strangers' children do."""
    pause = _SHORTEST_POLL
    while True:
        yield pause
        pause = min(2 * pause, _LONGEST_POLL)
