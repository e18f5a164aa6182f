"""The release before this version: its tree from the history of this repository, run by the Python of the tests.

What it needs is a part of what this version needs: it runs in the same environment, in front of which its tree stands.
"""

from __future__ import annotations

import compileall
import contextlib
import fcntl
import os
import subprocess
import sys
import tarfile
import tempfile
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from copilot.errors import CopilotError
from copilot.local import provision
from tests.acceptance.running import LIMIT_S

TAG = "v0.1.0"
COMMIT = "27ce6bdf4cdefec9b563c64aa5ec883572a2c1ef"  # where a clone has no tags
PROGRAMS = {
    "copilot": "main",
    "copilot-agent": "agent",
    "copilot-fileserver": "fileserver",
    "copilot-job-submit": "submit",
    "copilot-jobmanager-generic": "jobmanager",
    "copilot-monitor": "monitor",
    "copilot-storagemanager": "storagemanager",
}
# What starts other programs starts those of its own version.
_PROGRAM = """\
#!{python}
import sys
sys.path.insert(0, {tree!r})
import copilot.local.system
from pathlib import Path
copilot.local.system.command_path = lambda name: Path({programs!r}) / name
from copilot.cli.{module} import main
if __name__ == "__main__":
    sys.exit(main())
"""
QUIET = {"COVERAGE_PROCESS_START": ""}  # coverage is that of this version


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release: its tree, and the directory of its programs."""

    tree: Path
    programs: Path

    def run_file(self, file: Path, *arguments: str) -> str:
        """What this file prints when it runs with the modules of that release."""
        done = subprocess.run(
            [sys.executable, file, *arguments],
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={**os.environ, **QUIET, "PYTHONPATH": str(self.tree)},
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def previous(programs: Path) -> Release:
    """The release before this version, unpacked and compiled in the cache of servers; its programs are put into that directory.

    Raises `CopilotError` where the history does not have it."""
    place = provision.cache_directory() / "releases" / COMMIT[:12]
    place.parent.mkdir(parents=True, exist_ok=True)
    with place.with_name(f".{place.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            _unpack(_archive(Path(__file__).parents[2]), place)
    programs.mkdir(mode=0o755)
    for name, module in PROGRAMS.items():
        words = {"python": sys.executable, "tree": str(place), "programs": str(programs), "module": module}
        (programs / name).write_text(_PROGRAM.format(**words))
        (programs / name).chmod(0o755)
    return Release(tree=place, programs=programs)


def _unpack(packed: bytes, place: Path) -> None:
    with tempfile.TemporaryDirectory(dir=place.parent) as directory:
        work = Path(directory) / place.name
        work.mkdir()
        with tarfile.open(fileobj=BytesIO(packed)) as archive:
            archive.extractall(work, filter="data")
        compileall.compile_dir(work / "copilot", quiet=1)  # else each program of another user does it anew
        work.rename(place)


def _archive(root: Path) -> bytes:
    for name in (TAG, COMMIT):
        # A directory that belongs to somebody else is no reason not to read it.
        argv = ["git", "-c", f"safe.directory={root}", "-C", str(root), "archive", name, "copilot"]
        with contextlib.suppress(OSError):
            done = subprocess.run(argv, capture_output=True, check=False)
            if done.returncode == 0:
                return done.stdout
    raise CopilotError(
        f"the release before this version ({TAG}, {COMMIT[:12]}) is not in the history of {root}: "
        "git fetch --unshallow --tags"
    )
