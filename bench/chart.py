"""The plot of a result file, drawn in an environment of its own: nothing else of ours needs matplotlib."""

from __future__ import annotations

import subprocess
from pathlib import Path

from bench import virtual
from bench.peers.environments import CACHE
from copilot.errors import CopilotError

REQUIREMENTS = Path(__file__).with_name("requirements") / "plot.txt"
PROGRAM = Path(__file__).with_name("plot.py")
LIMIT_S = 120.0


def draw(results: Path, svg: Path) -> str:
    """Draw `results` into `svg`; what became of it, for people."""
    try:
        python = virtual.make(REQUIREMENTS, CACHE / REQUIREMENTS.stem)
        subprocess.run([python, PROGRAM, results, svg], check=True, timeout=LIMIT_S)
    except (CopilotError, OSError, subprocess.SubprocessError) as error:
        return f"No plot: {error}"
    return f"Drawn as {svg}"
