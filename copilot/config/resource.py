"""The default resource of a component: unique, kept in its directory, and never used by two processes at a time.

The server throws out the first of two clients with one full JID (RFC 6120, 4.9.3.3, `conflict`). So a name is locked
as long as its process lives; a second process with the same directory gets a name of its own.
"""

from __future__ import annotations

import fcntl
import itertools
import os
import uuid
from pathlib import Path

from copilot.errors import ConfigError
from copilot.patterns import pattern
from copilot.records import dataclass

_KEPT = pattern(r"[a-z0-9-]{1,80}\Z")


@dataclass(frozen=True, slots=True)
class KeptResource:
    """A resource that belongs to this process until `release`."""

    name: str
    descriptor: int

    def release(self) -> None:
        """Let the next process have the name."""
        os.close(self.descriptor)


def keep_resource(directory: Path, program: str) -> KeptResource:
    """Take the resource that `program` (a short name in lower case) had here before, or make one.

    Raises `ConfigError` if the directory, which must exist, cannot be written to.
    """
    try:
        for number in itertools.count(1):
            file = directory / f"{program}-{number}.resource"
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                continue
            return KeptResource(_read_or_make(descriptor, program), descriptor)
    except OSError as error:
        raise ConfigError(
            f"{directory}: the Jabber resource cannot be kept here: {error.strerror}; expected a directory that this "
            "user can write to"
        ) from error
    raise AssertionError("counting never ends")


def _read_or_make(descriptor: int, program: str) -> str:
    kept = os.pread(descriptor, 100, 0).decode("ascii", "replace").strip()
    if _KEPT.match(kept):
        return kept
    name = f"{program}-{uuid.uuid4()}"
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{name}\n".encode(), 0)
    return name
