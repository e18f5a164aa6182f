"""Running one command with everything it starts, and leaving nothing of it behind.

The command leads its own session and process group. If the agent dies, its guard stops it (see `guard`).

When the command has ended, what is left of it is stopped (see `strays`) and reaped: the agent has made itself
the parent of its orphaned descendants (`become_subreaper`). Of a command in a namespace of its own nothing is left: it ends
with its first process, which takes the signals' place (`isolation.first`).
"""

from __future__ import annotations

import asyncio
import ctypes
import math
import os
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import Any

from copilot.agent import strays
from copilot.agent.isolation.first import Report
from copilot.agent.limits.base import Excess, Usage
from copilot.agent.limits.rlimits import ProcessLimits
from copilot.agent.limits.watch import Watch
from copilot.agent.threads import in_thread
from copilot.log import JobRef
from copilot.records import dataclass

TERM_GRACE = 10.0  # s between SIGTERM and SIGKILL when the run time is over
STRAY_GRACE = 2.0  # s for what a payload left behind
REAP_INTERVAL = 60.0  # s between two looks for orphans that ended while the payload runs

_PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
# If memory runs out, the kernel shall choose the payload, not the agent (proc(5), oom_score_adj).
_CHOSEN_FIRST = b"500"

# Pids of commands that run: their exit statuses are taken by who waits for them. Children belong to the process as a
# whole, and so does this.
_leaders: set[int] = set()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exit:
    """How a command ended: by `code` or by `signal`, the other is None. `seconds` is how long it ran.

    `limited`: we stopped it because its time was over, `stopped`: because somebody wanted it. `strays`: processes that it
    left behind. `excess`: the limit that it went over, and was stopped for or failed by. `usage`: what it used.
    """

    code: int | None
    signal: int | None
    limited: bool
    strays: int
    seconds: float
    stopped: bool = False
    excess: Excess | None = None
    usage: Usage = field(default_factory=Usage)

    @property
    def shell_code(self) -> int:
        """What a shell would say: the code, or 128 + the signal."""
        return 128 + (self.signal or 0) if self.code is None else self.code


class NotStarted(OSError):
    """The command could not be started: nothing of it has run. `code`: what the tool ended with that was to start it, if one did."""

    code: int | None = None


def _future() -> asyncio.Future[None]:
    return asyncio.get_running_loop().create_future()


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody wants of a command that runs: `stop`, its end, with time to tidy up; `kill`, its end at once. What is
    to be killed is to be stopped, too."""

    stop: asyncio.Future[None] = field(default_factory=_future)
    kill: asyncio.Future[None] = field(default_factory=_future)


class _Leader:
    """A command that was started. `ended` comes with its wait status as `subprocess` tells it: -n for signal n."""

    def __init__(
        self, process: subprocess.Popen[bytes], report: Report | None = None, token: str = ""
    ) -> None:
        """`report`: it is contained; its processes bear the `token` then."""
        self.pid = process.pid
        self.used: resource.struct_rusage | None = None  # with all that was waited for, at its end
        self.ended = self._end_of(process)
        self.report = report
        self._token = token

    def _end_of(self, process: subprocess.Popen[bytes]) -> asyncio.Future[int]:
        """The exit status, once there is one; it is then taken. Costs no thread where the kernel has pidfd_open(2)."""
        loop = asyncio.get_running_loop()

        def wait() -> int:
            _, status, self.used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            return process.returncode

        try:
            descriptor = os.pidfd_open(process.pid)
        except OSError:  # before Linux 5.3
            return loop.run_in_executor(None, wait)
        ended: asyncio.Future[int] = loop.create_future()

        def take() -> None:
            loop.remove_reader(descriptor)
            os.close(descriptor)
            ended.set_result(wait())

        loop.add_reader(descriptor, take)
        return ended

    async def ends(self, seconds: float, *unless: asyncio.Future[Any]) -> bool:
        """Wait at most so long for it, or until one of `unless` is done; whether it has ended."""
        waits: list[asyncio.Future[Any]] = [self.ended, *unless]
        await asyncio.wait(waits, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return self.ended.done()

    def signal_group(self, number: signal.Signals) -> None:
        """Signal the group if the leader has not ended: its number is certainly still the leader's then.

        Of what is contained, the group is that of the first process inside, which leads a session of its own.
        """
        if self.ended.done():
            return
        first = strays.first_inside(self.pid, self._token) if self.report else None
        with suppress(ProcessLookupError, PermissionError):  # a set-uid program
            os.killpg(self.pid if first is None else first, number)
        if first is not None and number == signal.SIGKILL:  # it may just have led its session elsewhere
            with suppress(ProcessLookupError):
                os.kill(first, number)

    def end(self) -> tuple[int | None, int | None]:
        """Code and signal by which it ended. Raises `NotStarted` if the command was never begun."""
        status = self.ended.result()
        if status < 0 or self.report is None:
            return (status, None) if status >= 0 else (None, -status)
        end = self.report.read(status)
        if not end.began:
            fault = NotStarted(
                0, end.said or "the sandbox could not be made; what it said is in the job's stderr"
            )
            fault.code = end.code
            raise fault
        return end.code, end.signal

    def use(self) -> tuple[float | None, int | None]:
        """Seconds of CPU and bytes of memory of the largest process, of all that was waited for. No memory if that may be our own:
        a process counts what it was before it became another program."""
        if self.used is None:
            return None, None
        most = self.used.ru_maxrss
        own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return self.used.ru_utime + self.used.ru_stime, most * 1024 if most > own else None

    def close(self) -> None:
        """It is not looked at any more."""
        if self.report is not None:
            self.report.close()


def become_subreaper() -> None:
    """Make this process the parent of its orphaned descendants (prctl(2)), and have none of them write core files, which
    would fill the disk and the package. Once, before the first `run`.

    Raises OSError where the kernel cannot (before 3.4). `run` then reaps the orphans that are started in a
    session of their own: what else starts child processes here, keeps them in this process's session or starts
    them before the first `run`.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")
    resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


