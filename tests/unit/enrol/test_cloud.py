"""User data for cloud-init: what a machine reads of it, and that its service is that of etc/systemd."""

from __future__ import annotations

import json
import re
from pathlib import Path

import copilot
from copilot.enrol.cloud import BUNDLE, UNIT, unit, user_data

ROOT = Path(__file__).parents[3]
KNOWN = {"packages": list, "users": list, "write_files": list, "runcmd": list}


def test_it_is_what_cloud_init_takes() -> None:
    first, _, rest = user_data("BUNDLE_ID x\n# $HOME 'quoted' \"words\": [yaml]\n").partition("\n")
    assert first == "#cloud-config"
    document = json.loads(rest)  # JSON is YAML (YAML 1.2, 1.3)
    assert {key: type(value) for key, value in document.items()} == KNOWN
    files = {one["path"]: one for one in document["write_files"]}
    assert files[BUNDLE]["content"] == "BUNDLE_ID x\n# $HOME 'quoted' \"words\": [yaml]\n"
    assert (files[BUNDLE]["permissions"], files[UNIT]["permissions"]) == ("0600", "0644")
    assert files[UNIT]["content"] == unit()
    commands = document["runcmd"]
    assert all(isinstance(word, str) for command in commands for word in command)
    assert [
        "/opt/copilot/bin/pip",
        "install",
        "--no-input",
        f"copilot-broker=={copilot.__version__}",
    ] in commands
    assert commands[-1] == ["systemctl", "enable", "--now", "copilot-agent"]
    assert not any("BUNDLE_ID" in word for command in commands for word in command)


def test_something_else_can_be_installed() -> None:
    document = json.loads(user_data("", "--no-index ./a.whl").partition("\n")[2])
    assert document["runcmd"][1][-2:] == ["--no-index", "./a.whl"]


def test_its_service_is_that_of_the_samples_but_for_the_joining() -> None:
    sample = (ROOT / "etc" / "systemd" / "copilot-agent.service").read_text()

    def told(text: str) -> list[str]:
        return [line for line in text.splitlines() if re.match(r"[A-Z\[]", line)]

    other = set(told(sample)) ^ set(told(unit()))
    assert {re.split(r"[= ]", line)[0] for line in other} == {
        "ExecStart",
        "RestartPreventExitStatus",
        "LoadCredential",
    }
    assert (
        "ExecStart=/opt/copilot/bin/copilot-agent --join /etc/copilot/bundle.conf --dir /var/lib/copilot-agent"
        in unit()
    )
