"""One system a directory: a lock that its owner holds as long as it lives, however it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from copilot.errors import ConfigError


@contextlib.contextmanager
def alone_in(directory: Path) -> Iterator[None]:
    """Hold the lock of `directory` while inside. Raises ConfigError, which names the process that has it.

    The kernel gives the lock back with the last descriptor (flock(2)), so nothing stale is ever left.
    """
    with (directory / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ConfigError(
                f"{directory}: another system runs there already (process {file.read().strip() or 'unknown'}). "
                "Stop that one first, or choose another directory with --dir."
            ) from None
        file.truncate(0)
        file.write(f"{os.getpid()}\n")
        file.flush()
        yield