async def run(
    argv: Sequence[str],
    *,
    cwd: Path,
    environment: Mapping[str, str],
    stdout: Path,
    stderr: Path,
    token: str,
    of: JobRef | None = None,
    limit: float | None = None,
    grace: float = TERM_GRACE,
    wishes: Wishes | None = None,
    descriptors: Sequence[int] = (),
    contained: bool = False,
    limits: ProcessLimits | None = None,
    watch: Watch | None = None,
    cpus: Collection[int] = (),
) -> Exit:
    """Run `argv` in `cwd` with exactly this `environment`, the output appended to the two files. `descriptors` and `contained`
    as in `Launch`; `limits` are set for it, and `watch` looks at it. `cpus`: the numbers of the cores on which alone it runs.

    After `limit` seconds, or when somebody wishes it, the group gets SIGTERM, `grace` seconds later SIGKILL. `token` is
    random and used for one attempt only, which `of` names in the log. Cancelling kills everything at once. Raises `NotStarted`.
    """
    wishes = wishes or Wishes()
    begun, since = time.monotonic(), strays.ticks_now()
    full = {**environment, strays.TOKEN_VARIABLE: token}
    report = Report.open() if contained else None
    try:
        with _bound_to(cpus):
            leader = _start(
                argv,
                report,
                token=token,
                cwd=cwd,
                env=full,
                stdout=stdout,
                stderr=stderr,
                pass_fds=descriptors,
            )
    except BaseException:
        if report is not None:
            report.close()
        raise
    if limits is not None:
        limits.set_for(leader.pid)
    looking: asyncio.Task[Excess] | None = None
    if watch is not None:
        watch.members = partial(strays.members_near, token, leader.pid, since)
        looking = asyncio.ensure_future(watch.over())
    stop_rest = partial(strays.stop, token, of=of, session=leader.pid, since=since)
    try:
        limited = await _wait(leader, limit, grace, since, wishes, looking)
        seconds = time.monotonic() - begun
        left = await _stop_rest(stop_rest, since, wishes)
    except asyncio.CancelledError:
        killing = asyncio.ensure_future(_kill(leader, stop_rest, since))
        while not killing.done():
            with suppress(asyncio.CancelledError):  # being cancelled once more does not stop it
                await asyncio.shield(killing)
        raise
    else:
        code, number = leader.end()
    finally:
        _leaders.discard(leader.pid)
        leader.close()
        if looking is not None:
            looking.cancel()
    stopped = wishes.stop.done()
    excess = looking.result() if looking is not None and looking.done() and not looking.cancelled() else None
    cpu, memory = leader.use()
    if watch is not None:
        at_end = partial(watch.at_end, code, number, cpu, memory)
        found = at_end() if code == 0 else await in_thread(at_end)
        excess = excess or (None if limited else found)
    return Exit(
        code=code,
        signal=number,
        limited=limited and not stopped,
        stopped=limited and stopped,
        strays=left,
        seconds=seconds,
        excess=excess,
        usage=Usage(cpu_time=cpu, memory=memory) if watch is None else watch.usage,
    )


