"""Where Graphite is installed: an environment of its own in the cache of servers.

python -m tests.carbon.environment        makes it, in half a minute, if it is not there
"""

from __future__ import annotations

import sys
from pathlib import Path

from bench import virtual
from copilot.errors import CopilotError, ServerMissing
from copilot.local import provision

REQUIREMENTS = Path(__file__).with_name("requirements.txt")
OLDER = Path(__file__).with_name("older")


def require() -> Path:
    """Its Python. Raises ServerMissing, whose text names the command that makes it."""
    if (python := virtual.find(REQUIREMENTS, _directory())) is None:
        raise ServerMissing(f"Graphite is not installed; `make servers` makes it in {_directory()}")
    return python


def _directory() -> Path:
    return provision.cache_directory() / "graphite"


def main() -> int:
    """Make it, and print where. Exit status 1 if it cannot be had."""
    try:
        python = virtual.make(REQUIREMENTS, _directory(), variables={"PYTHONPATH": str(OLDER)})
        sys.stdout.write(f"graphite: {python}\n")
    except (CopilotError, OSError) as error:
        sys.stderr.write(f"Graphite cannot be installed in {_directory()}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
