"""Where the program `copilot` begins: before all that it loads, so that the collector leaves that alone and Ctrl-C is heard."""

from __future__ import annotations

import sys

from copilot.cli import collecting
from copilot.cli.codes import ExitCode


def main() -> None:
    """The command."""
    collecting.few()
    try:
        from copilot.cli.main import main as command

        command()
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
