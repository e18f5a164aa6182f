"""The units in etc/systemd: they start commands that there are, believe what those say of themselves, and leave them little.

No systemd runs here: what `systemd-analyze` says of the files, and what a demo under `strace` has asked of the kernel
(docs/operating.md), is all that is known.
"""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from fnmatch import fnmatch
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from copilot.agent.config import AgentConfig
from copilot.agent.drain import LAST_STEPS
from copilot.cli.components import COMPONENTS
from copilot.local.system import command_path

DIRECTORY = Path(__file__).parents[3] / "etc" / "systemd"
UNITS = sorted(DIRECTORY.glob("*.service"))
TARGET = DIRECTORY / "copilot.target"
ROTATION = DIRECTORY.parent / "logrotate" / "copilot"
MOST_EXPOSED = {
    "copilot-agent": 3.5,
    "copilot-agent@": 3.5,
}  # by systemd's own count from 0 to 10; what its sandbox needs costs it that
MOST_EXPOSED_ELSE = 1.6
FOR_ALL = {
    "NoNewPrivileges": "yes",
    "CapabilityBoundingSet": "",
    "UMask": "0077",
    "LimitCORE": "0",
    "ProtectSystem": "strict",
    "ProtectHome": "yes",
    "PrivateTmp": "yes",
    "PrivateDevices": "yes",
    "ProtectKernelModules": "yes",
    "StateDirectoryMode": "0700",
}
# A private /proc cannot be mounted in a user namespace where one of these has put something over it (bubblewrap).
NOT_FOR_A_SANDBOX = {
    "ProtectKernelTunables",
    "ProtectKernelLogs",
    "ProtectProc",
    "ProcSubset",
    "ProtectHostname",
}
DAEMONS = {
    "copilot-agent",
    "copilot-agent@",
    "copilot-fileserver",
    "copilot-jobmanager-generic",
    "copilot-keymanager",
    "copilot-monitor",
    "copilot-storagemanager",
}


def program_of(path: Path) -> str:
    """What it starts; that of a template has no name yet."""
    return path.stem.rstrip("@")


def service(path: Path) -> configparser.SectionProxy:
    return read(path)["Service"]


def read(path: Path) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(strict=False, interpolation=None)  # LoadCredential comes several times
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path)
    return parser


def test_there_is_one_for_each_daemon() -> None:
    assert {path.stem for path in UNITS} == DAEMONS


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_starts_a_command_of_ours_as_a_user_of_its_own(path: Path) -> None:
    section = service(path)
    command = Path(section["ExecStart"].partition(" ")[0]).name
    assert command == program_of(path)
    assert command in {one.name for one in entry_points(group="console_scripts")}
    assert section["User"] != "root"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_is_watched_and_started_again_unless_a_setting_is_wrong(path: Path) -> None:
    section = service(path)
    restart = "on-failure" if program_of(path) == "copilot-agent" else "always"  # an agent may leave for good
    assert (section["Type"], section["Restart"]) == ("notify", restart)
    assert int(section["WatchdogSec"]) > 0
    assert section["RestartPreventExitStatus"] == "2"


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_reads_its_settings_again_and_belongs_to_the_target(path: Path) -> None:
    unit = read(path)
    assert unit["Service"]["ExecReload"] == "/bin/kill -HUP $MAINPID"
    assert (unit["Unit"]["PartOf"], unit["Unit"]["ReloadPropagatedFrom"]) == (TARGET.name, TARGET.name)
    assert TARGET.name in unit["Install"]["WantedBy"].split()


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_log_files_of_a_unit_are_rotated_as_its_user(path: Path) -> None:
    section = service(path)
    where = f"/var/log/{section['LogsDirectory'].replace('%i', 'one')}/any.log"
    blocks = re.findall(r"^(/\S+) \{(.*?)^\}", ROTATION.read_text(), re.MULTILINE | re.DOTALL)
    users = {word for glob, text in blocks if fnmatch(where, glob) for word in re.findall(r"su (\S+) ", text)}
    assert users == {section["User"]}


