"""The secret that signs claims and file URLs: one small file, shared by all instances of a deployment.

Each line is `<time of birth, s since the epoch> <secret in hex>`, the newest last. A secret stays valid for
7 days after a newer one was born (protocol page, section 3), so that what was signed before still counts.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from itertools import pairwise
from pathlib import Path

from copilot.errors import ConfigError
from copilot.protocol.claim import SECRET_BYTES

VALID_AFTER_ROTATION = 7 * 24 * 3600.0  # s


def load_secrets(path: Path, now: float) -> tuple[bytes, ...]:
    """The valid secrets, the present one first; the file is made if there is none.

    `now` is in seconds since the epoch. Raises `ConfigError` if the file can be read by others or makes no sense.
    """
    try:
        _create(path, now)
        text, mode = path.read_text(), path.stat().st_mode
    except OSError as error:
        raise ConfigError(f"the secret file {path} cannot be read or made: {error.strerror}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise ConfigError(f"the secret file {path} can be read by others: chmod 600 {path}")
    try:
        entries = [_entry(line) for line in text.splitlines() if line.strip()]
    except ValueError as error:
        raise ConfigError(f"the secret file {path}: {error}; remove it to have a new one made") from error
    if not entries:
        raise ConfigError(f"the secret file {path} is empty: remove it to have a new one made")
    replaced = [secret for (_, secret), (born, _) in pairwise(entries) if now - born <= VALID_AFTER_ROTATION]
    return (entries[-1][1], *reversed(replaced))


def _create(path: Path, now: float) -> None:
    """Two instances that start at once end up with one and the same file."""
    if path.exists():
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(f"{now:.0f} {secrets.token_hex(SECRET_BYTES)}\n")
        file.flush()
        os.fsync(file.fileno())
    with contextlib.suppress(FileExistsError):
        os.link(temporary, path)
    temporary.unlink()


def _entry(line: str) -> tuple[float, bytes]:
    born, _, encoded = line.strip().partition(" ")
    secret = bytes.fromhex(encoded)
    if len(secret) < SECRET_BYTES:
        raise ValueError(f"a secret has {len(secret)} bytes, at least {SECRET_BYTES} are needed")
    return float(born), secret
