"""Running one command with everything it starts, and leaving nothing of it behind.

The command leads its own session and process group. If the agent dies, its guard stops it (see `guard`).

When the command has ended, what is left of it is stopped (see `strays`) and reaped: the agent has made itself
the parent of its orphaned descendants (`become_subreaper`).
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from copilot.agent import strays

TERM_GRACE = 10.0  # s between SIGTERM and SIGKILL when the run time is over
STRAY_GRACE = 2.0  # s for what a payload left behind
REAP_INTERVAL = 60.0  # s between two looks for orphans that ended while the payload runs

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h

# Core files would fill the disk and the package; and if memory runs out, the kernel shall choose the payload, not
# the agent.
_LAUNCHER = """
ulimit -S -c 0
{ echo 500 >/proc/self/oom_score_adj; } 2>/dev/null
exec "$@"
"""

# Children that asyncio waits for, and marks for those it is about to start: their exit statuses are not ours to
# take. Children belong to the process as a whole, and so does this.
_leaders: set[int] = set()
_starting: set[object] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a command ended: by `code` or by `signal`, the other is None. `seconds` is how long it ran.

    `limited`: we stopped it because its time was over, `stopped`: because somebody wanted it. `strays`: processes that it
    left behind.
    """

    code: int | None
    signal: int | None
    limited: bool
    strays: int
    seconds: float
    stopped: bool = False

    @property
    def shell_code(self) -> int:
        """What a shell would say: the code, or 128 + the signal."""
        return 128 + (self.signal or 0) if self.code is None else self.code


def become_subreaper() -> None:
    """Make this process the parent of its orphaned descendants (prctl(2)). Once, before the first `run`.

    Raises OSError where the kernel cannot (before 3.4). `run` then reaps the orphans that are started in a
    session of their own: what else starts child processes here, keeps them in this process's session or starts
    them before the first `run`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    token: str,
    limit: float | None = None,
    grace: float = TERM_GRACE,
    stop: asyncio.Event | None = None,
) -> Exit:
    """Run `argv` in `cwd` with exactly this `environment`, the output appended to the two files.

    After `limit` seconds, or when `stop` is set, the group gets SIGTERM, `grace` seconds later SIGKILL. `token` is random and used for
    one attempt only. Cancelling kills everything at once. Raises OSError if it cannot be started.
    """
    begun, since = time.monotonic(), strays.ticks_now()
    full = {**environment, strays.TOKEN_VARIABLE: token}
    async with _started(argv, cwd=cwd, environment=full, stdout=stdout, stderr=stderr) as leader:
        try:
            limited = await _wait(leader, limit, grace, since, stop or asyncio.Event())
            seconds = time.monotonic() - begun
            left = await _stop_rest(leader, token, since, STRAY_GRACE)
        except asyncio.CancelledError:
            killing = asyncio.ensure_future(_kill(leader, token, since))
            while not killing.done():
                with suppress(asyncio.CancelledError):  # being cancelled once more does not stop it
                    await asyncio.shield(killing)
            raise
    status = leader.returncode
    assert status is not None
    return Exit(
        code=status if status >= 0 else None,
        signal=-status if status < 0 else None,
        limited=limited and not (stop is not None and stop.is_set()),
        stopped=limited and stop is not None and stop.is_set(),
        strays=left,
        seconds=seconds,
    )


@asynccontextmanager
async def _started(
    argv: Sequence[str], *, cwd: Path, environment: Mapping[str, str], stdout: Path, stderr: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The running leader, of whose exit status asyncio takes care while inside."""
    with _appended(stdout) as out, _appended(stderr) as err:
        mark = object()
        _starting.add(mark)
        try:
            leader = await asyncio.create_subprocess_exec(
                "/bin/sh",
                "-c",
                _LAUNCHER,
                "sh",
                *argv,
                cwd=cwd,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
                umask=0o077,
            )
            _leaders.add(leader.pid)
        finally:
            _starting.discard(mark)
        try:
            yield leader
        finally:
            _leaders.discard(leader.pid)


@contextmanager
def _appended(path: Path) -> Iterator[int]:
    """A descriptor of the file at `path`; what a payload may have put in its place is refused, not waited for."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK
    descriptor = os.open(path, flags, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


async def _wait(
    leader: asyncio.subprocess.Process, limit: float | None, grace: float, since: int, stop: asyncio.Event
) -> bool:
    """Wait for the leader, stop it when its time is over or somebody wants it; whether that was necessary."""
    left = math.inf if limit is None else limit
    while left > 0 and not stop.is_set():
        if await _ended(leader, min(left, REAP_INTERVAL), stop):
            return False
        left -= REAP_INTERVAL
        _reap_orphans(since)
    _signal_group(leader, signal.SIGTERM)
    if not await _ended(leader, grace):
        _signal_group(leader, signal.SIGKILL)
        await leader.wait()
    return True


async def _ended(
    leader: asyncio.subprocess.Process, seconds: float, stop: asyncio.Event | None = None
) -> bool:
    """Wait at most so long for the leader, or until `stop` is set; whether it has ended."""
    waits = [asyncio.ensure_future(leader.wait())]
    if stop is not None:
        waits.append(asyncio.ensure_future(stop.wait()))
    try:
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return waits[0].done()
    finally:
        for wait in waits:
            wait.cancel()


async def _stop_rest(leader: asyncio.subprocess.Process, token: str, since: int, grace: float) -> int:
    """Stop and reap what the leader left behind; how many there were."""
    left = await asyncio.to_thread(strays.stop, token, session=leader.pid, since=since, grace=grace)
    _reap_orphans(since)
    return left


async def _kill(leader: asyncio.subprocess.Process, token: str, since: int) -> None:
    _signal_group(leader, signal.SIGKILL)
    await leader.wait()
    await _stop_rest(leader, token, since, grace=0)


def _signal_group(leader: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the group if the leader has not ended: its number is certainly still the leader's then."""
    if leader.returncode is None:
        with suppress(ProcessLookupError):
            os.killpg(leader.pid, number)


def _reap_orphans(since: int) -> None:
    """Take the exit statuses of adopted children that have ended: never one that asyncio waits for.

    Adopted children are known by their session, which is not ours, and by their start, which is not before
    `since`. Runs in the event loop's thread, so nothing is started between the look and the act.
    """
    if _starting:
        return  # the next call will do it
    own, session = os.getpid(), os.getsid(0)
    for process in strays.process_table():
        adopted = process.parent == own and process.session != session and process.started >= since
        if adopted and process.zombie and process.pid not in _leaders:
            with suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)
