"""A plain Python for the agent as one file: one that knows nothing of Co-Pilot."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from copilot.local.process import reachable

VERSION = "import sys; print('{}.{}'.format(*sys.version_info[:2]))"


def pythons(user: str | None) -> Iterator[tuple[Path, str]]:
    """Those that this user can start and that Co-Pilot is for, with their versions: never the one of an environment."""
    for path in (Path(sys._base_executable), Path("/usr/bin/python3")):  # type: ignore[attr-defined]
        if path.exists() and reachable(path, user):
            asked = subprocess.run([path, "-c", VERSION], capture_output=True, text=True, check=True)
            version = asked.stdout.strip()
            if tuple(map(int, version.split("."))) >= (3, 11):
                yield path, version
