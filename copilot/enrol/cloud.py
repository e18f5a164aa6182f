"""User data for cloud-init: a machine that gets it installs an agent, comes in by the bundle, and takes jobs as a service.

The text is JSON behind the first line, which cloud-init reads as the YAML that it is: no value can leave its place.
"""

from __future__ import annotations

import json
import shlex
from importlib import resources

import copilot

HOME = "/opt/copilot"
WORK = "/var/lib/copilot-agent"
BUNDLE = "/etc/copilot/bundle.conf"
UNIT = "/etc/systemd/system/copilot-agent.service"
USER = "copilot-agent"


def user_data(bundle: str, package: str | None = None) -> str:
    """For a bundle's text; `package` is what pip installs instead of this version."""
    wanted = package or f"copilot-broker=={copilot.__version__}"
    document = {
        "packages": ["python3", "python3-venv"],
        "users": ["default", {"name": USER, "system": True, "homedir": WORK, "shell": "/usr/sbin/nologin"}],
        "write_files": [
            # Its owner is not there yet when this is written.
            {"path": BUNDLE, "permissions": "0600", "content": bundle},
            {"path": UNIT, "permissions": "0644", "content": unit()},
        ],
        "runcmd": [
            ["python3", "-m", "venv", HOME],
            [f"{HOME}/bin/pip", "install", "--no-input", *shlex.split(wanted)],
            ["chown", f"{USER}:", BUNDLE],
            ["systemctl", "daemon-reload"],
            ["systemctl", "enable", "--now", "copilot-agent"],
        ],
    }
    return "#cloud-config\n" + json.dumps(document, indent=1) + "\n"


def unit() -> str:
    """The service of the agent: that of etc/systemd, which joins first."""
    return resources.files("copilot.enrol").joinpath("copilot-agent-joins.service").read_text()
