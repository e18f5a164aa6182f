"""Removing the directory tree that a payload left: any depth, any number of files, any permissions.

Directories below the first level are moved up to it before they are looked into, so no path ever grows long
and nothing recurses, however deep the payload nested them. Symlinks are removed, never followed.
"""

from __future__ import annotations

import os
import secrets
from itertools import islice
from pathlib import Path

_BATCH = 1000  # names that are held at a time


def remove_tree(root: Path) -> None:
    """Remove the directory `root`; a missing one is fine. Blocks as long as it takes.

    What a crash leaves of it, the next call removes. Raises OSError, for a mount point in the tree for instance.
    """
    try:
        root.chmod(0o700)
    except FileNotFoundError:
        return
    while names := _some_names(root):
        for name in names:
            path = root / name
            if path.is_dir() and not path.is_symlink():
                path.chmod(0o700)
                _remove_level(path, root)
            else:
                path.unlink()
    root.rmdir()


def _some_names(directory: Path) -> list[str]:
    with os.scandir(directory) as entries:
        return [entry.name for entry in islice(entries, _BATCH)]


def _remove_level(directory: Path, root: Path) -> None:
    """Remove `directory`, which may be read; those in it go to `root`."""
    with os.scandir(directory) as entries:
        for entry in entries:
            path = Path(entry.path)
            if entry.is_dir(follow_symlinks=False):
                path.chmod(0o700)  # its own rights count when its parent changes
                path.rename(root / secrets.token_hex(8))
            else:
                path.unlink()
    directory.rmdir()