def test_a_template_is_the_unit_of_one_agent_but_for_its_places() -> None:
    one, many = (read(DIRECTORY / f"copilot-agent{at}.service") for at in ("", "@"))
    other = {key for key in many["Service"] if one["Service"].get(key) != many["Service"][key]}
    assert other == {"ExecStart", "StateDirectory", "LogsDirectory", "Environment", "LoadCredential"}
    assert set(one["Service"]) < set(many["Service"])


def test_systemd_lets_an_agent_finish_within_its_grace() -> None:
    section = service(next(path for path in UNITS if path.stem == "copilot-agent"))
    assert int(section["TimeoutStopSec"]) > AgentConfig.drain_grace + LAST_STEPS


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_a_unit_keeps_what_every_unit_keeps(path: Path) -> None:
    section = service(path)
    assert {key: section.get(key) for key in FOR_ALL} == FOR_ALL
    assert section["RestrictAddressFamilies"].startswith("AF_INET AF_INET6 AF_UNIX")
    assert section["SystemCallArchitectures"] == "native"


def test_an_agent_keeps_what_its_sandbox_needs() -> None:
    section = service(DIRECTORY / "copilot-agent.service")
    assert not NOT_FOR_A_SANDBOX & set(section)
    assert section["Delegate"] == "yes"
    assert {"user", "mnt", "pid", "net"} <= set(section["RestrictNamespaces"].split())
    denied = subprocess.run(
        [tool(), "syscall-filter", *section["SystemCallFilter"].removeprefix("~").split()],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {"unshare", "setns", "clone3", "mount", "umount2", "pivot_root", "sethostname"} & set(denied)


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_credentials_have_the_names_of_secret_settings(path: Path) -> None:
    named = set(re.findall(r"^LoadCredential=([^:\n]*)", path.read_text(), re.MULTILINE))
    settings = {f"copilot-{cls.program.name}": cls for cls in COMPONENTS}[program_of(path)]
    assert named <= settings.secrets()
    assert {key for key in settings.secrets() if key.endswith("JABBER_PASSWORD")} <= named


def test_each_user_is_made_by_sysusers_and_an_agents_is_nobody_elses() -> None:
    made = set(re.findall(r"^u (\S+)", (DIRECTORY / "copilot.sysusers").read_text(), re.MULTILINE))
    users = {program_of(path): service(path)["User"] for path in UNITS}
    assert set(users.values()) == made
    assert [name for name, user in users.items() if user == users["copilot-agent"]] == ["copilot-agent"]


def tool() -> str:
    """systemd-analyze, which looks at files and needs no systemd that runs."""
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("systemd-analyze is not on this machine")
    return found


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.stem)
def test_systemd_counts_little_exposure(path: Path) -> None:
    said = subprocess.run(
        [tool(), "security", "--offline=true", "--no-pager", path],
        capture_output=True,
        text=True,
        check=False,
    )
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said.stdout)
    assert found, said.stderr
    assert float(found[1]) <= MOST_EXPOSED.get(path.stem, MOST_EXPOSED_ELSE)


def test_systemd_finds_nothing_wrong_with_them(tmp_path: Path) -> None:
    copies = []
    for path in [*UNITS, TARGET]:
        text = path.read_text()
        command = service(path)["ExecStart"].partition(" ")[0] if path != TARGET else "/"
        copies.append(tmp_path / path.name)
        copies[-1].write_text(
            text if path == TARGET else text.replace(command, str(command_path(Path(command).name)))
        )
    said = subprocess.run(
        [tool(), "verify", "--man=no", *copies], capture_output=True, text=True, check=False
    )
    ours = [line for line in said.stderr.splitlines() if "copilot" in line]
    assert (ours, said.returncode) == ([], 0), said.stderr
