"""Child processes that die with us: the private servers, run as an unprivileged user when we are root.

A child gets SIGKILL from the kernel when the *thread* that started it ends (prctl(2), PR_SET_PDEATHSIG), so a
server never outlives its owner, even if that one is killed. Start children in a thread that lives as long as
they shall.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import pwd
import resource
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

from copilot.errors import ConfigError, CopilotError

PR_SET_PDEATHSIG = 1  # linux/prctl.h
OWN_USER, COMMON_USER = "copilot", "nobody"
POLL_S = 0.02
GRACE_S = 5.0
LOG_TAIL_LINES = 10

_libc = ctypes.CDLL(None, use_errno=True)  # loaded here: nothing may be loaded between fork and exec


def unprivileged_user() -> str | None:
    """The user that servers run as when we are root: `copilot` if there is one, else `nobody`; None if not root."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(OWN_USER).pw_name
    except KeyError:
        return COMMON_USER


def identity(user: str | None) -> dict[str, Any]:
    """Keyword arguments for `subprocess` that turn a child into `user`, without our groups; none for None."""
    if user is None:
        return {}
    entry = _entry(user)
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def reachable(path: Path, user: str | None) -> bool:
    """Can `user` (None: we) enter this directory or execute this file?

    The kernel is asked in that user's place, for the answer depends on every parent, on ACLs and on mounts.
    """
    if user is None:
        return os.access(path, os.X_OK)
    return subprocess.run(["/usr/bin/test", "-x", path], check=False, **identity(user)).returncode == 0


def make_directory(path: Path, user: str | None) -> None:
    """Make `path` (and parents) ours: 0700, or 0711 when a server of another user works below it.

    Raises ConfigError if that user cannot get there.
    """
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(0o700 if user is None else 0o711)
    if not reachable(path, user):
        raise ConfigError(
            f"The directory {path} cannot be entered by the user {user}, as whom servers run when root starts "
            "them. Take a directory whose parents others may enter, for example below /var/lib."
        )


def give(path: Path, user: str | None) -> None:
    """Make a file or directory that we have just made the property of `user` (None: leave it ours)."""
    if user is not None:
        entry = _entry(user)
        os.chown(path, entry.pw_uid, entry.pw_gid, follow_symlinks=False)


def _entry(user: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(user)
    except KeyError:
        raise ConfigError(
            f"There is no user {user} on this machine; name one that exists or leave it out."
        ) from None


class Child:
    """One running child process and its log."""

    def __init__(self, process: asyncio.subprocess.Process, *, name: str, log: Path) -> None:
        self._process = process
        self._name = name
        self._log = log

    @classmethod
    async def start(
        cls, argv: Sequence[str | Path], *, log: Path, user: str | None, env: Mapping[str, str], cwd: Path
    ) -> Child:
        """Start `argv` with nothing of our environment but `env`, its output in `log` (the last one is kept)."""
        with _new_log(log) as output:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=env,
                cwd=cwd,
                start_new_session=True,  # Ctrl-C reaches us alone; we stop the children in order
                preexec_fn=die_with(os.getpid()),  # runs after the change of user, which would undo it
                **identity(user),
            )
        return cls(process, name=Path(argv[0]).name, log=log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def running(self) -> bool:
        return self._process.returncode is None

    async def wait(self) -> int:
        """Exit status (negative: the signal), as soon as the child has ended."""
        return await self._process.wait()

    async def wait_until(self, ready: Callable[[], bool], *, limit_s: float) -> None:
        """Return when `ready()`; raises CopilotError with the end of the log if the child ends or takes longer."""
        deadline = time.monotonic() + limit_s
        try:
            while not ready():
                if not self.running:
                    raise CopilotError(self.last_words())
                if time.monotonic() > deadline:
                    raise CopilotError(self._failure(f"was not ready after {limit_s:g} s and was stopped"))
                await asyncio.sleep(POLL_S)
        except BaseException:  # also when our caller is cancelled: nobody would know of the child
            await self.stop()
            raise

    async def stop(self, *, grace_s: float = GRACE_S) -> None:
        """TERM, then KILL after `grace_s` seconds. The child is gone and reaped when this returns."""
        self._signal(signal.SIGTERM)
        try:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace_s)
        finally:
            self._signal(signal.SIGKILL)
            await self._process.wait()

    def last_words(self) -> str:
        """How it ended, and the end of its log."""
        status = self._process.returncode
        return self._failure("has not ended" if status is None else how_it_ended(status))

    def _signal(self, number: signal.Signals) -> None:
        """Not by the methods of `Process`: those look for the exit status, too, and may take it from asyncio."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def _failure(self, what: str) -> str:
        lines = self._log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:]
        tail = "\n".join(f"    {line}" for line in lines) or "    (empty)"
        return f"{self._name} {what}. The end of its log {self._log}:\n{tail}"


def how_it_ended(status: int) -> str:
    """An exit status as `subprocess` gives it (negative: the signal), in words."""
    if status >= 0:
        return f"ended with exit code {status}"
    return f"was killed by signal {-status} ({signal.strsignal(-status) or 'unknown'})"


def _new_log(path: Path) -> BinaryIO:
    if path.exists():
        path.replace(path.with_name(path.name + ".1"))
    return path.open("xb")


def die_with(parent: int) -> Callable[[], None]:
    """A `preexec_fn` for children that shall not outlive us; `parent` is our own process id."""
    _, most_files = resource.getrlimit(resource.RLIMIT_NOFILE)

    def in_child() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:  # it died before the kernel knew whom to watch
            os._exit(1)
        # One connection is one open file, and the usual soft limit of 1,024 is less than a fleet.
        resource.setrlimit(resource.RLIMIT_NOFILE, (most_files, most_files))

    return in_child
