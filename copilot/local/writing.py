"""Writes small files of ours in one step: there complete or not at all, and never readable too widely for a moment."""

from __future__ import annotations

import os
from pathlib import Path


def write_file(path: Path, content: bytes | str, *, mode: int) -> None:
    """Replace `path` by a file with this content (text: UTF-8) and these permission bits."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        os.fchmod(file.fileno(), mode)
        file.write(content.encode() if isinstance(content, str) else content)
    new.replace(path)
