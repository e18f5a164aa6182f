"""Makes what each peer needs, in a cache: a Python environment with pinned packages, or Work Queue's library.

python -m bench.peers.environments [peer …]
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.peers import cctools
from copilot.errors import CopilotError

CACHE = Path(__file__).parents[1] / ".cache"
REQUIREMENTS = Path(__file__).parent / "requirements"
PEERS = ("copilot", "ray", "celery", "dask", "parsl", "dramatiq", "work_queue", "rq")
LIMIT_S = 900.0


class NotMeasured(CopilotError):
    """A peer cannot be had on this machine; the text says why."""


@dataclass(frozen=True, kw_only=True)
class Environment:
    """How to start one peer: its Python, and what it finds in its environment besides."""

    python: Path
    variables: Mapping[str, str] = field(default_factory=dict)


def ensure(peer: str) -> Environment:
    """The environment of `peer`, made if it is not there: a minute the first time. Raises NotMeasured."""
    ours = Path(sys.executable)
    try:
        if peer == "copilot":
            return Environment(python=ours)
        if peer == "work_queue":
            return Environment(python=ours, variables=cctools.prepare(CACHE / peer))
        return Environment(python=virtual(REQUIREMENTS / f"{peer}.txt"))
    except (CopilotError, OSError, subprocess.SubprocessError) as error:
        raise NotMeasured(f"not measured: {error}") from error


def virtual(requirements: Path) -> Path:
    """The Python of a virtual environment that has just what is written in this file. Raises NotMeasured."""
    directory = CACHE / requirements.stem
    python, stamp = directory / "bin" / "python", directory / ".installed"
    wanted = f"{platform.python_version()}\n{requirements.read_text()}"
    if not (stamp.exists() and stamp.read_text() == wanted):
        shutil.rmtree(directory, ignore_errors=True)
        _run([sys.executable, "-m", "venv", directory])
        _run([python, "-m", "pip", "install", "--quiet", "--no-input", "--requirement", requirements])
        stamp.write_text(wanted)
    return python


def _run(argv: Sequence[str | Path]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")]
        raise NotMeasured(" ".join(errors) or done.stderr.strip()[-500:] or f"{argv[0]} failed")


def main(peers: Sequence[str]) -> None:
    """The command: all peers, or those named."""
    for peer in peers or PEERS:
        try:
            ensure(peer)
            print(f"{peer}: ready")
        except NotMeasured as error:
            print(f"{peer}: {error}")


if __name__ == "__main__":
    main(sys.argv[1:])
