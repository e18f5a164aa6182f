"""Key files on the disk: made once, readable by their owner alone, changed in one step.

All instances of a service share one file. The text of an error never holds a key.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

from copilot.errors import ConfigError
from copilot.protocol.crypto.keys import PrivateKeys, PublicKeys, private_text, read_private, read_public

LARGEST = 1024 * 1024  # bytes


def load_keys(path: Path, make: Callable[[], PrivateKeys] | None = None) -> PrivateKeys:
    """The keys in a key file, which is made by `make` if there is none.

    Raises `ConfigError` if others can read it or it makes no sense.
    """
    if make is not None and not path.exists():
        with _told(path, "made"):
            path.parent.mkdir(parents=True, exist_ok=True)
            _write(path, make(), only_new=True)
    with _told(path, "read"):
        text, mode = _text(path), path.stat().st_mode
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"the key file {path} can be read by others: chmod 600 {path}")
    try:
        return read_private(text)
    except ValueError as error:
        raise ConfigError(f"the key file {path}: {error}") from error


def load_public_keys(path: Path) -> dict[str, PublicKeys]:
    """The keys in a file of public keys, by JID in lower case. Raises `ConfigError`."""
    with _told(path, "read"):
        text = _text(path)
    try:
        return read_public(text)
    except ValueError as error:
        raise ConfigError(f"the file of public keys {path}: {error}") from error


def new_key_file(path: Path, keys: PrivateKeys) -> None:
    """Write a key file that must not be there yet. Raises `ConfigError`."""
    with _told(path, "made"):
        if not _write(path, keys, only_new=True):
            raise ConfigError(f"{path}: is there already, and may be in use; nothing was written")


def change_key_file(path: Path, change: Callable[[PrivateKeys], PrivateKeys]) -> PrivateKeys:
    """Change a key file in one step: whoever reads it sees the old keys or the new ones. Raises `ConfigError`."""
    with _told(path, "changed"), _alone(path):
        keys = change(load_keys(path))
        _write(path, keys)
    return keys


@contextlib.contextmanager
def _told(path: Path, what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ConfigError(f"{path}: cannot be {what}: {error.strerror}") from error


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Nobody else changes a file of this directory while inside."""
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _text(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(LARGEST).decode("ascii", errors="replace")


def _write(path: Path, keys: PrivateKeys, *, only_new: bool = False) -> bool:
    """False: `only_new`, and there is one. Owner and group stay those of the file that it replaces."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(private_text(keys))
            file.flush()
            if not only_new:
                before = path.stat()
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fsync(file.fileno())
        if only_new:
            os.link(temporary, path)
        else:
            temporary.replace(path)
    except FileExistsError:
        return False
    finally:
        temporary.unlink(missing_ok=True)
    return True
