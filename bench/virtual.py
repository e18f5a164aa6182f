"""Python environments apart, with pinned and hashed packages: for peers, for the plot, for servers of the tests and for the
tools of a release.

What `build.txt` beside a file of requirements pins is what packages are built with, so that no build fetches its own.

Made once and kept; when the pins or the Python change it is made anew. Of two runs at once one waits for the other.

    python -m bench.virtual REQUIREMENTS ...      makes one for each file in the cache of servers
"""

from __future__ import annotations

import fcntl
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from copilot.errors import CopilotError
from copilot.local import provision

LIMIT_S = 900.0


def find(requirements: Path, directory: Path) -> Path | None:
    """The Python of the environment in `directory`, if that has just what is written in this file."""
    stamp = directory / ".installed"
    return _python(directory) if stamp.exists() and stamp.read_text() == _wanted(requirements) else None


def make(requirements: Path, directory: Path, *, variables: Mapping[str, str] | None = None) -> Path:
    """The same, made if it is not there. Every requirement has a hash. `variables` are for pip and what it starts.

    Raises CopilotError, whose text is pip's, and OSError.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f".{directory.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when closed, also by our death
        if find(requirements, directory) is None:
            shutil.rmtree(directory, ignore_errors=True)
            # Without a pip of its own: Debian keeps that in a package that not every machine has.
            _run([sys.executable, "-m", "venv", "--without-pip", directory])
            pip = [
                sys.executable,
                "-m",
                "pip",
                "--python",
                str(_python(directory)),
                "install",
                "--quiet",
                "--no-input",
                "--require-hashes",
            ]
            if (build := requirements.with_name("build.txt")).exists():
                _run([*pip, "--requirement", build])
                pip.append("--no-build-isolation")
            _run([*pip, "--requirement", requirements], variables)
            (directory / ".installed").write_text(_wanted(requirements))
    return _python(directory)


def in_cache(requirements: Path) -> Path:
    """Where the environment of this file lies in the cache of servers."""
    return provision.cache_directory() / "environments" / requirements.stem


def _python(directory: Path) -> Path:
    return directory / "bin" / "python"


def _wanted(requirements: Path) -> str:
    return f"{platform.python_version()}\n{requirements.read_text()}"


def _run(argv: Sequence[str | Path], more: Mapping[str, str] | None = None) -> None:
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
            env={**os.environ, **(more or {})},
        )
    except subprocess.TimeoutExpired as error:
        raise CopilotError(f"{' '.join(map(str, argv[:4]))} took more than {LIMIT_S:.0f} s") from error
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise CopilotError(" ".join(errors) or done.stderr.strip()[-500:] or f"{argv[0]} failed")


def main(files: Sequence[str]) -> int:
    """Make them, and print where they are. Exit status 1 if one cannot be had."""
    for file in map(Path, files):
        try:
            print(f"{file.stem}: {make(file, in_cache(file))}")
        except (CopilotError, OSError) as error:
            print(f"{file.stem} cannot be installed in {in_cache(file)}: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
