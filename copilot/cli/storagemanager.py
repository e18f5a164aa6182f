"""`copilot-storagemanager`: takes the output of jobs; the manager's program in storage-only mode."""

from __future__ import annotations

from collections.abc import Sequence

from copilot.cli import daemon, manager
from copilot.storagemanager.config import StorageManagerConfig


def main(arguments: Sequence[str] | None = None) -> int:
    """The command."""
    return daemon.main(StorageManagerConfig, "Takes the output of jobs.", manager.run, arguments)
