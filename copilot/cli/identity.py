"""A daemon that root starts gives root up before it reads a setting or opens a connection.

`copilot up` names the user in `COPILOT_RUN_AS`. The program may lie where only root can read (a checkout below
/root), so what Python loads late is loaded before.
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pwd
import signal

from copilot.errors import ConfigError

RUN_AS = "COPILOT_RUN_AS"
PR_SET_PDEATHSIG = 1  # linux/prctl.h
LOADED_LATE = (
    "asyncio.subprocess",
    "concurrent.futures.thread",
    "copilot.agent.service",
    "copilot.files.http",
    "copilot.files.local",
    "copilot.files.server",
    "copilot.store.redis",
    "copilot.transport.connection",
    "encodings.idna",
    "stringprep",
)


def become_configured_user() -> None:
    """Become the user that `COPILOT_RUN_AS` names, for good; nothing happens without it. Raises `ConfigError`."""
    name = os.environ.pop(RUN_AS, None)
    if name is None:
        return
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise ConfigError(f"environment: {RUN_AS}: there is no user {name!r} on this machine") from None
    if os.geteuid() == user.pw_uid:
        return
    parent = os.getppid()
    for module in LOADED_LATE:
        importlib.import_module(module)
    try:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    except PermissionError as error:
        raise ConfigError(f"environment: {RUN_AS}: only root can become {name!r}") from error
    os.environ["HOME"] = "/"
    _die_with(parent)


def _die_with(parent: int) -> None:
    """The change of user has undone this (prctl(2)): a daemon of `copilot up` ends when that one does."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)
