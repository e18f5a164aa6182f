"""Directories of a program's own."""

from __future__ import annotations

import os
from pathlib import Path

from copilot.errors import ConfigError


def make_directory(path: Path) -> None:
    """Make a directory of a daemon's own. Raises `ConfigError` if that cannot be done."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"the directory {path} cannot be made: {error.strerror}") from error
    if not os.access(path, os.R_OK | os.W_OK | os.X_OK):
        raise ConfigError(f"the directory {path} cannot be written by this user")
