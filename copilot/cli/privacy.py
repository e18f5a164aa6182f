"""What a program does so that nobody learns its secrets from its process: no core file, nothing of it for other processes of
its user, and no secret in its environment, which its children would inherit."""

from __future__ import annotations

import ctypes
import os
import resource
from collections.abc import Collection

from copilot.config.secret import secret_keys

PR_SET_DUMPABLE = 4  # linux/prctl.h


def keep_to_itself() -> None:
    """No core files, here and in what is started from here; and memory, environment and open files of this process are
    nobody's but root's (proc(5), ptrace(2)), so that a payload of the same user cannot read them. What is executed from
    here is readable again.

    After the change of user, which sets this anew.
    """
    if resource.getrlimit(resource.RLIMIT_CORE) != (0, 0):  # systemd may have done it, and forbid the call
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctypes.CDLL(None).prctl(PR_SET_DUMPABLE, 0, 0, 0, 0)


def forget_secrets(declared: Collection[str]) -> None:
    """Take the secrets among our variables out of the environment, and out of where the kernel shows it
    (/proc/PID/environ): once they are read, nobody needs them."""
    libc = ctypes.CDLL(None)
    libc.getenv.restype = ctypes.c_void_p
    for name in secret_keys(tuple(os.environ), declared):
        if place := libc.getenv(os.fsencode(name)):
            ctypes.memset(place, 0, len(os.fsencode(os.environ[name])))
        del os.environ[name]
