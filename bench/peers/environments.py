"""Makes what each peer needs, in a cache: a Python environment with pinned packages, or Work Queue's library.

python -m bench.peers.environments [peer …]
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import virtual
from bench.peers import cctools
from copilot.errors import CopilotError

CACHE = Path(__file__).parents[1] / ".cache"
REQUIREMENTS = Path(__file__).parent / "requirements"
PEERS = ("copilot", "ray", "celery", "dask", "parsl", "dramatiq", "work_queue", "rq")


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
        return Environment(python=virtual.make(REQUIREMENTS / f"{peer}.txt", CACHE / peer))
    except (CopilotError, OSError, subprocess.SubprocessError) as error:
        raise NotMeasured(f"not measured: {error}") from error


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
