"""Small disks that can be filled, seen by nobody but us and our children. Only root can have them."""

from __future__ import annotations

import contextlib
import ctypes
import os
import pwd
import subprocess
from collections.abc import Iterator
from pathlib import Path

from copilot.local.process import unprivileged_user

CLONE_NEWNS = 0x00020000  # linux/sched.h
BALLAST = ".ballast"
_mounted: list[Path] = []


def possible() -> bool:
    """Whether we may mount; from then on, what we mount is ours alone and goes with us."""
    if os.geteuid() != 0 or ctypes.CDLL(None).unshare(CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], check=False).returncode == 0


def mount(path: Path, size: str) -> None:
    """A disk of that size at `path`, which is made, for the user as whom programs run."""
    user = pwd.getpwnam(unprivileged_user() or "root")
    path.mkdir(parents=True)
    options = f"size={size},mode=0700,uid={user.pw_uid},gid={user.pw_gid}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)
    _mounted.append(path)


def unmount_all() -> None:
    """When nothing runs there any more."""
    while _mounted:
        subprocess.run(["umount", "--lazy", _mounted.pop()], check=True)


@contextlib.contextmanager
def full(path: Path) -> Iterator[None]:
    """Nothing fits on it while inside."""
    ballast = path / BALLAST
    try:
        with ballast.open("wb", buffering=0) as file:
            for size in (1024 * 1024, 4096):
                with contextlib.suppress(OSError):
                    while file.write(bytes(size)) == size:
                        pass
        yield
    finally:
        ballast.unlink()