def _start(
    argv: Sequence[str],
    report: Report | None,
    *,
    token: str,
    stdout: Path,
    stderr: Path,
    **more: Any,
) -> _Leader:
    """Blocks until the command has taken the place of the child process: under a millisecond."""
    try:
        with _appended(stdout) as out, _appended(stderr) as err:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL if report is None else report.descriptor,
                stdout=out,
                stderr=err,
                start_new_session=True,
                umask=0o077,
                **more,
            )
    except OSError as error:
        raise NotStarted(error.errno, error.strerror, error.filename) from error
    _leaders.add(process.pid)
    _choose_first(process.pid)
    return _Leader(process, report, token)


@contextmanager
def _bound_to(cpus: Collection[int]) -> Iterator[None]:
    """What is started meanwhile runs on these cores, with all that it starts: it has that of this thread (sched_setaffinity(2))."""
    if not cpus:
        yield
        return
    own = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, cpus)
    except OSError as error:  # somebody has taken a core away
        raise NotStarted(error.errno, f"binding it to the cores {sorted(cpus)}: {error.strerror}") from error
    try:
        yield
    finally:
        os.sched_setaffinity(0, own)


def _choose_first(pid: int) -> None:
    with suppress(OSError):
        file = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(file, _CHOSEN_FIRST)
        finally:
            os.close(file)


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
    leader: _Leader,
    limit: float | None,
    grace: float,
    since: int,
    wishes: Wishes,
    looking: asyncio.Task[Excess] | None,
) -> bool:
    """Wait for the leader, stop it when its time is over or somebody wants it; whether that was necessary. What is over a limit is
    killed."""
    left = math.inf if limit is None else limit
    over = () if looking is None else (looking,)
    while left > 0 and not wishes.stop.done():
        if await leader.ends(min(left, REAP_INTERVAL), wishes.stop, *over):
            return False
        if looking is not None and looking.done():
            leader.signal_group(signal.SIGKILL)
            await asyncio.wait([leader.ended])
            return False
        left -= REAP_INTERVAL
        _reap_orphans(since)
    leader.signal_group(signal.SIGTERM)
    if not await leader.ends(grace, wishes.kill):
        leader.signal_group(signal.SIGKILL)
        await asyncio.wait([leader.ended])
    return True


async def _stop_rest(stop: Callable[..., int], since: int, wishes: Wishes) -> int:
    """Stop and reap what the leader left behind, politely at first unless it is to be killed; how many there were.

    All of that has become ours, or descends from what has, before the leader's status could be taken. So in most cases
    one look at our children is enough.
    """
    if not any(process.started >= since for process in _adopted()):
        return 0
    polite = asyncio.ensure_future(in_thread(partial(stop, grace=STRAY_GRACE)))
    await asyncio.wait((polite, wishes.kill), return_when=asyncio.FIRST_COMPLETED)
    if not polite.done():
        await in_thread(stop)
    left = await polite
    _reap_orphans(since)
    return left


async def _kill(leader: _Leader, stop: Callable[..., int], since: int) -> None:
    leader.signal_group(signal.SIGKILL)
    await asyncio.wait([leader.ended])
    now = Wishes()
    now.kill.set_result(None)
    await _stop_rest(stop, since, now)


def _reap_orphans(since: int) -> None:
    """Take the exit statuses of adopted children that have ended. They did not start before `since`."""
    for process in _adopted():
        if process.zombie and process.started >= since:
            with suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)


def _adopted() -> list[strays.Process]:
    """Our children that are of another session and that nobody waits for: orphans of payloads, and what was started
    before the first of these."""
    session = os.getsid(0)
    return [process for process in strays.children(_leaders) if process.session != session]
