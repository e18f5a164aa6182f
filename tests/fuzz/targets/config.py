"""A configuration file: settings, or one `ConfigError` that tells what is wrong with it."""

from __future__ import annotations

import atexit
import contextlib
import tempfile
from pathlib import Path

from copilot.agent.config import AgentConfig
from copilot.config.load import resolve
from copilot.errors import ConfigError

MOST = 4096
_DIRECTORY = tempfile.TemporaryDirectory(prefix="copilot-fuzz-")
atexit.register(_DIRECTORY.cleanup)
_FILE = Path(_DIRECTORY.name) / "copilot-agent.conf"


def run(data: bytes) -> None:
    """`data` is the file."""
    _FILE.write_bytes(data)
    with contextlib.suppress(ConfigError):
        resolve(AgentConfig, _FILE, {}, known=lambda: ("AGENT_*",))
