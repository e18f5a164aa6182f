"""What a figure was measured on: the machine, and the versions of what takes part."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from pathlib import Path

from copilot.errors import ServerMissing
from copilot.local import provision
from copilot.local.provision import Installed

LIMIT_S = 10.0
# By a file of theirs where they do not tell without being configured.
_VERSION_FILES = {
    "prosody": ("usr/lib/prosody/prosody.version", r"(\S+)"),
    "ejabberd": ("usr/lib/*/ejabberd-*/ebin/ejabberd.app", r'{vsn,\s*"([^"]+)"}'),
}
_VERSION_OPTIONS = {
    "redis-server": r"v=(\S+)",
    "chirp_server": r"version (\S+)",
}


def facts() -> dict[str, str | int]:
    """By name; versions as their owners write them."""
    versions = {name: _version(name) for name in (*_VERSION_FILES, *_VERSION_OPTIONS)}
    return {
        "cores": os.cpu_count() or 0,
        "cpu": _cpu(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        **versions,
    }


def _cpu() -> str:
    """The model's name as Linux tells it; the architecture where it does not."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return found[1] if found else platform.machine()


def _version(name: str) -> str:
    try:
        program = provision.require("ejabberdctl" if name == "ejabberd" else name)
    except ServerMissing:
        return "missing"
    return _from_file(name, program) if name in _VERSION_FILES else _from_option(name, program)


def _from_file(name: str, installed: Installed) -> str:
    pattern, version = _VERSION_FILES[name]
    for path in installed.root.glob(pattern):
        if found := re.search(version, path.read_text()):
            return found[1]
    return "unknown"


def _from_option(name: str, installed: Installed) -> str:
    said = subprocess.run(
        [installed.program, "--version"],
        capture_output=True,
        text=True,
        check=False,  # chirp_server ends with 1
        timeout=LIMIT_S,
        env=installed.environment(),
    ).stdout
    found = re.search(_VERSION_OPTIONS[name], said)
    return found[1] if found else "unknown"
