"""`copilot-jobmanager-generic`: gives jobs to agents and takes their output (report, section 4.2)."""

from __future__ import annotations

from collections.abc import Sequence

from copilot.cli import daemon, manager
from copilot.jobmanager.config import ManagerConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return daemon.main(ManagerConfig, "Gives jobs to agents and takes their output.", manager.run, arguments)
