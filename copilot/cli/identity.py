"""A daemon that root starts gives root up before it reads a setting or opens a connection.

`copilot up` names the user in `COPILOT_RUN_AS`. Python and this package may lie where only root can go (a checkout
below /root, say), and Python loads modules late: so directories that the new user cannot enter are opened before, and
from then on go by the name of the open directory, `/proc/self/fd/N`, which asks nobody for the way there (proc(5)).
"""

from __future__ import annotations

import ctypes
import importlib
import os
import pwd
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

from copilot.errors import ConfigError

RUN_AS = "COPILOT_RUN_AS"
PR_SET_PDEATHSIG, PR_SET_DUMPABLE = 1, 4  # linux/prctl.h

_libc = ctypes.CDLL(None)


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
    parent, opened = os.getppid(), _open_code()
    try:
        os.setgroups([])
        os.setgid(user.pw_gid)
        os.setuid(user.pw_uid)
    except PermissionError as error:
        raise ConfigError(f"environment: {RUN_AS}: only root can become {name!r}") from error
    _libc.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else /proc/self/fd would belong to root
    _go_by_open_directories(opened)
    _die_with(parent)


def _open_code() -> dict[str, int]:
    """All directories from which modules are loaded, opened."""
    packages = [Path(path).parent for module in list(sys.modules.values()) for path in _search_path(module)]
    opened = {}
    for directory in {*sys.path, *map(str, packages)}:
        if os.path.isdir(directory):  # noqa: PTH112  # Path.is_dir raises where it may not look
            opened[directory] = os.open(directory, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    return opened


def _go_by_open_directories(opened: Mapping[str, int]) -> None:
    """Rename what can no longer be reached, wherever Python keeps its name."""
    names: dict[str, str] = {}
    for directory, descriptor in opened.items():
        if os.access(directory, os.R_OK | os.X_OK):
            os.close(descriptor)
        else:
            names[directory] = f"/proc/self/fd/{descriptor}"
    sys.path[:] = [names.get(path, path) for path in sys.path]
    for module in list(sys.modules.values()):
        _rename(module, names)
    sys.path_importer_cache.clear()
    importlib.invalidate_caches()


def _rename(module: ModuleType, names: Mapping[str, str]) -> None:
    def renamed(path: str) -> str:
        for parent in Path(path).parents:
            if str(parent) in names:
                return names[str(parent)] + path[len(str(parent)) :]
        return path

    spec = getattr(module, "__spec__", None)
    if search := _search_path(module):
        search[:] = [renamed(path) for path in search]
    if spec is not None and spec.submodule_search_locations:
        spec.submodule_search_locations[:] = [renamed(path) for path in spec.submodule_search_locations]
    if path := getattr(getattr(spec, "loader", None), "path", None):
        spec.loader.path = renamed(path)  # type: ignore[union-attr]  # where importlib.resources looks


def _search_path(module: ModuleType) -> list[str]:
    """Where the modules of a package are looked for; empty for what is no ordinary package."""
    path = getattr(module, "__path__", None)
    return path if isinstance(path, list) else []


def _die_with(parent: int) -> None:
    """The change of user has undone this (prctl(2)): a daemon of `copilot up` ends when that one does."""
    _libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        raise SystemExit(1)
