"""Where the files of jobs go that are put straight on the queue: as the settings say, or whoever submits."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from copilot.config.groups import StagingSettings
from copilot.config.kinds import ADDRESS, HOST, Address
from copilot.errors import ConfigError
from copilot.files.area import FileArea


def area_here(directory: Path | None, config: StagingSettings) -> FileArea | None:
    """The file area, if it is on this machine: `directory`, or that of the settings. Raises `ConfigError`."""
    root = directory or config.files_dir
    if root is None:
        return None
    if not root.is_dir() or not os.access(root, os.W_OK):
        raise ConfigError(f"{root}: expected the directory of the file area, writable for you")
    return FileArea(root)


def chirp_named(text: str | None, config: StagingSettings) -> Address | None:
    """The Chirp server (host or host:port) that was named, else that of the settings. Raises `ConfigError`."""
    if text is None:
        return None if config.chirp_server is None else Address(config.chirp_server, config.chirp_port)
    try:
        return Address(HOST.convert(text), config.chirp_port)
    except ValueError:
        pass
    try:
        return ADDRESS.convert(text)
    except ValueError:
        raise ConfigError(f"--chirp-server {text!r}: expected {HOST.expects}, or {ADDRESS.expects}") from None


def chirp_for_agents(chirp: Address | None, config: StagingSettings) -> str | None:
    """The Chirp server as agents are told of it (section 4.6): this machine, unless files go otherwise."""
    if chirp is None and config.files_url is None:
        chirp = Address(socket.gethostname(), config.chirp_port)
    if chirp is None:
        return None
    return f"[{chirp.host}]:{chirp.port}" if ":" in chirp.host else f"{chirp.host}:{chirp.port}"
