"""A second process that outlives the agent by a moment: when the agent dies, however it dies, it stops its jobs.

It waits for the end of a pipe whose other end only the agent holds, then stops every process that bears the token
of an attempt, wherever it went, and removes what there is of jobs' secrets. (PR_SET_PDEATHSIG would kill a command alone and leave its children.)
"""

from __future__ import annotations

import ctypes
import os
import signal
from contextlib import suppress
from pathlib import Path

from copilot.agent import strays
from copilot.agent.sandbox import TOKEN_FILE
from copilot.agent.vault import Vault
from copilot.errors import TransferRefused
from copilot.files.disk import read_small
from copilot.records import dataclass

_PR_SET_NAME = 15  # linux/prctl.h
_DEAF_TO = (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Guard:
    """The guard as the agent sees it: its pid, and our end of the pipe."""

    pid: int
    held: int

    def dismiss(self) -> None:
        """Have it look a last time and end; returns when it has."""
        os.close(self.held)
        os.waitpid(self.pid, 0)


def start_guard(jobs: Path) -> Guard:
    """Fork the guard of the attempts below `jobs`.

    Call it once, before threads, locks and connections are there: the guard gets copies of all open files.
    """
    watched, held = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(held)
        try:
            _wait_and_stop(watched, jobs)
        finally:
            os._exit(0)
    os.close(watched)
    return Guard(pid, held)


def _wait_and_stop(watched: int, jobs: Path) -> None:
    os.setsid()  # a Ctrl-C or a kill of the agent's group must not take the guard along
    signal.set_wakeup_fd(-1)
    for number in _DEAF_TO:
        signal.signal(number, signal.SIG_IGN)
    ctypes.CDLL(None).prctl(_PR_SET_NAME, b"copilot-guard", 0, 0, 0)
    os.read(watched, 1)  # nobody writes: it returns when the last other end is closed
    for token in jobs.glob(f"*/{TOKEN_FILE}"):
        with suppress(OSError, TransferRefused, ValueError):  # a payload may have put something else there
            strays.stop(read_small(token).decode())
    Vault(jobs.parent).clear()
